package usage

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"zitadel-v1-adapter/adapter"
)

// Config configures a Ledger.
type Config struct {
	// Store keeps the ledger, and is closed with it. Default: the ledger lives and dies with the
	// program, in memory.
	Store *Store
	// Retention is how long days are kept; 0 is for ever.
	Retention time.Duration
	// Names says whether callers' login names are kept, as long as their rows. Without it, those in
	// the Store are deleted.
	Names bool
	// Successor names what takes the place of a method, for CSV. Default: nothing does.
	Successor func(api, method string) string
	// OnOverflow is called with a number of calls whose callers there was no room to tell apart.
	// Default: none.
	OnOverflow func(calls int64)
	// OnFailure is called for each time that the store could not take a batch. Default:
	// none.
	OnFailure func()
	// Log receives what the store could not do. Default: none.
	Log *slog.Logger
	// Now is the clock. Default: [time.Now].
	Now func() time.Time
}

// Ledger counts calls. It holds what its Store has not taken yet, which a database that is slow
// or away may leave with it for long. It is safe for concurrent use.
type Ledger struct {
	config   Config
	started  time.Time
	requests atomic.Int64  // not in a batch yet
	wake     chan struct{} // there is much to write
	flushing chan struct{} // taken by who writes, and guards batch and tidied
	failed   atomic.Int64  // when the last attempt to write did, in Unix nanoseconds; 0: it did not

	mu        sync.Mutex
	rows      map[Key]*Row
	varieties varieties
	shadows   map[ShadowRow]int64
	batch     batch // taken out of rows, and perhaps written

	tidied  string // day
	written time.Time
}

const (
	// maxRows bounds the ledger in memory: about 10 MiB. Calls of further callers are
	// counted as those of CallerOthers.
	maxRows = 20_000
	// maxBatch is the number of rows that are written in one transaction.
	maxBatch = 1000
	// flushEvery is how long the store may lag behind, and how often one that fails is tried.
	flushEvery = 2 * time.Second
	// coverEvery is how often the store learns that somebody counts, if nobody calls.
	coverEvery = time.Minute
	// writeTimeout is how long it may take to write what there is.
	writeTimeout = 10 * time.Second
	// readFlushTimeout is how much of that a reader waits for.
	readFlushTimeout = time.Second
	// retryPause is the time between two attempts at the end.
	retryPause = 100 * time.Millisecond
)

// NewLedger returns an empty Ledger. Run has to run, and then Finish and Close.
func NewLedger(config Config) (*Ledger, error) {
	if config.Store == nil {
		var err error
		if config.Store, err = newMemoryStore(); err != nil {
			return nil, err
		}
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.OnOverflow == nil {
		config.OnOverflow = func(int64) {}
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	return &Ledger{
		config: config, started: config.Now(), wake: make(chan struct{}, 1), flushing: make(chan struct{}, 1),
		rows: map[Key]*Row{}, shadows: map[ShadowRow]int64{},
	}, nil
}

// Request counts a request, of v1 or not.
func (l *Ledger) Request() { l.requests.Add(1) }

// Observe counts a call. It takes no time to speak of, whatever the store does.
func (l *Ledger) Observe(event adapter.Event) {
	if !l.config.Names {
		event.LoginName = ""
	}
	row := rowOf(event)
	l.mu.Lock()
	defer l.mu.Unlock()
	known := l.rows[row.Key]
	if known == nil { // a key that has a row is within its bounds
		l.varieties.bound(&row.Key)
		known = l.rows[row.Key]
	}
	if known == nil && len(l.rows)+len(l.batch.rows) >= maxRows && row.IsNamed() {
		row.Key = row.withoutDetail()
		l.config.OnOverflow(1)
		known = l.rows[row.Key]
	}
	if known != nil {
		known.add(row)
		return
	}
	fresh := row // row itself would be on the heap for every call
	l.rows[row.Key] = &fresh
	if len(l.rows) == maxBatch {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Run writes to the store until ctx ends. What is being written then is given up, and left to
// Finish.
func (l *Ledger) Run(ctx context.Context) {
	for failing := false; l.wait(ctx); {
		err := l.flush(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			l.config.Log.WarnContext(ctx, "the usage store takes nothing, calls are kept in memory until it does", "cause", err.Error())
		case err == nil && failing:
			l.config.Log.InfoContext(ctx, "the usage store takes calls again")
		}
		failing = err != nil
	}
}

// Finish writes what is left after Run. A store that fails is tried again until ctx ends; the
// error says how many calls it may not have.
func (l *Ledger) Finish(ctx context.Context) error {
	for {
		err := l.flush(ctx)
		left := l.unwritten()
		if err == nil || left == 0 { // old days can be folded later
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d not written: %w", left, err)
		case <-time.After(retryPause):
		}
	}
}

// Close closes the Store: see [Store.Close]. It comes after Finish.
func (l *Ledger) Close(ctx context.Context) error { return l.config.Store.Close(ctx) }

// unwritten is the number of calls that the store may not have.
func (l *Ledger) unwritten() (calls int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, row := range l.rows {
		calls += row.Calls
	}
	for _, row := range l.batch.rows {
		calls += row.Calls
	}
	return calls
}

// wait waits until it is time to write; false means that ctx has ended.
func (l *Ledger) wait(ctx context.Context) bool {
	timer := time.NewTimer(flushEvery)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-l.wake:
	}
	return ctx.Err() == nil
}

// flush writes all there is, batch by batch. A batch of which it is not known whether it was
// written is given again as it was: the store takes it once.
func (l *Ledger) flush(ctx context.Context) (err error) {
	defer func() {
		l.failed.Store(0)
		if err != nil {
			l.failed.Store(time.Now().UnixNano())
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	select {
	case l.flushing <- struct{}{}:
		defer func() { <-l.flushing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() {
		if err != nil && l.config.OnFailure != nil {
			l.config.OnFailure()
		}
	}()
	for l.take() {
		unnamed, err := l.config.Store.add(ctx, l.batch)
		if err != nil {
			return err
		}
		l.config.OnOverflow(unnamed)
		l.written = l.batch.coverage.to
		l.mu.Lock()
		l.batch.rows, l.batch.coverage = nil, coverage{}
		l.mu.Unlock()
	}
	now := l.config.Now()
	if today := dayOf(now); l.tidied != today {
		var before time.Time
		if l.config.Retention > 0 {
			before = now.Add(-l.config.Retention)
		}
		if err := l.config.Store.tidy(ctx, now, before, l.config.Names); err != nil {
			return err
		}
		l.tidied = today
	}
	return nil
}

// take makes the next batch, unless there is one; false means that there is nothing to write.
func (l *Ledger) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.batch.coverage.to.IsZero() {
		return true
	}
	now := l.config.Now()
	if len(l.rows) == 0 && now.Sub(l.written) < coverEvery {
		return false
	}
	for key, row := range l.rows {
		if len(l.batch.rows) == maxBatch {
			break
		}
		l.batch.rows = append(l.batch.rows, *row)
		delete(l.rows, key)
	}
	l.batch.number++
	l.batch.coverage = coverage{from: l.started, to: now, requests: l.requests.Swap(0)}
	slices.SortFunc(l.batch.rows, func(a, b Row) int { return compareKeys(a.Key, b.Key) })
	return true
}

// writeForReader writes what there is before somebody reads. A store that is slow or away holds up
// one reader for readFlushTimeout; those after it do not wait, until flushEvery has passed.
func (l *Ledger) writeForReader(ctx context.Context) {
	if time.Since(time.Unix(0, l.failed.Load())) < flushEvery {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, readFlushTimeout)
	defer cancel()
	_ = l.flush(ctx) // Unwritten says so
}

// Rows adds up the calls that a query asks for, of all replicas that share the store. The error is
// the store's, or says what is wrong with the query.
func (l *Ledger) Rows(ctx context.Context, q Query) ([]Row, error) {
	l.writeForReader(ctx)
	return l.config.Store.Rows(ctx, q)
}

// Evidence is what the ledger knows of the time since then, of the calls that pass a query's Where.
// The error is the store's.
func (l *Ledger) Evidence(ctx context.Context, since time.Time, where map[string][]string) (Evidence, error) {
	l.writeForReader(ctx)
	e, err := l.config.Store.Evidence(ctx, since, l.config.Now(), where)
	e.Unwritten = l.unwritten()
	return e, err
}
