package usage_test

import (
	"context"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/usage"
	"zitadel-v1-adapter/internal/usage/usagetest"
)

// BenchmarkYearOfTokens is what a reader waits for after a year in which 5,000 callers a day were
// known by a token of their own only, and 500 by their ids.
func BenchmarkYearOfTokens(b *testing.B) {
	const days, tokens, users = 365, 5000, 500
	clock := time.Now().AddDate(0, 0, -days)
	ledger := newLedger(b, usage.Config{
		Store: usagetest.Open(b, "sqlite:"+filepath.Join(b.TempDir(), "usage.db")), Now: func() time.Time { return clock },
	})
	for day := range days + 1 {
		for i := range tokens + users {
			event := call("token:" + strconv.Itoa(day) + "-" + strconv.Itoa(i))
			if i < users {
				event = call(strconv.Itoa(i))
			}
			event.Started = clock
			ledger.Observe(event)
		}
		if err := ledger.Finish(context.Background()); err != nil {
			b.Fatal(err)
		}
		clock = clock.AddDate(0, 0, 1)
	}
	clock = time.Now()
	month := clock.AddDate(0, 0, -30)
	for name, read := range map[string]func() error{
		"evidence": func() error { _, err := ledger.Evidence(b.Context(), month, nil); return err },
		"first callers": func() error {
			_, err := ledger.Rows(b.Context(), usage.Query{Since: month, By: []string{"caller"}, Limit: 26})
			return err
		},
		"methods": func() error {
			_, err := ledger.Rows(b.Context(), usage.Query{Since: month, By: []string{"api", "method"}})
			return err
		},
		"all callers of the year": func() error {
			_, err := ledger.Rows(b.Context(), usage.Query{By: []string{"caller"}})
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := read(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
