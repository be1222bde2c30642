package v2client

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/upstream"
)

// Retries, with the attempts made by the tests. On the wire: retry_test.go.

// newRetrying returns a Client without an upstream, whose breaker does not open.
func newRetrying(retry RetryConfig) *Client {
	neverOpens := BreakerConfig{MinimumCalls: 1 << 30, FailureRate: 1, Window: time.Minute, OpenFor: time.Minute}
	return &Client{
		breaker: newBreaker(neverOpens, answered, nil, slog.New(slog.DiscardHandler)),
		retry:   retry, budget: newRetryBudget(retry.Budget), readTimeout: time.Minute,
	}
}

// quick returns a configuration without noticeable delays.
func quick(attempts int, budget float64) RetryConfig {
	return RetryConfig{Attempts: attempts, BaseDelay: time.Nanosecond, MaxDelay: time.Nanosecond, Budget: budget}
}

// retried makes a call with retries, and counts its attempts.
func retried(
	ctx context.Context, client *Client, kind kind, to target, send func(ctx context.Context, attempts int) error,
) (attempts int, failure *Error) {
	pending := call[int]{operation: operation{"", kind}, client: client, to: to, send: func(ctx context.Context, _ target) (*int, error) {
		attempts++
		if err := send(ctx, attempts); err != nil {
			return nil, err
		}
		return new(int), nil
	}}
	_, failure = pending.withRetry(ctx)
	return attempts, failure
}

var errReset = errors.New("connection reset by peer")

// A write that was sent is not made again; one that was not sent is, and so is a read in
// either case. Calls with a suspect target are retried like any others.
func TestSentWritesAreNeverRetried(t *testing.T) {
	t.Parallel()
	for name, to := range map[string]target{"usual": {}, "large headers": {largeHeaders: true}, "unverified host": {unverifiedHost: true}} {
		for _, test := range []struct {
			kind kind
			sent bool
			want int
		}{{read, false, 3}, {read, true, 3}, {write, false, 3}, {write, true, 1}} {
			attempts, failure := retried(t.Context(), newRetrying(quick(3, 1)), test.kind, to, func(ctx context.Context, _ int) error {
				noteAttempt(ctx, attempt{Outcome: upstream.Outcome{Dialed: true, Sent: test.sent}})
				return errReset
			})
			if attempts != test.want || failure == nil {
				t.Errorf("%s, kind %d, sent %v: got %d attempts and %v, want %d and an error",
					name, test.kind, test.sent, attempts, failure, test.want)
			}
		}
	}
}

// If the transport does not report what became of an attempt, a write may have been
// handled, and is not made again.
func TestWriteWithUnknownAttemptIsNotRetried(t *testing.T) {
	t.Parallel()
	resets := func(context.Context, int) error { return errReset }
	attempts, failure := retried(t.Context(), newRetrying(quick(3, 1)), write, target{}, resets)
	if attempts != 1 || failure.Message != unknownOutcome {
		t.Errorf("got %d attempts and %v, want 1 and %s", attempts, failure, unknownOutcome)
	}
}

// The budget bounds the retries of all calls during an outage. A call is not retried after
// it has succeeded.
func TestRetryBudgetBoundsRetries(t *testing.T) {
	t.Parallel()
	for budget, most := range map[float64]int{0: 1000, 0.2: 1000 + retryReserve + 200, 1: 3000} {
		client, total := newRetrying(quick(3, budget)), 0
		for range 1000 {
			attempts, _ := retried(t.Context(), client, read, target{}, func(context.Context, int) error { return errReset })
			total += attempts
		}
		if total > most || total < most-retryReserve-1000*int(budget) {
			t.Errorf("budget %v: got %d attempts for 1000 calls, want about %d and no more", budget, total, most)
		}
	}
	attempts, failure := retried(t.Context(), newRetrying(quick(5, 1)), read, target{}, func(_ context.Context, attempts int) error {
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
		attempts, failure := retried(ctx, newRetrying(slow), read, target{}, func(context.Context, int) error {
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
