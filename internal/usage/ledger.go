package usage

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"zitadel-v1-adapter/adapter"
)

// Config configures a Ledger.
type Config struct {
	// Store keeps the ledger. Default: it lives and dies with the Ledger.
	Store *Store
	// Retention is how long days are kept; 0 is for ever.
	Retention time.Duration
	// OnOverflow is called for each call whose caller there was no room to tell apart.
	// Default: none.
	OnOverflow func()
	// OnFailure is called for each time that the store could not take a batch. Default:
	// none.
	OnFailure func()
	// Log receives what the store could not do. Default: none.
	Log *slog.Logger
}

// Ledger counts calls. With a Store it holds what the store has not taken yet, which a
// database that is slow or away may leave with it for long; without one it holds everything.
// It is safe for concurrent use.
type Ledger struct {
	config Config
	log    *slog.Logger
	wake   chan struct{} // there is much to write

	mu      sync.Mutex
	rows    map[Key]*Row
	shadows map[ShadowRow]int64
	batch   []Row // taken out of rows, and perhaps written
	number  int64 // of the batch
	cleaned string
}

const (
	// maxRows bounds the ledger in memory: about 10 MiB. Calls of further callers are
	// counted as those of Others.
	maxRows = 20_000
	// maxBatch is the number of rows that are written in one transaction.
	maxBatch = 1000
	// flushEvery is how long the store may lag behind, and how often one that fails is tried.
	flushEvery = 2 * time.Second
	// writeTimeout is how long it may take to write what there is.
	writeTimeout = 10 * time.Second
	// retryPause is the time between two attempts at the end.
	retryPause = 100 * time.Millisecond
)

// NewLedger returns an empty Ledger. With a Store, Run has to run, and then Finish.
func NewLedger(config Config) *Ledger {
	log := config.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Ledger{config: config, log: log, wake: make(chan struct{}, 1), rows: map[Key]*Row{}, shadows: map[ShadowRow]int64{}}
}

// Observe counts a call. It takes no time to speak of, whatever the store does.
func (l *Ledger) Observe(event adapter.Event) {
	row := rowOf(event)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rows[row.Key] == nil && len(l.rows)+len(l.batch) >= maxRows {
		row.Caller, row.Organization, row.Client = Others, "", ""
		if l.config.OnOverflow != nil {
			l.config.OnOverflow()
		}
	}
	if known := l.rows[row.Key]; known != nil {
		known.add(row)
		return
	}
	fresh := row // row itself would be on the heap for every call
	l.rows[row.Key] = &fresh
	if l.config.Store != nil && len(l.rows) == maxBatch {
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
			l.log.WarnContext(ctx, "the usage store takes nothing, calls are kept in memory until it does", "cause", err.Error())
		case err == nil && failing:
			l.log.InfoContext(ctx, "the usage store takes calls again")
		}
		failing = err != nil
	}
}

// Finish writes what is left after Run. A store that fails is tried again until ctx ends; the
// error says how many calls it may not have.
func (l *Ledger) Finish(ctx context.Context) error {
	if l.config.Store == nil {
		return nil
	}
	for {
		err := l.flush(ctx)
		left := l.unwritten()
		if err == nil || left == 0 { // old days can be forgotten later
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d not written: %w", left, err)
		case <-time.After(retryPause):
		}
	}
}

// unwritten is the number of calls that the store may not have.
func (l *Ledger) unwritten() (calls int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, row := range l.rows {
		calls += row.Calls
	}
	for _, row := range l.batch {
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
		if err != nil && l.config.OnFailure != nil {
			l.config.OnFailure()
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	for l.take() {
		if err := l.config.Store.add(ctx, l.number, l.batch); err != nil {
			return err
		}
		l.mu.Lock()
		l.batch = nil
		l.mu.Unlock()
	}
	if today := time.Now().UTC().Format(time.DateOnly); l.config.Retention > 0 && l.cleaned != today {
		if err := l.config.Store.forget(ctx, time.Now().Add(-l.config.Retention)); err != nil {
			return err
		}
		l.cleaned = today
	}
	return nil
}

// take makes the next batch, unless there is one; false means that there is nothing to write.
func (l *Ledger) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.batch) > 0 {
		return true
	}
	for key, row := range l.rows {
		if len(l.batch) == maxBatch {
			break
		}
		l.batch = append(l.batch, *row)
		delete(l.rows, key)
	}
	l.number++
	slices.SortFunc(l.batch, func(a, b Row) int { return compareKeys(a.Key, b.Key) })
	return len(l.batch) > 0
}

// Rows are those of the days since a time, of all replicas that share the store, with what
// this one has not written yet. The error is the store's.
func (l *Ledger) Rows(ctx context.Context, since time.Time) ([]Row, error) {
	day := since.UTC().Format(time.DateOnly)
	var rows []Row
	l.mu.Lock()
	for _, row := range l.rows {
		rows = append(rows, *row)
	}
	// The batch may be in the store already: it counts once it is out of memory.
	l.mu.Unlock()
	rows = slices.DeleteFunc(rows, func(row Row) bool { return row.Day < day })
	if l.config.Store == nil {
		return Merge(rows), nil
	}
	stored, err := l.config.Store.Rows(ctx, since)
	return Merge(rows, stored), err
}
