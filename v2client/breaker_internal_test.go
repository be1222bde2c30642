package v2client

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sony/gobreaker/v2"

	"zitadel-v1-adapter/internal/upstream"
)

// The breaker's states, probes and suspect calls, with the calls made by the tests, and
// with the clock of package synctest. Through a Client's methods: breaker_test.go.

// openFor is how long the breaker of newGuarded stays open.
const openFor = 5 * time.Second

// newGuarded returns a Client whose breaker opens after as many failures in a row as
// minimumCalls says, and whose probes have the outcome that probe returns.
func newGuarded(minimumCalls int, probe func(target) health) *Client {
	config := BreakerConfig{MinimumCalls: minimumCalls, FailureRate: 1, Window: time.Minute, OpenFor: openFor}
	client := newRetrying(quick(1, 0))
	client.breaker = newBreaker(config, probe, nil, slog.New(slog.DiscardHandler))
	return client
}

// unanswered is a probe to which ZITADEL gives no answer.
func unanswered(target) health {
	time.Sleep(probeTimeout)
	return late
}

func answered(target) health { return healthy }

func (c *Client) mustBe(t *testing.T, want gobreaker.State) {
	t.Helper()
	if got := c.breaker.state.State(); got != want {
		t.Fatalf("breaker: got %v, want %v", got, want)
	}
}

func guardedCall(client *Client, to target, send func(context.Context, target) (*int, error)) *call[int] {
	return &call[int]{operation: operation{"", write}, client: client, to: to, send: send}
}

func fails(context.Context, target) (*int, error) { return nil, errors.New("connection reset by peer") }
func works(context.Context, target) (*int, error) { return new(int), nil }

// takes returns a call that works after some time, unless its context ends first.
func takes(duration time.Duration) func(context.Context, target) (*int, error) {
	return func(ctx context.Context, _ target) (*int, error) {
		select {
		case <-time.After(duration):
			return new(int), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// refuses fails as a call does if no server listens on the port.
func refuses(ctx context.Context, _ target) (*int, error) {
	noteAttempt(ctx, attempt{})
	return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
}

// noteAttempt reports an attempt as the transport does.
func noteAttempt(ctx context.Context, made attempt) {
	if note, ok := ctx.Value(noteKey{}).(*note); ok {
		note.write(made)
	}
}

// inTime makes a call that may take as long as upstream.timeout.
func (c *Client) inTime(t *testing.T, timeout time.Duration, send func(context.Context, target) (*int, error)) *Error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	pending := guardedCall(c, target{}, send)
	pending.own, _ = ctx.Deadline()
	_, failure := pending.guarded(ctx, false)
	return failure
}

// Failures in a row open the breaker, however many calls were good before.
func TestFailuresInARowOpenBreaker(t *testing.T) {
	t.Parallel()
	client := newGuarded(10, answered)
	for range 1000 {
		_, _ = guardedCall(client, target{}, works).guarded(t.Context(), false)
	}
	for range 9 {
		_, _ = guardedCall(client, target{}, fails).guarded(t.Context(), false)
	}
	client.mustBe(t, gobreaker.StateClosed)
	_, _ = guardedCall(client, target{}, fails).guarded(t.Context(), false)
	client.mustBe(t, gobreaker.StateOpen)
}

// A half-open breaker sends one probe, whatever arrives, and calls wait for it: if it
// succeeds they all go on, else they are all refused. One whose time is up meanwhile ends.
func TestCallsWaitForHalfOpenProbe(t *testing.T) {
	t.Parallel()
	for _, outcome := range []health{healthy, notCounted, failing, late} {
		synctest.Test(t, func(t *testing.T) {
			var probes atomic.Int32
			client := newGuarded(1, func(target) health {
				probes.Add(1)
				time.Sleep(time.Second)
				return outcome
			})
			_, _ = guardedCall(client, target{}, fails).guarded(t.Context(), false)
			if failure := client.inTime(t, time.Minute, works); failure == nil || failure.Origin != OriginBreaker {
				t.Errorf("open: got %v, want origin %v", failure, OriginBreaker)
			}
			time.Sleep(openFor + time.Millisecond)
			var calls sync.WaitGroup
			calls.Go(func() {
				if failure := client.inTime(t, time.Second/2, works); failure == nil || failure.Origin != OriginDeadline {
					t.Errorf("without time: got %v, want origin %v", failure, OriginDeadline)
				}
			})
			for range 100 {
				calls.Go(func() {
					failure := client.inTime(t, time.Minute, works)
					recovered := outcome == healthy || outcome == notCounted
					if recovered != (failure == nil) || failure != nil && failure.Origin != OriginBreaker {
						t.Errorf("probe's outcome %v: got %v, want success: %v", outcome, failure, recovered)
					}
				})
			}
			calls.Wait()
			if got := probes.Load(); got != 1 {
				t.Errorf("got %d probes, want 1", got)
			}
		})
	}
}

// An upstream that answers neither calls nor the probe opens the breaker ten seconds
// after the first call, long before the calls' time is up.
func TestHangOpensBreakerInSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := newGuarded(1000, unanswered)
		var calls sync.WaitGroup
		for range 3 {
			calls.Go(func() {
				if failure := client.inTime(t, time.Minute, takes(time.Hour)); failure == nil || failure.Origin != OriginDeadline {
					t.Errorf("got %v, want origin %v", failure, OriginDeadline)
				}
			})
		}
		time.Sleep(hangAfter + probeTimeout - time.Millisecond)
		client.mustBe(t, gobreaker.StateClosed)
		time.Sleep(2 * time.Millisecond)
		client.mustBe(t, gobreaker.StateOpen)
		calls.Wait()
		time.Sleep(hangAfter) // for the watch to end
	})
}

// An upstream that is busy answers the probe: neither its silence nor its timeouts open
// the breaker.
func TestBusyUpstreamKeepsBreakerClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var probes atomic.Int32
		client := newGuarded(1, func(target) health {
			probes.Add(1)
			return healthy
		})
		var calls sync.WaitGroup
		for n := range 64 {
			calls.Go(func() {
				failure := client.inTime(t, time.Minute+time.Second/2, takes(time.Duration(n+25)*time.Second))
				if n <= 35 != (failure == nil) {
					t.Errorf("call that takes %d s: got %v", n+25, failure)
				}
			})
		}
		calls.Wait()
		client.mustBe(t, gobreaker.StateClosed)
		time.Sleep(hangAfter)
		// Once each three seconds until the first answer after 25 s; then there is one
		// each second.
		if got := probes.Load(); got != 8 {
			t.Errorf("got %d probes, want 8", got)
		}
	})
}

// A timeout counts if nothing else was answered since its call began.
func TestTimeoutCountsOnlyInSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := newGuarded(1, answered)
		var calls sync.WaitGroup
		calls.Go(func() { _ = client.inTime(t, 2*time.Second, takes(time.Hour)) })
		time.Sleep(time.Second)
		_ = client.inTime(t, time.Second, works)
		calls.Wait()
		client.mustBe(t, gobreaker.StateClosed)
		_ = client.inTime(t, 2*time.Second, takes(time.Hour))
		client.mustBe(t, gobreaker.StateOpen)
		time.Sleep(hangAfter)
	})
}

// reads makes a read as inTime makes a write.
func (c *Client) reads(t *testing.T, timeout time.Duration, send func(context.Context, target) (*int, error)) *Error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	pending := guardedCall(c, target{}, send)
	pending.kind = read
	pending.own, _ = ctx.Deadline()
	_, failure := pending.guarded(ctx, false)
	return failure
}

// 64 reads wait behind each other at a busy ZITADEL, the last for 50 seconds, and each gets
// its answer: none ends after the 20 seconds in which a silent ZITADEL has to answer.
func TestReadsWaitForBusyUpstream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := newGuarded(1, unanswered)
		client.readTimeout = 20 * time.Second
		var calls sync.WaitGroup
		for n := range 64 {
			calls.Go(func() {
				if failure := client.reads(t, time.Minute, takes(time.Duration(n+1)*time.Second*50/64)); failure != nil {
					t.Errorf("read %d: got %v, want success", n, failure)
				}
			})
		}
		calls.Wait()
		client.mustBe(t, gobreaker.StateClosed)
		time.Sleep(hangAfter)
	})
}

// Reads at an upstream that answers nothing end after readTimeout, from their start or from
// the last answer, and count as failures.
func TestReadsEndInSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := newGuarded(2, answered)
		client.readTimeout = 2 * time.Second // less than hangAfter: no probe
		began := time.Now()
		ends := func(after time.Duration) {
			t.Helper()
			failure := client.reads(t, time.Minute, takes(time.Hour))
			if got := time.Since(began); got != after || failure == nil || failure.Origin != OriginDeadline || !failure.retryable {
				t.Errorf("got %v after %v, want a deadline that may be retried after %v", failure, got, after)
			}
		}
		var calls sync.WaitGroup
		calls.Go(func() { _ = client.reads(t, time.Minute, takes(time.Second)) })
		calls.Go(func() { ends(3 * time.Second) }) // two after the other was answered
		calls.Wait()
		client.mustBe(t, gobreaker.StateClosed)
		ends(5 * time.Second)
		client.mustBe(t, gobreaker.StateClosed)
		ends(7 * time.Second)
		client.mustBe(t, gobreaker.StateOpen)
		time.Sleep(hangAfter)
	})
}

// A suspect call opens the breaker only by a failure that it cannot have caused.
func TestSuspectCallsOpenBreakerOnlyIfDialFails(t *testing.T) {
	t.Parallel()
	for _, suspect := range []target{{largeHeaders: true}, {unverifiedHost: true}} {
		client := newGuarded(1, answered)
		for range 10 {
			if _, failure := guardedCall(client, suspect, fails).guarded(t.Context(), false); failure.Origin != OriginTransport {
				t.Fatalf("%+v: got %v, want origin %v", suspect, failure, OriginTransport)
			}
		}
		client.mustBe(t, gobreaker.StateClosed)
		_, _ = guardedCall(client, suspect, refuses).guarded(t.Context(), false)
		client.mustBe(t, gobreaker.StateOpen)
	}
}

// Probes go where calls went, and not to a host that nobody has verified if there was
// another: its sender could hold the breaker open.
func TestProbesGoToVerifiedHosts(t *testing.T) {
	t.Parallel()
	good, stranger := target{host: "good", largeHeaders: true}, target{host: "stranger", unverifiedHost: true}
	for _, test := range []struct {
		calls []target
		want  target
	}{
		{[]target{stranger}, stranger},
		{[]target{stranger, good, stranger}, target{host: "good"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			asked := make(chan target, 1)
			client := newGuarded(1, func(to target) health {
				asked <- to
				return healthy
			})
			for _, to := range test.calls {
				_, _ = guardedCall(client, to, works).guarded(t.Context(), false)
			}
			_, _ = guardedCall(client, test.calls[0], refuses).guarded(t.Context(), false)
			time.Sleep(openFor + time.Millisecond)
			if failure := client.inTime(t, time.Minute, works); failure != nil {
				t.Errorf("after the probe: got %v, want success", failure)
			}
			if got := <-asked; got != test.want {
				t.Errorf("calls %+v: probe went to %+v, want %+v", test.calls, got, test.want)
			}
			time.Sleep(hangAfter)
		})
	}
}

// What does not count, such as a proxy's refusal, is no success either: failures before and
// after it are failures in a row.
func TestUncountedCallsAreNoSuccesses(t *testing.T) {
	t.Parallel()
	client := newGuarded(3, answered)
	refusals := func(ctx context.Context, _ target) (*int, error) {
		noteAttempt(ctx, attempt{Outcome: upstream.Outcome{Dialed: true, Sent: true}, status: 403, foreign: true})
		return nil, errors.New("403")
	}
	for range 2 {
		_, _ = guardedCall(client, target{}, fails).guarded(t.Context(), false)
		_, _ = guardedCall(client, target{}, refusals).guarded(t.Context(), false)
	}
	client.mustBe(t, gobreaker.StateClosed)
	_, _ = guardedCall(client, target{}, fails).guarded(t.Context(), false)
	client.mustBe(t, gobreaker.StateOpen)
}

// A call that panics is over for the breaker too: it does not wait for its answer.
func TestPanickingCallIsOver(t *testing.T) {
	t.Parallel()
	client := newGuarded(1, answered)
	func() {
		defer func() { _ = recover() }()
		_, _ = guardedCall(client, target{}, func(context.Context, target) (*int, error) { panic("defect") }).guarded(t.Context(), false)
	}()
	client.mustBe(t, gobreaker.StateClosed)
	if client.breaker.pending != 0 {
		t.Errorf("got %d attempts under way, want none", client.breaker.pending)
	}
}
