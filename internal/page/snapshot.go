package page

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"zitadel-v1-adapter/internal/usage"
)

// snapshot is the ledger's content, shared by all requests within a short time.
type snapshot struct {
	rows    []usage.Row           // of the last days
	callers map[string]usage.Span // of all time
	number  int                   // changes with the other fields
	at      time.Time             // when it was read; zero: never
	stale   bool                  // the store has not answered since
}

const (
	// days is how far back the page looks, in whole UTC days before today, and fewDays how
	// far it looks for what is recent.
	days    = 30
	fewDays = 7

	// readPause is the least time between two reads of the ledger. A slow one is read less
	// often, so that reading takes at most 1/readShare of the time, up to maxReadPause.
	readPause    = time.Second
	readShare    = 20
	maxReadPause = 30 * time.Second
	readTimeout  = 5 * time.Second
)

// startOf is the beginning of the day that is some days before a time.
func startOf(now time.Time, days int) time.Time {
	return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, -days)
}

// rowsSince are the rows of a day and of those after it.
func rowsSince(rows []usage.Row, day time.Time) []usage.Row {
	first := day.Format(time.DateOnly)
	return slices.DeleteFunc(slices.Clone(rows), func(row usage.Row) bool { return row.Day < first })
}

// snapshot reads the ledger, unless that was done just now.
func (p *Page) snapshot(ctx context.Context) snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	began := p.config.Now()
	if began.Before(p.nextRead) {
		return p.last
	}
	// Other requests get the result too, so it does not end with this one.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	defer context.AfterFunc(p.closing, cancel)()
	rows, err := p.config.Ledger.Rows(ctx, startOf(began, days))
	callers, callersErr := p.config.Ledger.Callers(ctx)
	now := p.config.Now()
	p.nextRead = now.Add(min(max(readShare*now.Sub(began), readPause), maxReadPause))
	if err = errors.Join(err, callersErr); err != nil {
		if !p.last.stale {
			p.config.Log.WarnContext(ctx, "the usage store did not answer", "cause", err.Error())
			p.last.stale = true
			p.last.number++
		}
		return p.last
	}
	if p.last.stale || p.last.at.IsZero() || !slices.Equal(rows, p.last.rows) || !maps.Equal(callers, p.last.callers) {
		p.last = snapshot{rows: rows, callers: callers, number: p.last.number + 1}
	}
	p.last.at = now
	return p.last
}
