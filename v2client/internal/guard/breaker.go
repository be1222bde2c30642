package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/sync/singleflight"
)

// BreakerConfig says when calls to a failing upstream are refused without
// trying. A caller's mistake never counts as a failure.
type BreakerConfig struct {
	// MinimumCalls is the number of failures in a row at which the breaker opens, and the
	// number of calls within Window below which FailureRate does not open it. At least 1.
	MinimumCalls int
	// FailureRate is the share of failed calls within Window at which the breaker opens.
	// Above 0 and up to 1.
	FailureRate float64
	// Window is how far back calls are counted, in ten rolling steps. At least
	// 100ms.
	Window time.Duration
	// OpenFor is how long an open breaker refuses every call; then the next one makes it
	// send a probe, for whose outcome calls wait. Above 0.
	OpenFor time.Duration
}

// BreakerState is what the breaker does with calls.
type BreakerState = gobreaker.State

// The states of a breaker.
const (
	BreakerClosed   = gobreaker.StateClosed   // calls go on
	BreakerHalfOpen = gobreaker.StateHalfOpen // calls wait for the outcome of a probe
	BreakerOpen     = gobreaker.StateOpen     // calls are refused
)

// windowSteps is the number of buckets that roll through BreakerConfig.Window.
const windowSteps = 10

// Validate names each mistake, with the configuration key, its value, and what would be right.
func (c BreakerConfig) Validate() error {
	var mistakes []error
	if c.MinimumCalls < 1 {
		mistakes = append(mistakes, fmt.Errorf("breaker.minimumCalls: %d: use 1 or more", c.MinimumCalls))
	}
	if !(c.FailureRate > 0 && c.FailureRate <= 1) { // written so that NaN fails too
		mistakes = append(mistakes, fmt.Errorf("breaker.failureRate: %v: use a share above 0 and up to 1, such as 0.5", c.FailureRate))
	}
	if c.Window < windowSteps*10*time.Millisecond {
		mistakes = append(mistakes, fmt.Errorf("breaker.window: %v: use 100ms or more, such as 10s", c.Window))
	}
	if c.OpenFor <= 0 {
		mistakes = append(mistakes, fmt.Errorf("breaker.openFor: %v: use a duration above 0, such as 5s", c.OpenFor))
	}
	return errors.Join(mistakes...)
}

// hangAfter is how long ZITADEL may answer nothing while calls wait for it before it is
// asked whether it is there; ProbeTimeout is how long that may take. A busy ZITADEL
// answers: at bcrypt's cost 14, a burst of calls may keep all its cores busy for longer
// than hangAfter before the first of them is done.
const (
	hangAfter    = 3 * time.Second
	ProbeTimeout = 7 * time.Second
)

// breaker is gobreaker's, told of a call at its completion. gobreaker would count it
// from its start: with upstream.timeout as long as the window, a hung call would fall out
// of the window before it failed, and calls under way would count as successes.
//
// A breaker that is half-open, and one that has heard nothing for hangAfter, ask ZITADEL
// themselves, by a probe: what a caller sends might be a write, or fail by its own fault.
type breaker struct {
	state *gobreaker.CircuitBreaker[struct{}]
	// probe asks ZITADEL a question that needs no token, under a host.
	probe func(host string) health
	// hung makes the next failure open the breaker.
	hung     atomic.Bool
	recovery singleflight.Group // of a half-open breaker

	mu         sync.Mutex
	pending    int       // attempts under way
	quietSince time.Time // when ZITADEL last answered, or since when attempts are under way
	watched    bool      // watch will run
	host       string    // under which probes ask: ZITADEL has answered under it, unless it has under none
	answered   bool      // ZITADEL has answered under host
}

func newBreaker(config BreakerConfig, probe func(host string) health, observe func(BreakerState), log *slog.Logger) *breaker {
	b := &breaker{probe: probe}
	b.state = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name:         "upstream",
		MaxRequests:  1,
		Interval:     config.Window,
		BucketPeriod: config.Window / windowSteps,
		Timeout:      config.OpenFor,
		ReadyToTrip: func(counts gobreaker.Counts) bool {
			enough := int64(counts.Requests) >= int64(config.MinimumCalls)
			return b.hung.Load() ||
				enough && float64(counts.TotalFailures) >= config.FailureRate*float64(counts.Requests) ||
				int64(counts.ConsecutiveFailures) >= int64(config.MinimumCalls)
		},
		OnStateChange: func(name string, from, to gobreaker.State) {
			if observe != nil {
				observe(to)
			}
			log.Warn("breaker changed state", "breaker", name, "from", from.String(), "to", to.String(), "hung", b.hung.Load())
		},
	})
	return b
}

// admit returns nil if an attempt may be made: at once while the breaker is closed, and
// when a probe has succeeded while it is half-open. It returns gobreaker.ErrOpenState if
// it may not, and ctx's error if ctx ends first.
func (b *breaker) admit(ctx context.Context) error {
	for {
		switch b.state.State() {
		case BreakerClosed:
			return ctx.Err()
		case BreakerOpen:
			return gobreaker.ErrOpenState
		case BreakerHalfOpen:
		}
		select {
		case <-b.recovery.DoChan("", b.probeHalfOpen):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// probeHalfOpen makes the probe of a half-open breaker, whose outcome closes or opens it.
func (b *breaker) probeHalfOpen() (any, error) {
	b.mu.Lock()
	host := b.host
	b.mu.Unlock()
	return b.state.Execute(func() (struct{}, error) { return struct{}{}, errorOf(b.probe(host)) })
}

// begin is told of each attempt, and end of its outcome.
func (b *breaker) begin(host string) (began time.Time) {
	began = time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pending == 0 {
		b.quietSince = began
	}
	b.pending++
	if !b.answered {
		b.host = host
	}
	if !b.watched {
		b.watched = true
		time.AfterFunc(hangAfter, b.watch)
	}
	return began
}

func (b *breaker) end(began time.Time, host string, outcome health) {
	b.mu.Lock()
	b.pending--
	if outcome == healthy {
		b.quietSince, b.host, b.answered = time.Now(), host, true
	}
	busy := b.quietSince.After(began)
	b.mu.Unlock()
	if outcome == late && busy { // it answers others
		outcome = notCounted
	}
	b.report(outcome)
}

// errSilent is the cause of a context that untilSilent ended.
var errSilent = errors.New("ZITADEL answered nothing in the meantime")

// untilSilent returns a context for an attempt that begins now. It ends when ZITADEL has
// answered no call and no probe for limit: a busy ZITADEL may take longer for each call, but
// answers others meanwhile.
func (b *breaker) untilSilent(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	var look func()
	look = func() {
		b.mu.Lock()
		left := limit - time.Since(b.quietSince)
		b.mu.Unlock()
		switch {
		case ctx.Err() != nil:
		case left > 0:
			time.AfterFunc(left, look)
		default:
			cancel(errSilent)
		}
	}
	timer := time.AfterFunc(limit, look)
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}

// report counts an outcome while the breaker is closed. Otherwise the probe decides.
func (b *breaker) report(outcome health) {
	if outcome != notCounted && b.state.State() == BreakerClosed {
		_, _ = b.state.Execute(func() (struct{}, error) { return struct{}{}, errorOf(outcome) })
	}
}

// watch asks ZITADEL, which has not answered anything for hangAfter, whether it is there,
// as long as attempts wait for it.
func (b *breaker) watch() {
	b.mu.Lock()
	quiet, host := time.Since(b.quietSince), b.host
	b.watched = b.pending > 0 && b.state.State() == BreakerClosed
	watched := b.watched
	b.mu.Unlock()
	switch {
	case !watched:
		return
	case quiet < hangAfter:
		time.AfterFunc(hangAfter-quiet, b.watch)
		return
	}
	asked := time.Now()
	outcome := b.probe(host)
	b.mu.Lock()
	if outcome == healthy {
		b.quietSince = time.Now()
	}
	hung := errorOf(outcome) != nil && b.quietSince.Before(asked)
	b.mu.Unlock()
	if hung {
		b.hung.Store(true)
		b.report(failing)
		b.hung.Store(false)
	}
	time.AfterFunc(hangAfter, b.watch)
}

// errFailing is what gobreaker is told of a failure.
var errFailing = errors.New("the upstream is failing")

// errorOf is nil for an outcome that does not count against the upstream.
func errorOf(outcome health) error {
	if outcome == failing || outcome == late {
		return errFailing
	}
	return nil
}
