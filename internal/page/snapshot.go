package page

import (
	"context"
	"errors"
	"reflect"
	"time"

	"zitadel-v1-adapter/internal/usage"
)

// snapshot is what all requests within a short time see of the ledger.
type snapshot struct {
	figures

	number int       // changes with the other fields
	at     time.Time // when it was read; zero: never
	stale  bool      // the store has not answered since
}

// figures are sums from the ledger. Their size does not grow with the number of callers.
type figures struct {
	evidence usage.Evidence // of the last days
	week     usage.Active
	daily    []usage.Row // by day, way and outcome
	outcomes []usage.Row // by outcome, of the week
	methods  []usage.Row // by API and method, of the last days, of callers only
	apart    []usage.Row // strangers and ZITADEL's own pages, of the last days
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
	read, err := p.read(ctx, began)
	now := p.config.Now()
	p.nextRead = now.Add(min(max(readShare*now.Sub(began), readPause), maxReadPause))
	if err != nil {
		if !p.last.stale {
			p.config.Log.WarnContext(ctx, "the usage store did not answer", "cause", err.Error())
			p.last.stale = true
			p.last.number++
		}
		return p.last
	}
	if p.last.stale || p.last.at.IsZero() || !reflect.DeepEqual(read, p.last.figures) {
		p.last = snapshot{figures: read, number: p.last.number + 1}
	}
	p.last.at = now
	return p.last
}

// read adds the ledger up.
func (p *Page) read(ctx context.Context, now time.Time) (f figures, err error) {
	var mistakes []error
	rows := func(q usage.Query) []usage.Row {
		found, err := p.config.Ledger.Rows(ctx, q)
		mistakes = append(mistakes, err)
		return found
	}
	month, week := startOf(now, days), startOf(now, fewDays)
	f.evidence, err = p.config.Ledger.Evidence(ctx, month, nil)
	mistakes = append(mistakes, err)
	f.week, err = p.config.Ledger.Active(ctx, week)
	mistakes = append(mistakes, err)
	apart := map[string][]string{"caller": usage.Apart()}
	f.daily = rows(usage.Query{Since: month, By: []string{"day", "way", "outcome"}, Except: apart})
	f.outcomes = rows(usage.Query{Since: week, By: []string{"outcome"}, Except: apart})
	f.methods = rows(usage.Query{Since: month, By: []string{"api", "method"}, Except: apart})
	f.apart = rows(usage.Query{Since: month, By: []string{"caller"}, Where: apart})
	f.evidence.Requests = min(f.evidence.Requests, 1) // only whether there were any: the page need not change with each
	return f, errors.Join(mistakes...)
}
