package v2client

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sony/gobreaker/v2"
)

// BreakerConfig says when calls to a failing upstream are refused without
// trying. A caller's mistake never counts as a failure.
type BreakerConfig struct {
	// MinimumCalls is the number of calls within Window below which the breaker does not
	// open. At least 1.
	MinimumCalls int
	// FailureRate is the share of failed calls at which the breaker opens. Above 0 and
	// up to 1.
	FailureRate float64
	// Window is how far back calls are counted, in ten rolling steps. At least
	// 100ms.
	Window time.Duration
	// OpenFor is how long an open breaker refuses every call; then a single one goes on
	// as a probe. Above 0.
	OpenFor time.Duration
}

// BreakerState is what the breaker does with calls.
type BreakerState int

// The states of a breaker.
const (
	BreakerClosed   BreakerState = iota // calls go on
	BreakerHalfOpen                     // one call goes on as a probe, others are refused
	BreakerOpen                         // calls are refused
)

// String is the state's name in logs and metrics.
func (s BreakerState) String() string {
	switch s {
	case BreakerClosed:
		return "closed"
	case BreakerHalfOpen:
		return "half-open"
	case BreakerOpen:
		return "open"
	}
	return "unknown"
}

func stateOf(state gobreaker.State) BreakerState {
	switch state {
	case gobreaker.StateOpen:
		return BreakerOpen
	case gobreaker.StateHalfOpen:
		return BreakerHalfOpen
	case gobreaker.StateClosed:
	}
	return BreakerClosed
}

// windowSteps is the number of buckets that roll through BreakerConfig.Window.
const windowSteps = 10

func (c BreakerConfig) validate() error {
	switch {
	case c.MinimumCalls < 1:
		return fmt.Errorf("breaker.minimumCalls: %d: use 1 or more", c.MinimumCalls)
	case !(c.FailureRate > 0 && c.FailureRate <= 1): // written so that NaN fails too
		return fmt.Errorf("breaker.failureRate: %v: use a share above 0 and up to 1, such as 0.5", c.FailureRate)
	case c.Window < windowSteps*10*time.Millisecond:
		return fmt.Errorf("breaker.window: %v: use 100ms or more, such as 10s", c.Window)
	case c.OpenFor <= 0:
		return fmt.Errorf("breaker.openFor: %v: use a duration above 0, such as 5s", c.OpenFor)
	}
	return nil
}

// breaker is gobreaker's, told of a call at its completion. gobreaker would count it
// from its start: with upstream.timeout as long as the window, a hung call would fall out
// of the window before it failed, and calls under way would count as successes.
type breaker struct {
	state *gobreaker.TwoStepCircuitBreaker[struct{}]
}

// permit is the permission to make a call.
type permit struct {
	// report must be called with the call's outcome, nil for success.
	report func(*Error)
	// probe says that a half-open breaker waits for this call.
	probe bool
}

// acquire asks whether a call may be made. A suspect call, whose failure may be its own
// fault, passes a half-open breaker but is not its probe: those who send such calls could
// hold it half-open.
func (b *breaker) acquire(suspect bool) (permit, error) {
	if state := b.state.State(); state == gobreaker.StateClosed || state == gobreaker.StateHalfOpen && suspect {
		return permit{report: b.report}, nil
	}
	done, err := b.state.Allow()
	return permit{report: func(failure *Error) { done(asError(failure)) }, probe: true}, err
}

// report counts the outcome of a call that is no probe. If the breaker is half-open by
// now, it is as good as a probe's.
func (b *breaker) report(failure *Error) {
	if failure != nil && failure.health == notCounted {
		return
	}
	if done, err := b.state.Allow(); err == nil {
		done(asError(failure))
	}
}

// asError is nil for a nil *Error.
func asError(failure *Error) error {
	if failure == nil {
		return nil
	}
	return failure
}

func newBreaker(config BreakerConfig, observe func(BreakerState), log *slog.Logger) *breaker {
	return &breaker{gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:         "upstream",
		MaxRequests:  1,
		Interval:     config.Window,
		BucketPeriod: config.Window / windowSteps,
		Timeout:      config.OpenFor,
		ReadyToTrip: func(counts gobreaker.Counts) bool {
			return int64(counts.Requests) >= int64(config.MinimumCalls) &&
				float64(counts.TotalFailures) >= config.FailureRate*float64(counts.Requests)
		},
		OnStateChange: func(name string, from, to gobreaker.State) {
			if observe != nil {
				observe(stateOf(to))
			}
			log.Warn("breaker changed state", "breaker", name, "from", from.String(), "to", to.String())
		},
		IsSuccessful: func(err error) bool {
			failure, ok := errors.AsType[*Error](err)
			return !ok || failure.health != failing
		},
		IsExcluded: func(err error) bool {
			failure, ok := errors.AsType[*Error](err)
			return ok && failure.health == notCounted
		},
	})}
}
