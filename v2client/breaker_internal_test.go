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

// The breaker's states, probes and suspect calls, with the calls made by the tests. Through
// a Client's methods: breaker_test.go.

// newGuarded returns a Client whose breaker opens after as many failures as minimumCalls
// says, and becomes half-open a millisecond later.
func newGuarded(minimumCalls int) *Client {
	config := BreakerConfig{MinimumCalls: minimumCalls, FailureRate: 1, Window: time.Minute, OpenFor: time.Millisecond}
	client := newRetrying(quick(1, 0))
	client.breaker = newBreaker(config, nil, slog.New(slog.DiscardHandler))
	return client
}

// newHalfOpen returns a Client whose breaker waits for a probe.
func newHalfOpen(t *testing.T) *Client {
	t.Helper()
	client := newGuarded(1)
	_, _ = guardedCall(client, target{}, fails).guarded(t.Context())
	client.waitFor(gobreaker.StateHalfOpen)
	return client
}

// waitFor waits until the breaker has a state.
func (c *Client) waitFor(state gobreaker.State) {
	for c.breaker.state.State() != state {
		time.Sleep(time.Millisecond)
	}
}

func guardedCall(client *Client, to target, send func(context.Context, target) (*int, error)) *call[int] {
	return &call[int]{client: client, kind: write, to: to, send: send}
}

func fails(context.Context, target) (*int, error) { return nil, errors.New("connection reset by peer") }
func works(context.Context, target) (*int, error) { return new(int), nil }

// refuses fails as a call does if no server listens on the port.
func refuses(ctx context.Context, _ target) (*int, error) {
	noteAttempt(ctx, attempt{})
	return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
}

// noteAttempt reports an attempt as the transport does.
func noteAttempt(ctx context.Context, made attempt) {
	if note, ok := ctx.Value(noteKey{}).(*note); ok {
		note.attempt.Store(&made)
	}
}

// A suspect call is refused while the breaker is open, but neither opens it nor becomes the
// one probe of a half-open breaker, which its sender could otherwise hold open.
func TestSuspectCallsNeitherOpenNorProbeBreaker(t *testing.T) {
	t.Parallel()
	client := newGuarded(2)
	suspect := target{largeHeaders: true}
	for range 10 {
		if _, failure := guardedCall(client, suspect, fails).guarded(t.Context()); failure.Origin != OriginTransport {
			t.Fatalf("suspect call: got %v, want origin %v", failure, OriginTransport)
		}
	}
	for range 2 {
		if _, failure := guardedCall(client, target{}, fails).guarded(t.Context()); failure.Origin != OriginTransport {
			t.Fatalf("usual call: got %v, want origin %v", failure, OriginTransport)
		}
	}
	if state := client.breaker.state.State(); state == gobreaker.StateClosed {
		t.Fatalf("breaker after usual calls: got %v, want it open", state)
	}
	for client.breaker.state.State() != gobreaker.StateHalfOpen {
		if _, failure := guardedCall(client, suspect, works).guarded(t.Context()); failure != nil && failure.Origin != OriginBreaker {
			t.Fatalf("suspect call, breaker open: got %v, want origin %v", failure, OriginBreaker)
		}
		time.Sleep(time.Millisecond)
	}
	_, failure := guardedCall(client, suspect, func(ctx context.Context, to target) (*int, error) {
		if _, probe := guardedCall(client, target{}, works).guarded(ctx); probe != nil {
			t.Errorf("usual call during a suspect one: got %v, want success", probe)
		}
		return fails(ctx, to)
	}).guarded(t.Context())
	if state := client.breaker.state.State(); failure.Origin != OriginTransport || state != gobreaker.StateClosed {
		t.Errorf("got %v and breaker %v, want origin %v and the breaker closed", failure, state, OriginTransport)
	}
}

// If all calls are suspect, a failure that they cannot have caused opens a half-open
// breaker again, and a success closes it.
func TestSuspectCallsAloneMoveHalfOpenBreaker(t *testing.T) {
	t.Parallel()
	for name, suspect := range map[string]target{
		"large headers": {largeHeaders: true}, "unverified host": {unverifiedHost: true},
	} {
		client := newHalfOpen(t)
		if _, failure := guardedCall(client, suspect, refuses).guarded(t.Context()); failure.Origin != OriginTransport {
			t.Errorf("%s, upstream down: got %v, want origin %v", name, failure, OriginTransport)
		}
		if state := client.breaker.state.State(); state == gobreaker.StateClosed {
			t.Errorf("%s, upstream down: breaker: got %v, want it not closed", name, state)
		}
		client.waitFor(gobreaker.StateHalfOpen)
		if _, failure := guardedCall(client, suspect, works).guarded(t.Context()); failure != nil {
			t.Errorf("%s, upstream up: got %v, want success", name, failure)
		}
		if state := client.breaker.state.State(); state != gobreaker.StateClosed {
			t.Errorf("%s, upstream up: breaker: got %v, want it closed", name, state)
		}
	}
}

// The probe of a half-open breaker goes on when its caller cancels. Callers that cancel
// early therefore cannot hold the breaker half-open.
func TestProbeOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	client := newHalfOpen(t)
	ctx, cancel := context.WithCancel(t.Context())
	callerReturned, answered := make(chan struct{}), make(chan struct{})
	_, failure := guardedCall(client, target{}, func(ctx context.Context, _ target) (*int, error) {
		defer close(answered)
		cancel()
		<-callerReturned
		return new(int), ctx.Err()
	}).guarded(ctx)
	if failure.Origin != OriginCanceled {
		t.Errorf("caller: got %v, want origin %v", failure, OriginCanceled)
	}
	close(callerReturned)
	<-answered
	client.waitFor(gobreaker.StateClosed)
}

// A probe's panic reaches its caller, and the next call is a probe again.
func TestPanickingProbeAllowsNextProbe(t *testing.T) {
	t.Parallel()
	client := newHalfOpen(t)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("got no panic, want the probe's")
			}
		}()
		panics := func(context.Context, target) (*int, error) { panic("defect") }
		_, _ = guardedCall(client, target{}, panics).guarded(t.Context())
	}()
	if _, failure := guardedCall(client, target{}, works).guarded(t.Context()); failure != nil {
		t.Errorf("next call: got %v, want success", failure)
	}
}
