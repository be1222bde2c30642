package v2client

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sony/gobreaker/v2"
)

// BreakerConfig says when calls to a failing upstream are refused without
// trying. What counts as a failure is decided in [Error], never by a caller's
// mistake.
type BreakerConfig struct {
	// MinimumCalls within Window before the failure rate means anything.
	// At least 1.
	MinimumCalls int
	// FailureRate above 0 and up to 1, from which on the breaker opens.
	FailureRate float64
	// Window is how far back calls are counted, in ten rolling steps. At least
	// 100ms.
	Window time.Duration
	// OpenFor is how long no call is let through before a single probe is.
	// Above 0.
	OpenFor time.Duration
}

// windowSteps is how many buckets roll through BreakerConfig.Window.
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

// breaker is gobreaker's, told of a call when its outcome is known. gobreaker would count
// it from its beginning on: with upstream.timeout as long as the window, calls that
// hang would have left it by their end, and those that are under way or say nothing
// would count as good ones until then.
type breaker struct {
	state *gobreaker.TwoStepCircuitBreaker[struct{}]
}

// pass is what a call gets that may be made.
type pass struct {
	// leave must be called with what became of the call, nil for success.
	leave func(*Error)
	// probe says that a half-open breaker may wait for it.
	probe bool
}

// enter asks whether a call may be made. doubtful is one whose failure might be its own
// fault: a half-open breaker lets it pass, but does not wait for it, or those who send
// such would shut everybody out.
func (b *breaker) enter(doubtful bool) (pass, error) {
	if state := b.state.State(); state == gobreaker.StateClosed || state == gobreaker.StateHalfOpen && doubtful {
		return pass{leave: b.leave}, nil
	}
	done, err := b.state.Allow()
	return pass{leave: func(failure *Error) { done(orNil(failure)) }, probe: true}, err
}

// leave counts the outcome of a call that nobody waited for. If the breaker is half-open
// by now, it is as good as a probe's.
func (b *breaker) leave(failure *Error) {
	if failure.excluded() {
		return
	}
	if done, err := b.state.Allow(); err == nil {
		done(orNil(failure))
	}
}

// orNil is an error that is nil if there is none.
func orNil(failure *Error) error {
	if failure == nil {
		return nil
	}
	return failure
}

func newBreaker(config BreakerConfig, observe func(state string), log *slog.Logger) *breaker {
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
				observe(to.String())
			}
			log.Warn("breaker changed state", "breaker", name, "from", from.String(), "to", to.String())
		},
		IsSuccessful: func(err error) bool {
			var failure *Error
			return !errors.As(err, &failure) || !failure.upstreamFailed()
		},
		IsExcluded: func(err error) bool {
			var failure *Error
			return errors.As(err, &failure) && failure.excluded()
		},
	})}
}
