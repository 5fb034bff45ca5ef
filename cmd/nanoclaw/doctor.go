package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// States of a check. A warning is something to know; a failure is something to mend.
const (
	stateOK      = "ok"
	stateWarning = "warning"
	stateFailure = "failure"
)

// check is one line of `nanoclaw doctor`.
type check struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

// examination is what --json prints. Schema changes when something of it is taken away.
type examination struct {
	Schema int     `json:"schema"`
	OK     bool    `json:"ok"`
	Checks []check `json:"checks"`
}

func ok(name, format string, args ...any) check {
	return check{Name: name, State: stateOK, Detail: fmt.Sprintf(format, args...)}
}

func warning(name, fix, format string, args ...any) check {
	return check{name, stateWarning, fmt.Sprintf(format, args...), fix}
}

func failure(name, fix string, err error) check {
	return check{name, stateFailure, err.Error(), fix}
}

func (a *app) doctorCmd() *cobra.Command {
	var fix, yes, asJSON, arch, audit, alone bool
	c := &cobra.Command{
		Use: "doctor", Short: "Check this machine and this installation", Args: cobra.NoArgs,
		Long: `Check everything that a turn needs, from the configuration to a live agent container,
which is started, compared with the list of what isolates it, and removed again; and to a turn,
which a host of its own answers. Models are asked for one word, which costs a few tokens.
Each row is ok, a warning or a failure, and says why and what mends it.

With --fix, first make sure that a Docker daemon answers: on Debian, Ubuntu and their
relatives, as root, install docker.io and start it. It says what it will do and asks;
--yes answers for you. Where the configuration asks for runsc (gVisor) and that daemon does not
know it, it installs that package and adds it to daemon.json beside what is there. It never
starts a second daemon, and none where DOCKER_HOST or a Docker context points elsewhere.
On other systems it says what to do. Files of the state directory that others can read are closed.

With --docker, that is all: no container, no turn, for scripts.

With --audit-container, it starts an agent container of each role and prints a score table of
that alone: the checks of section 5 of docker-bench-security that apply, on what the daemon and
/proc say of the live container, and the whole list of what isolates it.

--json prints {"schema": 1, "ok": …, "checks": [{"name", "state", "detail", "fix"}]}. Names of rows
and states stay as they are; rows may be added; what stands in detail and fix is for people.

Exit code 0 when nothing failed, 1 when something did; warnings are no failures.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &doctor{app: a}
			if arch {
				fmt.Fprintln(a.stdout, d.daemonArch(cmd.Context()))
				return nil
			}
			if fix {
				err := errors.Join(d.fixModes(), d.fix(cmd.Context(), yes))
				if err != nil && !errors.Is(err, errDeclined) {
					return err
				}
			}
			switch {
			case audit:
				d.auditContainer(cmd.Context())
			case alone:
				d.checkConfig()
				if d.checkDocker(cmd.Context()) {
					d.docker.Close()
				}
			default:
				d.examine(cmd.Context())
			}
			if asJSON {
				return errors.Join(a.printJSON(examination{1, d.verdict() == nil, d.checks}), d.verdict())
			}
			d.print()
			if audit {
				fmt.Fprintln(a.stdout, "\n"+d.score())
			}
			return d.verdict()
		},
	}
	f := c.Flags()
	f.BoolVar(&fix, "fix", false, "make a Docker daemon answer, installing it where needed")
	f.BoolVarP(&yes, "yes", "y", false, "with --fix: do not ask")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	f.BoolVar(&audit, "audit-container", false, "only audit live agent containers: CIS Docker benchmark, section 5")
	f.BoolVar(&alone, "docker", false, "only look whether a Docker daemon answers; with --fix, make it answer")
	f.BoolVar(&arch, "arch", false, "only print the architecture that the runner must be built for")
	_ = f.MarkHidden("arch")
	return c
}

// print shows the checks as a table, in colour on a terminal.
func (d *doctor) print() {
	colour := isTerminal(d.stdout) && os.Getenv("NO_COLOR") == ""
	marks := map[string]string{stateOK: "ok  ", stateWarning: "warn", stateFailure: "FAIL", stateNA: "n/a "}
	colours := map[string]string{stateOK: "\x1b[32m", stateWarning: "\x1b[33m", stateFailure: red}
	width := 0
	for _, c := range d.checks {
		width = max(width, len(c.Name))
	}
	margin := strings.Repeat(" ", len("warn")+2+width+2)
	for _, c := range d.checks {
		mark := marks[c.State]
		if colour {
			mark = colours[c.State] + mark + plain
		}
		text := c.Detail
		if c.Fix != "" {
			text += "\n→ " + c.Fix
		}
		fmt.Fprintf(d.stdout, "%s  %-*s  %s\n", mark, width, c.Name, strings.ReplaceAll(text, "\n", "\n"+margin))
	}
}

// verdict is the error of the whole: nil unless a check failed.
func (d *doctor) verdict() error {
	failed := 0
	for _, c := range d.checks {
		if c.State == stateFailure {
			failed++
		}
	}
	switch failed {
	case 0:
		return nil
	case 1:
		return errors.New("doctor: one check failed")
	}
	return fmt.Errorf("doctor: %d checks failed", failed)
}
