package audit_test

import (
	"fmt"
	"testing"

	"github.com/nanoclaw/nanoclaw/host/audit"
)

// BenchmarkRecord is what a row costs before the act: synced when others can see the act.
func BenchmarkRecord(b *testing.B) {
	for name, verdict := range map[string]string{"synced": "allow", "not synced": "deny"} {
		b.Run(name, func(b *testing.B) {
			l, err := audit.Open(b.TempDir(), &memory{})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			d := decision("api.example.com")
			d.Verdict = verdict
			for b.Loop() {
				if err := l.Record(b.Context(), d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkVerify is what an auditor waits for, a row of 500 bytes each.
func BenchmarkVerify(b *testing.B) {
	dir, m := b.TempDir(), &memory{}
	log(b, dir, m, 10000, 1<<20)
	b.ResetTimer()
	for b.Loop() {
		if r := verify(b, dir, m.get()); r.Bad != nil || r.Rows != 10000 {
			b.Fatal(fmt.Sprint(r))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/10000, "us/row")
}
