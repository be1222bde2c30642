package v2client

import (
	"context"
	"errors"
	"log/slog"
	"net/http/httptrace"
	"testing"
	"time"

	"connectrpc.com/connect"
)

// newRepeating is a Client for repeated alone.
func newRepeating(retry RetryConfig) *Client {
	return &Client{
		breaker: newBreaker(BreakerConfig{MinimumCalls: 1 << 30, FailureRate: 1, Window: time.Minute, OpenFor: time.Minute}, nil, slog.New(slog.DiscardHandler)),
		retry:   retry, budget: newRetryBudget(retry.Budget), timeout: time.Minute,
	}
}

func quick(attempts int, budget float64) RetryConfig {
	return RetryConfig{Attempts: attempts, BaseDelay: time.Nanosecond, MaxDelay: time.Nanosecond, Budget: budget}
}

// What may be made again, and what may not: a write never, once it was sent.
func TestWhatIsRepeated(t *testing.T) {
	t.Parallel()
	reset := errors.New("connection reset by peer")
	for name, test := range map[string]struct {
		failure error
		sent    bool
		reads   int // attempts of a read
		writes  int // attempts of a write
		unknown bool
	}{
		"never sent":                     {failure: reset, reads: 3, writes: 3},
		"sent":                           {failure: reset, sent: true, reads: 3, writes: 1, unknown: true},
		"ZITADEL is unavailable":         {failure: &Error{Code: connect.CodeUnavailable, Origin: OriginZITADEL}, sent: true, reads: 3, writes: 1},
		"ZITADEL refuses":                {failure: &Error{Code: connect.CodePermissionDenied, Origin: OriginZITADEL}, sent: true, reads: 1, writes: 1},
		"ZITADEL breaks down":            {failure: &Error{Code: connect.CodeInternal, Origin: OriginZITADEL}, sent: true, reads: 1, writes: 1},
		"a load balancer refuses":        {failure: &Error{Code: connect.CodeUnavailable, Origin: OriginTransport, refused: true}, sent: true, reads: 1, writes: 1, unknown: true},
		"the deadline passed":            {failure: &Error{Code: connect.CodeDeadlineExceeded, Origin: OriginDeadline, ownBudget: true}, reads: 1, writes: 1},
		"the client went away":           {failure: &Error{Code: connect.CodeCanceled, Origin: OriginCanceled}, reads: 1, writes: 1},
		"the request could not be built": {failure: &Error{Code: connect.CodeInternal, Origin: OriginSelf}, reads: 1, writes: 1},
	} {
		for kind, want := range map[kind]int{read: test.reads, write: test.writes} {
			attempts := 0
			_, err := repeated(t.Context(), newRepeating(quick(3, 1)), kind, target{}, func(ctx context.Context) (*struct{}, error) {
				attempts++
				if test.sent {
					trace := httptrace.ContextClientTrace(ctx)
					trace.GetConn("")
					trace.WroteHeaders()
				}
				if made, ok := errors.AsType[*Error](test.failure); ok {
					own := *made // every call's error is its own, and is written into
					return nil, &own
				}
				return nil, test.failure
			})
			failure, _ := errors.AsType[*Error](err)
			if attempts != want {
				t.Errorf("%s, kind %d: %d attempts, want %d", name, kind, attempts, want)
			}
			if unknown := failure.Message == unknownOutcome; unknown != (test.unknown && kind == write) {
				t.Errorf("%s, kind %d: %q", name, kind, failure.Message)
			}
		}
	}
}

// A request that net/http itself made again has only been sent if the last one
// was.
func TestSentBeginsAnew(t *testing.T) {
	t.Parallel()
	attempts := 0
	_, _ = repeated(t.Context(), newRepeating(quick(2, 1)), write, target{}, func(ctx context.Context) (*struct{}, error) {
		attempts++
		trace := httptrace.ContextClientTrace(ctx)
		trace.GetConn("")
		trace.WroteHeaders()
		trace.GetConn("") // net/http knows that nothing arrived, and now nobody listens
		return nil, errors.New("connection refused")
	})
	if attempts != 2 {
		t.Errorf("%d attempts", attempts)
	}
}

// Success ends it; an outage is not multiplied.
func TestRetryBudget(t *testing.T) {
	t.Parallel()
	for budget, most := range map[float64]int{0: 1000, 0.2: 1000 + retryReserve + 200, 1: 3000} {
		client, attempts := newRepeating(quick(3, budget)), 0
		for range 1000 {
			_, _ = repeated(t.Context(), client, read, target{}, func(context.Context) (*struct{}, error) {
				attempts++
				return nil, errors.New("refused")
			})
		}
		if attempts > most || attempts < most-retryReserve-1000*int(budget) {
			t.Errorf("budget %v: %d attempts for 1000 calls, want %d", budget, attempts, most)
		}
	}
	attempts := 0
	got, err := repeated(t.Context(), newRepeating(quick(5, 1)), read, target{}, func(context.Context) (*int, error) {
		if attempts++; attempts < 3 {
			return nil, errors.New("refused")
		}
		return &attempts, nil
	})
	if err != nil || *got != 3 {
		t.Errorf("%v after %d attempts", err, attempts)
	}
}

// There is no retry for which there is no time, and none for a client that went
// away meanwhile.
func TestRetryHasTheCallsTime(t *testing.T) {
	t.Parallel()
	slow := RetryConfig{Attempts: 10, BaseDelay: 1000 * time.Hour, MaxDelay: 1000 * time.Hour, Budget: 1}
	for name, leaves := range map[string]bool{"deadline": false, "cancel": true} {
		ctx, cancel := context.WithCancel(t.Context())
		if !leaves {
			ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
		}
		attempts := 0
		if _, err := repeated(ctx, newRepeating(slow), read, target{}, func(context.Context) (*struct{}, error) {
			attempts++
			if leaves {
				time.AfterFunc(time.Millisecond, cancel)
			}
			return nil, errors.New("refused")
		}); err == nil || attempts != 1 {
			t.Errorf("%s: %d attempts, %v", name, attempts, err)
		}
		cancel()
	}
}
