// Command bench measures what DESIGN section 12 promises and writes it as a table and as
// JSON. Every row is a ratio to a baseline of the same run, because the machines it runs
// on are noisy: compare ratios, never absolutes.
//
// It drives the built programs in bin/ and the Docker daemon that answers, and must never
// be imported.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"
)

// Row is one measurement. Ratio is Value / Baseline; for rows whose baseline is a target,
// below 1 means that it is met.
type Row struct {
	Name         string  `json:"name"`
	Unit         string  `json:"unit"`
	Value        float64 `json:"value"`
	BaselineName string  `json:"baseline_name"`
	Baseline     float64 `json:"baseline"`
	Ratio        float64 `json:"ratio"`
}

func main() {
	out := flag.String("o", "bench.json", "file to write")
	n := flag.Int("n", 30, "turns and containers per row")
	flag.Parse()
	if err := run(*out, *n); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(out string, n int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	bin, err := filepath.Abs("bin")
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(bin, "nanoclaw")); err != nil {
		return fmt.Errorf("run it from the top of the repository after 'make build': %w", err)
	}
	b := &bench{bin: bin, n: n}
	for _, step := range []func(context.Context) ([]Row, error){
		b.containers, b.turns, b.programs, b.tools, b.guard, b.burst, b.languages, b.stranger,
	} {
		rows, e := step(ctx)
		b.rows = append(b.rows, rows...)
		err = errors.Join(err, e)
	}
	b.print()
	j, e := json.MarshalIndent(b.rows, "", "  ")
	return errors.Join(err, e, os.WriteFile(out, append(j, '\n'), 0o644))
}

type bench struct {
	bin  string
	n    int
	bare time.Duration // p50 of a bare hardened container, start to first byte
	rows []Row
}

func row(name, unit string, value float64, baseName string, base float64) Row {
	r := Row{Name: name, Unit: unit, Value: value, BaselineName: baseName, Baseline: base}
	if base != 0 {
		r.Ratio = value / base
	}
	return r
}

func (b *bench) print() {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| name\t| value\t| baseline\t|\t| ratio\t|")
	fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|")
	for _, r := range b.rows {
		fmt.Fprintf(w, "| %s\t| %s %s\t| %s\t| %s\t| %.2f\t|\n",
			r.Name, number(r.Value), r.Unit, r.BaselineName, number(r.Baseline), r.Ratio)
	}
	w.Flush()
}

func number(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// p50 is the median.
func p50(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
