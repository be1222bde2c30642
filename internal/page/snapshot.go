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
	daily    []usage.Row    // by day, way and outcome
	methods  []usage.Row    // by API and method
	apart    []usage.Row    // strangers and ZITADEL's own pages, who are in nothing else
}

const (
	// days is how far back the page looks, in whole UTC days before today, and fewDays how
	// far it looks for what is recent.
	days    = 30
	fewDays = usage.Week

	// readPause is the least time between two reads of the ledger. A slow one is read less
	// often, so that reading takes at most 1/readShare of the time, up to maxReadPause.
	readPause    = time.Second
	readShare    = 20
	maxReadPause = 30 * time.Second

	// readTimeout is how long the ledger may take, and patience how long a request waits for it. If
	// the last read was not quick, a request gets figures up to maxAge old, and does not wait.
	readTimeout = 30 * time.Second
	patience    = 5 * time.Second
	quick       = 50 * time.Millisecond
	maxAge      = time.Minute
)

// startOf is the beginning of the day that is some days before a time.
func startOf(now time.Time, days int) time.Time {
	return now.UTC().Truncate(24*time.Hour).AddDate(0, 0, -days)
}

// snapshot is what is known of the ledger when refresh's reading has ended. The events tell of what
// was read too late for a request.
func (p *Page) snapshot(ctx context.Context, reading <-chan struct{}) snapshot {
	if reading != nil {
		select {
		case <-reading:
		case <-ctx.Done():
		case <-time.After(patience):
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.last
	last.stale = last.stale || last.at.IsZero()
	return last
}

// refresh begins to read the ledger, unless that was done just now. It returns what is closed when
// the figures have been read that a request should wait for, or nil.
func (p *Page) refresh() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.config.Now()
	if p.reading == nil && !now.Before(p.nextRead) && p.closing.Err() == nil {
		p.reading = make(chan struct{})
		go p.read(p.reading, now)
	}
	if !p.wasQuick && now.Sub(p.last.at) < maxAge {
		return nil
	}
	return p.reading
}

// read reads the ledger, and closes a channel.
func (p *Page) read(done chan<- struct{}, began time.Time) {
	ctx, cancel := context.WithTimeout(p.closing, readTimeout)
	defer cancel()
	read, err := p.figures(ctx, began)
	p.mu.Lock()
	defer p.mu.Unlock()
	defer close(done)
	p.reading = nil
	now := p.config.Now()
	took := now.Sub(began)
	p.nextRead, p.wasQuick = now.Add(min(max(readShare*took, readPause), maxReadPause)), took <= quick
	switch {
	case p.closing.Err() != nil:
		return
	case err != nil:
		if !p.last.stale {
			p.config.Log.WarnContext(ctx, "the usage store did not answer", "cause", err.Error())
			p.last.stale = true
			p.last.number++
		}
		return
	}
	if p.last.stale || p.last.at.IsZero() || !reflect.DeepEqual(read, p.last.figures) {
		p.last = snapshot{figures: read, number: p.last.number + 1}
	}
	p.last.at = now
}

// figures adds the ledger up.
func (p *Page) figures(ctx context.Context, now time.Time) (f figures, err error) {
	var mistakes []error
	rows := func(q usage.Query) []usage.Row {
		found, err := p.config.Ledger.Rows(ctx, q)
		mistakes = append(mistakes, err)
		return found
	}
	month, apart := startOf(now, days), map[string][]string{"caller": usage.Apart()}
	f.evidence, err = p.config.Ledger.Evidence(ctx, month, nil)
	mistakes = append(mistakes, err)
	f.daily = rows(usage.Query{Since: month, By: []string{"day", "way", "outcome"}, Except: apart, WithoutCallers: true})
	f.methods = rows(usage.Query{Since: month, By: []string{"api", "method"}, Except: apart})
	f.apart = rows(usage.Query{Since: month, By: []string{"caller"}, Where: apart})
	f.evidence.Requests = min(f.evidence.Requests, 1) // only whether there were any: the page need not change with each
	return f, errors.Join(mistakes...)
}
