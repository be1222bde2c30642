package guard

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/v2client/internal/wire"
)

// Retries, with the attempts made by the tests. On the wire: retry_test.go.

// newRetrying returns a Guard whose breaker does not open.
func newRetrying(retry RetryConfig) *Guard {
	neverOpens := BreakerConfig{MinimumCalls: 1 << 30, FailureRate: 1, Window: time.Minute, OpenFor: time.Minute}
	return mustNew(Config{Breaker: neverOpens, Retry: retry, ReadTimeout: time.Minute, Upstream: to(upstream.HostUpstream)}, answered)
}

// to returns an upstream that is asked under a host.
func to(host string) *upstream.Upstream {
	made, err := upstream.New(upstream.Config{URL: "http://zitadel", Host: host})
	if err != nil {
		panic(err)
	}
	return made
}

// mustNew returns a Guard whose probes have the outcome that probe returns.
func mustNew(config Config, probe func(host string) health) *Guard {
	config.Log = slog.New(slog.DiscardHandler)
	g := New(config)
	g.breaker = newBreaker(config.Breaker, probe, nil, config.Log)
	return g
}

// quick returns a configuration without noticeable delays.
func quick(attempts int, budget float64) RetryConfig {
	return RetryConfig{Attempts: attempts, BaseDelay: time.Nanosecond, MaxDelay: time.Nanosecond, Budget: budget}
}

// retried makes a call with retries, and counts its attempts.
func retried(ctx context.Context, g *Guard, call Call, send func(ctx context.Context, attempts int) error) (attempts int, failure *Error) {
	err := g.Do(ctx, call, func(ctx context.Context) error {
		attempts++
		return send(ctx, attempts)
	})
	failure, _ = errors.AsType[*Error](err)
	return attempts, failure
}

var reads, writes = Call{}, Call{Writes: true}

var errReset = errors.New("connection reset by peer")

// A write that was sent is not made again; one that was not sent is, and so is a read in
// either case. Calls with large headers, or an unknown host, are retried like any others.
func TestSentWritesAreNeverRetried(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]http.Header{"usual": {}, "large headers": {"X": {strings.Repeat("x", 7<<10)}}, "unverified host": {"Host": {"stranger"}}} {
		for _, test := range []struct {
			writes bool
			sent   bool
			want   int
		}{{false, false, 3}, {false, true, 3}, {true, false, 3}, {true, true, 1}} {
			g := newRetrying(quick(3, 1))
			g.config.Upstream = to(upstream.HostClient)
			attempts, failure := retried(t.Context(), g, Call{Writes: test.writes, Header: header}, func(context.Context, int) error {
				return &wire.Error{Dialed: true, Sent: test.sent, Cause: errReset}
			})
			if attempts != test.want || failure == nil {
				t.Errorf("%s, writes %v, sent %v: got %d attempts and %v, want %d and an error",
					name, test.writes, test.sent, attempts, failure, test.want)
			}
		}
	}
}

// If an error does not tell what became of an attempt, a write may have been
// handled, and is not made again.
func TestWriteWithUnknownAttemptIsNotRetried(t *testing.T) {
	t.Parallel()
	resets := func(context.Context, int) error { return errReset }
	attempts, failure := retried(t.Context(), newRetrying(quick(3, 1)), writes, resets)
	if attempts != 1 || failure.Message != unknownOutcome {
		t.Errorf("got %d attempts and %v, want 1 and %s", attempts, failure, unknownOutcome)
	}
}

// The budget bounds the retries of all calls during an outage. A call is not retried after
// it has succeeded.
func TestRetryBudgetBoundsRetries(t *testing.T) {
	t.Parallel()
	for budget, most := range map[float64]int{0: 1000, 0.2: 1000 + retryReserve + 200, 1: 3000} {
		g, total := newRetrying(quick(3, budget)), 0
		for range 1000 {
			attempts, _ := retried(t.Context(), g, reads, func(context.Context, int) error { return errReset })
			total += attempts
		}
		if total > most || total < most-retryReserve-1000*int(budget) {
			t.Errorf("budget %v: got %d attempts for 1000 calls, want about %d and no more", budget, total, most)
		}
	}
	attempts, failure := retried(t.Context(), newRetrying(quick(5, 1)), reads, func(_ context.Context, attempts int) error {
		if attempts < 3 {
			return errReset
		}
		return nil
	})
	if failure != nil || attempts != 3 {
		t.Errorf("got %v after %d attempts, want success after 3", failure, attempts)
	}
}

// A call is not retried if its deadline would pass before the retry, nor after its client
// has canceled it.
func TestRetriesStopAtDeadlineOrCancel(t *testing.T) {
	t.Parallel()
	slow := RetryConfig{Attempts: 10, BaseDelay: 1000 * time.Hour, MaxDelay: 1000 * time.Hour, Budget: 1}
	for name, cancels := range map[string]bool{"deadline": false, "cancel": true} {
		ctx, cancel := context.WithCancel(t.Context())
		if !cancels {
			ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		}
		attempts, failure := retried(ctx, newRetrying(slow), reads, func(context.Context, int) error {
			if cancels {
				time.AfterFunc(time.Millisecond, cancel)
			}
			return errReset
		})
		if attempts != 1 || failure == nil {
			t.Errorf("%s: got %d attempts and %v, want 1 and an error", name, attempts, failure)
		}
		cancel()
	}
}
