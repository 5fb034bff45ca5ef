package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/nanoclaw/nanoclaw/host/audit"
	"github.com/nanoclaw/nanoclaw/host/daemon"
)

// auditJob is one run of an audit command.
type auditJob struct {
	*app
	state       string
	calls, json bool
	yes, follow bool
	last        int
	since       string
	from        time.Time
	words       map[string]*string // what fields of a row must be; "" = anything
	bad         int                // lines that are no rows
}

func (a *app) auditCmd() *cobra.Command {
	j := &auditJob{app: a, words: map[string]*string{}}
	c := &cobra.Command{
		Use: "audit", Short: "Show and verify what the host decided for its agents",
		Args: usageArgs(cobra.NoArgs), RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.PersistentFlags().BoolVar(&j.calls, "calls", false, "the log of 'skill call' instead of the host's")
	c.PersistentFlags().BoolVar(&j.json, "json", false, "print JSON")
	sub := func(do func(context.Context) error, use, short, long string) *cobra.Command {
		s := &cobra.Command{Use: use, Short: short, Long: short + "." + long, Args: usageArgs(cobra.NoArgs)}
		s.RunE = func(cmd *cobra.Command, _ []string) error { return j.run(cmd.Context(), do) }
		c.AddCommand(s)
		return s
	}
	show := sub(j.show, "show", "Show decisions, newest last", "")
	show.Flags().IntVarP(&j.last, "last", "n", 50, "only so many rows; 0 = all")
	show.Flags().BoolVarP(&j.follow, "follow", "f", false, "go on as rows are written, until Ctrl-C")
	stats := sub(j.stats, "stats", "Count decisions, and the ten targets denied most", "")
	for _, name := range []string{"role", "agent", "skill", "capability", "verdict", "turn"} {
		j.words[name] = show.Flags().String(name, "", "only rows of this "+name)
		stats.Flags().AddFlag(show.Flags().Lookup(name))
	}
	show.Flags().StringVar(&j.since, "since", "", "only rows since then: 90m, 24h, or 2006-01-02T15:04:05Z")
	stats.Flags().AddFlag(show.Flags().Lookup("since"))
	sub(j.verify, "verify", "Check that no row was edited, deleted, inserted, moved or cut off", `
Each row holds the hash of the one before, and the database remembers the last one: its
anchor. Exit code 1 and the first bad record if something does not fit. What comes after
the anchor, at most the last second or 64 rows, could be cut off unseen.`)
	renew := sub(j.renew, "new", "Put a damaged log aside and begin another", `
Nothing is deleted; the first row of the new log says what happened.`)
	renew.Flags().BoolVarP(&j.yes, "yes", "y", false, "do not ask")
	return c
}

func (j *auditJob) run(ctx context.Context, do func(context.Context) error) error {
	cfg, err := j.loadConfig()
	if err != nil {
		return err
	}
	j.state = cfg.StateDir
	if j.from, err = parseSince(j.since); err != nil {
		return err
	}
	err = do(ctx)
	if j.bad > 0 {
		fmt.Fprintf(j.stderr, "nanoclaw: lines that are no rows: %d; see 'nanoclaw audit verify'\n", j.bad)
	}
	return err
}

// read calls each with the rows that are meant, from a place on.
func (j *auditJob) read(from audit.Place, each func(r audit.Row, line string)) (audit.Place, error) {
	return audit.Read(daemon.AuditDir(j.state, j.calls), from, func(_ audit.Place, line []byte) error {
		var r audit.Row
		var fields map[string]any
		line, whole := bytes.CutSuffix(line, []byte("\n"))
		if err := errors.Join(json.Unmarshal(line, &r), json.Unmarshal(line, &fields)); err != nil && whole {
			j.bad++
		}
		for name, want := range j.words {
			whole = whole && (*want == "" || fields[name] == *want)
		}
		if whole && r.Seq > 0 && !r.Time.Before(j.from) {
			each(r, string(line))
		}
		return nil
	})
}

func (j *auditJob) show(ctx context.Context) error {
	terminal := isTerminal(j.stdout)
	text := func(r audit.Row, line string) string {
		if !j.json {
			line = fmt.Sprintf("%6d %s %-7s %-10s %-10s %-7s %s  %s %d", r.Seq, r.Time.Local().Format(time.DateTime),
				r.Verdict, r.Role, r.Skill, r.Capability, r.Target, r.Reason, r.Bytes)
		}
		if !j.json || terminal {
			line = printable(strings.TrimSuffix(line, " 0"))
		}
		if !j.json && terminal && r.Verdict == "deny" && os.Getenv("NO_COLOR") == "" {
			line = red + line + plain
		}
		return line
	}
	var rows []string
	at, err := j.read(audit.Place{}, func(r audit.Row, line string) {
		if rows = append(rows, text(r, line)); j.last > 0 && len(rows) > j.last {
			rows = rows[1:]
		}
	})
	for _, row := range rows {
		fmt.Fprintln(j.stdout, row)
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for err == nil && j.follow {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			at, err = j.read(at, func(r audit.Row, line string) { fmt.Fprintln(j.stdout, text(r, line)) })
		}
	}
	return err
}

// printable makes what an agent may have said harmless for a terminal; of JSON it stays JSON.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// auditCount is one line of `audit stats`: of a role, capability and verdict, or of a denied target.
type auditCount struct {
	Role       string `json:"role,omitempty"`
	Capability string `json:"capability,omitempty"`
	Verdict    string `json:"verdict"`
	Target     string `json:"target,omitempty"`
	Rows       int    `json:"rows"`
	Bytes      int64  `json:"bytes"`
}

func (j *auditJob) stats(context.Context) error {
	counts := map[auditCount]auditCount{}
	add := func(key auditCount, bytes int64) {
		c := cmp.Or(counts[key], key)
		c.Rows, c.Bytes = c.Rows+1, c.Bytes+bytes
		counts[key] = c
	}
	_, err := j.read(audit.Place{}, func(r audit.Row, _ string) {
		add(auditCount{Role: string(r.Role), Capability: string(r.Capability), Verdict: r.Verdict}, r.Bytes)
		if r.Verdict == "deny" {
			add(auditCount{Verdict: r.Verdict, Target: cmp.Or(r.Target, "-")}, r.Bytes)
		}
	})
	list := slices.SortedFunc(maps.Values(counts), func(x, y auditCount) int {
		targets := strings.Compare(x.Target, "") - strings.Compare(y.Target, "") // come last
		return cmp.Or(targets, y.Rows-x.Rows, strings.Compare(fmt.Sprint(x), fmt.Sprint(y)))
	})
	if i := slices.IndexFunc(list, func(c auditCount) bool { return c.Target != "" }); i >= 0 {
		list = list[:min(len(list), i+10)]
	}
	if j.json {
		return errors.Join(err, j.printJSON(list))
	}
	w := tabwriter.NewWriter(j.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ROWS\tBYTES\tVERDICT\tROLE\tCAPABILITY\tTARGET")
	for _, c := range list {
		fmt.Fprintf(w, "%d\t%d\t%s\t%s\t%s\t%s\n", c.Rows, c.Bytes, printable(c.Verdict), printable(c.Role),
			printable(c.Capability), printable(c.Target))
	}
	return errors.Join(err, w.Flush())
}

func (j *auditJob) verify(ctx context.Context) error {
	r, err := daemon.VerifyAudit(ctx, j.state, j.calls)
	switch {
	case err != nil:
		return err
	case j.json:
		err = j.printJSON(r)
	default:
		fmt.Fprintf(j.stdout, `rows    %d in files: %d; from row %d, chained from row %d
cut     lines that a crash cut: %d; bytes of an unfinished last line: %d
head    row %d %s
anchor  row %d %s; rows after it: %d
`, r.Rows, r.Files, r.First, r.Chained, r.Cut, r.Unfinished, r.Head.Seq, cmp.Or(r.Head.Hash, "(none)"),
			r.Anchor.Seq, cmp.Or(r.Anchor.Hash, "(none)"), max(r.Head.Seq-r.Anchor.Seq, 0))
	}
	if r.Bad != nil {
		err = errors.Join(err, &exitError{exitFailure, r.Bad})
	}
	return err
}

func (j *auditJob) renew(ctx context.Context) error {
	if ok, err := j.confirm("Put the audit log aside and begin another?", j.yes); err != nil || !ok {
		return err
	}
	aside, err := daemon.RenewAudit(ctx, j.state)
	if err == nil {
		fmt.Fprintln(j.stdout, "The log before is in", aside)
	}
	return err
}
