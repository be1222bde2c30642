package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
	"github.com/sony/gobreaker/v2"
	"golang.org/x/sync/singleflight"
)

// BreakerConfig says when calls to a failing upstream are refused without trying: after MinimumCalls
// failures in a row, or when a share of FailureRate of as many calls within Window has failed.
type BreakerConfig struct {
	MinimumCalls int           `default:"10"  yaml:"minimumCalls"` // failures in a row that open it; at least 1
	FailureRate  float64       `default:"0.5" yaml:"failureRate"`  // above 0 and up to 1
	Window       time.Duration `default:"10s" yaml:"window"`       // counted in ten rolling steps; at least 100ms
	OpenFor      time.Duration `default:"5s"  yaml:"openFor"`      // how long calls are refused, before a probe; above 0
}

const windowSteps = 10

// Validate names each mistake, with the configuration key, its value, and what would be right.
func (c BreakerConfig) Validate() error {
	return errors.Join(
		Checkf(c.MinimumCalls >= 1, "breaker.minimumCalls: %d: use 1 or more", c.MinimumCalls),
		Checkf(c.FailureRate > 0 && c.FailureRate <= 1, "breaker.failureRate: %v: use a share above 0 and up to 1, such as 0.5", c.FailureRate),
		Checkf(c.Window >= windowSteps*10*time.Millisecond, "breaker.window: %v: use 100ms or more, such as 10s", c.Window),
		Checkf(c.OpenFor > 0, "breaker.openFor: %v: use a duration above 0, such as 5s", c.OpenFor),
	)
}

// Checkf returns an error with the message unless ok.
func Checkf(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// hangAfter is how long ZITADEL may be silent while calls wait for it before it is asked whether
// it is there; ProbeTimeout is how long that may take. A busy one answers: at bcrypt's cost 14,
// a burst of calls may keep all its cores busy for longer than hangAfter.
const (
	hangAfter    = 3 * time.Second
	ProbeTimeout = 7 * time.Second
)

// breaker is gobreaker's, told of a call at its completion. gobreaker would count it from its
// start: with upstream.timeout as long as the window, a hung call would fall out of the window
// before it failed, and calls under way would count as successes.
//
// A breaker that is half-open, and one that has heard nothing for hangAfter, ask ZITADEL
// themselves, by a probe: what a caller sends might be a write, or fail by its own fault.
type breaker struct {
	state    *gobreaker.CircuitBreaker[any]
	openFor  time.Duration
	probe    func(host string) health // asks ZITADEL a question that needs no token
	host     atomic.Pointer[string]   // for probes: ZITADEL answered under it last, or else the first call's
	hung     atomic.Bool              // makes the next failure open the breaker
	recovery singleflight.Group       // of a half-open breaker

	mu         sync.Mutex
	pending    int       // attempts under way
	quietSince time.Time // when ZITADEL last answered, or since when attempts are under way
	watched    bool      // watch will run
}

func newBreaker(config BreakerConfig, probe func(host string) health, observe func(gobreaker.State), log *slog.Logger) *breaker {
	b := &breaker{probe: probe, openFor: config.OpenFor}
	b.state = gobreaker.NewCircuitBreaker[any](gobreaker.Settings{
		Name:         "upstream",
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

// admit returns nil if an attempt may be made: at once while the breaker is closed, and when a
// probe has succeeded while it is half-open.
func (b *breaker) admit(ctx context.Context) *Error {
	probe := func() (any, error) { return b.state.Execute(b.probe(*b.host.Load()).result) } // closes or opens it
	for ctx.Err() == nil {
		switch b.state.State() {
		case gobreaker.StateClosed:
			return nil
		case gobreaker.StateOpen:
			return &Error{
				Code: connect.CodeUnavailable, Message: "ZITADEL is unavailable, try again later",
				Origin: OriginBreaker, RetryAfter: b.openFor, cause: gobreaker.ErrOpenState,
			}
		case gobreaker.StateHalfOpen:
			select {
			case <-b.recovery.DoChan("", probe):
			case <-ctx.Done():
			}
		}
	}
	return newEndedError(ctx.Err(), endingOf(ctx))
}

// report counts an outcome while the breaker is closed. Otherwise the probe decides.
func (b *breaker) report(outcome health) {
	if outcome != notCounted && b.state.State() == gobreaker.StateClosed {
		_, _ = b.state.Execute(outcome.result)
	}
}

var errFailing = errors.New("the upstream is failing")

// result is what gobreaker is told of an outcome.
func (h health) result() (any, error) {
	if h == failing || h == late {
		return nil, errFailing
	}
	return nil, nil //nolint:nilnil // gobreaker looks at the error alone
}

// begin is told of each attempt, and end of its outcome.
func (b *breaker) begin(host string) (began time.Time) {
	b.host.CompareAndSwap(nil, &host)
	b.mu.Lock()
	defer b.mu.Unlock()
	began = time.Now()
	if b.pending == 0 {
		b.quietSince = began
	}
	b.pending++
	if !b.watched {
		b.watched = true
		b.watch()
	}
	return began
}

func (b *breaker) end(began time.Time, host string, outcome health) {
	b.mu.Lock()
	b.pending--
	if outcome == healthy {
		b.quietSince = time.Now()
		b.host.Store(&host)
	}
	busy := b.quietSince.After(began)
	b.mu.Unlock()
	b.report(outcome.unless(outcome == late && busy)) // it answers others
}

// afterSilence calls act, if it is still wanted, when ZITADEL has answered no call and no probe for limit from now on.
func (b *breaker) afterSilence(limit time.Duration, wanted func() bool, act func()) *time.Timer {
	var look func()
	look = func() {
		b.mu.Lock()
		left, isWanted := limit-time.Since(b.quietSince), wanted()
		b.mu.Unlock()
		switch {
		case !isWanted:
		case left > 0:
			time.AfterFunc(left, look)
		default:
			act()
		}
	}
	return time.AfterFunc(limit, look)
}

var errSilent = errors.New("ZITADEL answered nothing in the meantime")

// untilSilent returns a context that ends when ZITADEL has been silent for limit: a busy one may
// take longer for a call, but answers others meanwhile.
func (b *breaker) untilSilent(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := b.afterSilence(limit, func() bool { return ctx.Err() == nil }, func() { cancel(errSilent) })
	return ctx, func() {
		timer.Stop()
		cancel(nil)
	}
}

// watch asks a ZITADEL that is silent for hangAfter whether it is there, as long as attempts wait for it.
func (b *breaker) watch() {
	b.afterSilence(hangAfter, func() bool {
		b.watched = b.pending > 0 && b.state.State() == gobreaker.StateClosed
		return b.watched
	}, func() {
		asked := time.Now()
		outcome := b.probe(*b.host.Load())
		b.mu.Lock()
		if outcome == healthy {
			b.quietSince = time.Now()
		}
		silent := b.quietSince.Before(asked)
		b.mu.Unlock()
		if _, err := outcome.result(); err != nil && silent {
			b.hung.Store(true)
			b.report(failing)
			b.hung.Store(false)
		}
		b.watch()
	})
}
