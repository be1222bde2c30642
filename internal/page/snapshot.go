package page

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"zitadel-v1-adapter/internal/usage"
)

// snapshot is what the ledger said, the same for all who look at about the same time.
type snapshot struct {
	rows    []usage.Row           // of the last days
	callers map[string]usage.Span // all that are known
	number  int                   // changes with the others
	at      time.Time             // when it was read; zero: never
	stale   bool                  // the store did not answer since
}

const (
	// days is how far back the page looks, in whole UTC days before today.
	days = 30
	// fewDays is the same for what is new.
	fewDays = 7

	// lookAtMost is how often the ledger is read, and share how much of the time at most:
	// the store has other things to do.
	lookAtMost = time.Second
	share      = 20
	// readTimeout is how long it may take, and pause how long a ledger that is slow is left
	// alone at most.
	readTimeout = 5 * time.Second
	pause       = 30 * time.Second
)

// startOf is when the days before a time begin.
func startOf(now time.Time, days int) time.Time {
	return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, -days)
}

// look reads the ledger, unless that was done just now.
func (p *Page) look(ctx context.Context) snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	began := p.config.Now()
	if began.Before(p.next) {
		return p.known
	}
	// Others get the answer too, so it does not end with who asked.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	defer context.AfterFunc(p.closing, cancel)()
	rows, err := p.config.Ledger.Rows(ctx, startOf(began, days))
	callers, callersErr := p.config.Ledger.Callers(ctx)
	now := p.config.Now()
	p.next = now.Add(min(max(share*now.Sub(began), lookAtMost), pause))
	if err = errors.Join(err, callersErr); err != nil {
		if !p.known.stale {
			p.config.Log.WarnContext(ctx, "the usage store did not answer", "cause", err.Error())
			p.known.stale = true
			p.known.number++
		}
		return p.known
	}
	if p.known.stale || p.known.at.IsZero() || !slices.Equal(rows, p.known.rows) || !maps.Equal(callers, p.known.callers) {
		p.known = snapshot{rows: rows, callers: callers, number: p.known.number + 1}
	}
	p.known.at = now
	return p.known
}
