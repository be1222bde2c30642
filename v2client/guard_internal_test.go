package v2client

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/sony/gobreaker/v2"
)

// newHalfOpen is a Client whose breaker waits for a probe.
func newHalfOpen(t *testing.T) *Client {
	t.Helper()
	client := newRepeating(quick(1, 0))
	client.breaker = newBreaker(BreakerConfig{MinimumCalls: 1, FailureRate: 1, Window: time.Minute, OpenFor: time.Millisecond}, nil, slog.New(slog.DiscardHandler))
	_, _ = guarded(t.Context(), client, target{}, func(context.Context) (*int, error) { return nil, errors.New("reset") })
	client.becomes(gobreaker.StateHalfOpen)
	return client
}

// becomes waits for a state of the breaker.
func (c *Client) becomes(state gobreaker.State) {
	for c.breaker.state.State() != state {
		time.Sleep(time.Millisecond)
	}
}

// A call whose failure may be its own fault is refused while the breaker is open, but
// neither opens it nor is the one probe of a half-open one: who sends such calls would
// shut everybody out.
func TestDoubtfulCallsAreNoProbes(t *testing.T) {
	t.Parallel()
	client := newRepeating(quick(1, 0))
	client.breaker = newBreaker(BreakerConfig{MinimumCalls: 2, FailureRate: 1, Window: time.Minute, OpenFor: time.Millisecond}, nil, slog.New(slog.DiscardHandler))
	doubtful := target{large: true}
	fails := func(context.Context) (*int, error) { return nil, errors.New("connection reset by peer") }
	works := func(context.Context) (*int, error) { return new(int), nil }
	for range 10 {
		if _, failure := guarded(t.Context(), client, doubtful, fails); failure.Origin != OriginTransport {
			t.Fatalf("doubtful: %v", failure)
		}
	}
	for range 2 {
		if _, failure := guarded(t.Context(), client, target{}, fails); failure.Origin != OriginTransport {
			t.Fatalf("usual: %v", failure)
		}
	}
	if client.breaker.state.State() != gobreaker.StateOpen && client.breaker.state.State() != gobreaker.StateHalfOpen {
		t.Fatal("the usual ones have not opened the breaker")
	}
	for client.breaker.state.State() != gobreaker.StateHalfOpen {
		if _, failure := guarded(t.Context(), client, doubtful, works); failure != nil && failure.Origin != OriginBreaker {
			t.Fatalf("doubtful, while it was open: %v", failure)
		}
		time.Sleep(time.Millisecond)
	}
	_, failure := guarded(t.Context(), client, doubtful, func(ctx context.Context) (*int, error) {
		if _, probe := guarded(ctx, client, target{}, works); probe != nil {
			t.Errorf("usual, beside a doubtful one: %v", probe)
		}
		return fails(ctx)
	})
	if failure.Origin != OriginTransport || client.breaker.state.State() != gobreaker.StateClosed {
		t.Errorf("%v, and the breaker is %v", failure, client.breaker.state.State())
	}
}

// Where there are only calls whose failure might be their own fault, what cannot be
// opens the breaker again, and their success closes it.
func TestOnlyDoubtfulCalls(t *testing.T) {
	t.Parallel()
	for name, doubtful := range map[string]target{"large": {large: true}, "stranger": {stranger: true}} {
		client := newHalfOpen(t)
		refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		if _, failure := guarded(t.Context(), client, doubtful, func(context.Context) (*int, error) { return nil, refused }); failure.Origin != OriginTransport {
			t.Errorf("%s, down: %v", name, failure)
		}
		if state := client.breaker.state.State(); state == gobreaker.StateClosed {
			t.Errorf("%s, still down: %v", name, state)
		}
		client.becomes(gobreaker.StateHalfOpen)
		if _, failure := guarded(t.Context(), client, doubtful, func(context.Context) (*int, error) { return new(int), nil }); failure != nil {
			t.Errorf("%s, well: %v", name, failure)
		}
		if state := client.breaker.state.State(); state != gobreaker.StateClosed {
			t.Errorf("%s, well: %v", name, state)
		}
	}
}

// That a failure may be the call's own fault is no reason not to make it again.
func TestDoubtfulCallsAreRepeated(t *testing.T) {
	t.Parallel()
	for name, doubtful := range map[string]target{"large": {large: true}, "stranger": {stranger: true}} {
		attempts := 0
		_, err := repeated(t.Context(), newRepeating(quick(3, 1)), write, doubtful, func(context.Context) (*int, error) {
			if attempts++; attempts < 3 {
				return nil, errors.New("connection reset by peer")
			}
			return new(int), nil
		})
		if err != nil || attempts != 3 {
			t.Errorf("%s: %v after %d attempts", name, err, attempts)
		}
	}
}

// The probe of a half-open breaker goes on when its caller has left: who leaves early,
// again and again, shuts nobody out.
func TestProbeGoesOn(t *testing.T) {
	t.Parallel()
	client := newHalfOpen(t)
	ctx, leave := context.WithCancel(t.Context())
	left, answered := make(chan struct{}), make(chan struct{})
	_, failure := guarded(ctx, client, target{}, func(ctx context.Context) (*int, error) {
		defer close(answered)
		leave()
		<-left
		return new(int), ctx.Err()
	})
	if failure.Origin != OriginCanceled {
		t.Errorf("its caller: %v", failure)
	}
	close(left)
	<-answered
	client.becomes(gobreaker.StateClosed)
}

// A probe that panics does so where its caller is, and the next call is a probe again.
func TestProbePanics(t *testing.T) {
	t.Parallel()
	client := newHalfOpen(t)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_, _ = guarded(t.Context(), client, target{}, func(context.Context) (*int, error) { panic("defect") })
	}()
	if _, failure := guarded(t.Context(), client, target{}, func(context.Context) (*int, error) { return new(int), nil }); failure != nil {
		t.Errorf("the next: %v", failure)
	}
}
