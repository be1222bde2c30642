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
	client := newRetrying(quick(1, 0))
	client.breaker = newBreaker(BreakerConfig{MinimumCalls: 1, FailureRate: 1, Window: time.Minute, OpenFor: time.Millisecond}, nil, slog.New(slog.DiscardHandler))
	_, _ = guardedCall(client, target{}, fails).guarded(t.Context())
	client.becomes(gobreaker.StateHalfOpen)
	return client
}

// becomes waits for a state of the breaker.
func (c *Client) becomes(state gobreaker.State) {
	for c.breaker.state.State() != state {
		time.Sleep(time.Millisecond)
	}
}

func guardedCall(client *Client, to target, send func(context.Context, target) (*int, error)) *call[int] {
	return &call[int]{client: client, kind: write, to: to, send: send}
}

func fails(context.Context, target) (*int, error) { return nil, errors.New("connection reset by peer") }
func works(context.Context, target) (*int, error) { return new(int), nil }

// refuses fails as a server does on whose port nobody listens.
func refuses(ctx context.Context, _ target) (*int, error) {
	noteAttempt(ctx, attempt{})
	return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
}

// noteAttempt is what a transport does.
func noteAttempt(ctx context.Context, made attempt) {
	if note, ok := ctx.Value(noteKey{}).(*note); ok {
		note.attempt.Store(&made)
	}
}

// A suspect call is refused while the breaker is open, but neither opens it nor is the
// one probe of a half-open one: its sender could hold the breaker open.
func TestSuspectCallsAreNoProbes(t *testing.T) {
	t.Parallel()
	client := newRetrying(quick(1, 0))
	client.breaker = newBreaker(BreakerConfig{MinimumCalls: 2, FailureRate: 1, Window: time.Minute, OpenFor: time.Millisecond}, nil, slog.New(slog.DiscardHandler))
	suspect := target{largeHeaders: true}
	for range 10 {
		if _, failure := guardedCall(client, suspect, fails).guarded(t.Context()); failure.Origin != OriginTransport {
			t.Fatalf("suspect: got %v", failure)
		}
	}
	for range 2 {
		if _, failure := guardedCall(client, target{}, fails).guarded(t.Context()); failure.Origin != OriginTransport {
			t.Fatalf("usual: got %v", failure)
		}
	}
	if state := client.breaker.state.State(); state == gobreaker.StateClosed {
		t.Fatal("usual calls did not open the breaker")
	}
	for client.breaker.state.State() != gobreaker.StateHalfOpen {
		if _, failure := guardedCall(client, suspect, works).guarded(t.Context()); failure != nil && failure.Origin != OriginBreaker {
			t.Fatalf("suspect, breaker open: got %v", failure)
		}
		time.Sleep(time.Millisecond)
	}
	_, failure := guardedCall(client, suspect, func(ctx context.Context, to target) (*int, error) {
		if _, probe := guardedCall(client, target{}, works).guarded(ctx); probe != nil {
			t.Errorf("usual, beside a suspect one: got %v", probe)
		}
		return fails(ctx, to)
	}).guarded(t.Context())
	if state := client.breaker.state.State(); failure.Origin != OriginTransport || state != gobreaker.StateClosed {
		t.Errorf("got %v, breaker %v, want it closed", failure, state)
	}
}

// With suspect calls only, a failure that cannot be their own fault opens a half-open
// breaker again, and a success closes it.
func TestSuspectCallsAloneDecide(t *testing.T) {
	t.Parallel()
	for name, suspect := range map[string]target{"large headers": {largeHeaders: true}, "unverified host": {unverifiedHost: true}} {
		client := newHalfOpen(t)
		if _, failure := guardedCall(client, suspect, refuses).guarded(t.Context()); failure.Origin != OriginTransport {
			t.Errorf("%s, upstream down: got %v", name, failure)
		}
		if state := client.breaker.state.State(); state == gobreaker.StateClosed {
			t.Errorf("%s, upstream down: breaker %v", name, state)
		}
		client.becomes(gobreaker.StateHalfOpen)
		if _, failure := guardedCall(client, suspect, works).guarded(t.Context()); failure != nil {
			t.Errorf("%s, upstream well: got %v", name, failure)
		}
		if state := client.breaker.state.State(); state != gobreaker.StateClosed {
			t.Errorf("%s, upstream well: breaker %v", name, state)
		}
	}
}

// The probe of a half-open breaker outlives its caller: callers that leave early cannot
// hold the breaker half-open.
func TestProbeOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	client := newHalfOpen(t)
	ctx, leave := context.WithCancel(t.Context())
	left, answered := make(chan struct{}), make(chan struct{})
	_, failure := guardedCall(client, target{}, func(ctx context.Context, _ target) (*int, error) {
		defer close(answered)
		leave()
		<-left
		return new(int), ctx.Err()
	}).guarded(ctx)
	if failure.Origin != OriginCanceled {
		t.Errorf("caller: got %v", failure)
	}
	close(left)
	<-answered
	client.becomes(gobreaker.StateClosed)
}

// A probe panics where its caller is, and the next call is a probe again.
func TestProbePanics(t *testing.T) {
	t.Parallel()
	client := newHalfOpen(t)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_, _ = guardedCall(client, target{}, func(context.Context, target) (*int, error) { panic("defect") }).guarded(t.Context())
	}()
	if _, failure := guardedCall(client, target{}, works).guarded(t.Context()); failure != nil {
		t.Errorf("next call: got %v", failure)
	}
}
