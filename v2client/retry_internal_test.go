package v2client

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/upstream"
)

// newRetrying is a Client for calls that the tests make themselves.
func newRetrying(retry RetryConfig) *Client {
	return &Client{
		breaker: newBreaker(BreakerConfig{MinimumCalls: 1 << 30, FailureRate: 1, Window: time.Minute, OpenFor: time.Minute}, nil, slog.New(slog.DiscardHandler)),
		retry:   retry, budget: newRetryBudget(retry.Budget), timeout: time.Minute,
	}
}

func quick(attempts int, budget float64) RetryConfig {
	return RetryConfig{Attempts: attempts, BaseDelay: time.Nanosecond, MaxDelay: time.Nanosecond, Budget: budget}
}

// retried makes a call with retries, and tells how often it was made.
func retried(ctx context.Context, client *Client, kind kind, to target, send func(ctx context.Context, attempts int) error) (attempts int, failure *Error) {
	pending := call[int]{client: client, kind: kind, to: to, send: func(ctx context.Context, _ target) (*int, error) {
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

// A write is made again only if it was not sent; a read in any case. A suspect target is
// no reason against it.
func TestRetries(t *testing.T) {
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
				t.Errorf("%s, kind %d, sent %v: %d attempts, want %d", name, test.kind, test.sent, attempts, test.want)
			}
		}
	}
}

// An attempt whose transport has not told its outcome may have been handled.
func TestUnknownAttemptIsNoRetry(t *testing.T) {
	t.Parallel()
	attempts, failure := retried(t.Context(), newRetrying(quick(3, 1)), write, target{}, func(context.Context, int) error { return errReset })
	if attempts != 1 || failure.Message != unknownOutcome {
		t.Errorf("%d attempts, %v; want 1, and an unknown outcome", attempts, failure)
	}
}

// A budget bounds the retries of an outage, and success ends them.
func TestRetryBudget(t *testing.T) {
	t.Parallel()
	for budget, most := range map[float64]int{0: 1000, 0.2: 1000 + retryReserve + 200, 1: 3000} {
		client, total := newRetrying(quick(3, budget)), 0
		for range 1000 {
			attempts, _ := retried(t.Context(), client, read, target{}, func(context.Context, int) error { return errReset })
			total += attempts
		}
		if total > most || total < most-retryReserve-1000*int(budget) {
			t.Errorf("budget %v: %d attempts for 1000 calls, want %d", budget, total, most)
		}
	}
	attempts, failure := retried(t.Context(), newRetrying(quick(5, 1)), read, target{}, func(_ context.Context, attempts int) error {
		if attempts < 3 {
			return errReset
		}
		return nil
	})
	if failure != nil || attempts != 3 {
		t.Errorf("%v after %d attempts, want success after 3", failure, attempts)
	}
}

// There is no retry without time for it, and none for a client that has left.
func TestRetryStaysWithinTheCallsTime(t *testing.T) {
	t.Parallel()
	slow := RetryConfig{Attempts: 10, BaseDelay: 1000 * time.Hour, MaxDelay: 1000 * time.Hour, Budget: 1}
	for name, leaves := range map[string]bool{"deadline": false, "cancel": true} {
		ctx, cancel := context.WithCancel(t.Context())
		if !leaves {
			ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		}
		attempts, failure := retried(ctx, newRetrying(slow), read, target{}, func(context.Context, int) error {
			if leaves {
				time.AfterFunc(time.Millisecond, cancel)
			}
			return errReset
		})
		if attempts != 1 || failure == nil {
			t.Errorf("%s: %d attempts, %v; want 1 and an error", name, attempts, failure)
		}
		cancel()
	}
}
