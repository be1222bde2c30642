package guard

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sony/gobreaker/v2"

	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/v2client/internal/wire"
)

// The breaker's states, probes and suspect calls, with the calls made by the tests, and
// with the clock of package synctest. Through a Client's methods: breaker_test.go.

// openFor is how long the breaker of newGuarded stays open.
const openFor = 5 * time.Second

// newGuarded returns a Guard whose breaker opens after as many failures in a row as
// minimumCalls says, and whose probes have the outcome that probe returns.
func newGuarded(minimumCalls int, probe func(host string) health) *Guard {
	config := BreakerConfig{MinimumCalls: minimumCalls, FailureRate: 1, Window: time.Minute, OpenFor: openFor}
	g := mustNew(Config{Breaker: config, Retry: quick(1, 0), ReadTimeout: time.Minute, Upstream: to(upstream.HostClient)}, probe)
	g.verified.Add("known", struct{}{})
	return g
}

// unanswered is a probe to which ZITADEL gives no answer.
func unanswered(string) health {
	time.Sleep(ProbeTimeout)
	return late
}

func answered(string) health { return healthy }

func (g *Guard) mustBe(t *testing.T, want gobreaker.State) {
	t.Helper()
	if got := g.BreakerState(); got != want {
		t.Fatalf("breaker: got %v, want %v", got, want)
	}
}

// known is the header of a call to a host under which ZITADEL has answered.
var known = http.Header{"Host": {"known"}}

// once makes a write, without retries.
func (g *Guard) once(ctx context.Context, header http.Header, send func(context.Context) error) *Error {
	failure, _ := errors.AsType[*Error](g.Do(ctx, Call{Writes: true, Header: header}, send))
	return failure
}

func fails(context.Context) error { return errReset }
func works(context.Context) error { return nil }

// takes returns a call that works after some time, unless its context ends first.
func takes(duration time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-time.After(duration):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// refuses fails as a call does if no server listens on the port.
func refuses(context.Context) error {
	return &wire.Error{Cause: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}
}

// inTime makes a write that may take as long as upstream.timeout.
func (g *Guard) inTime(t *testing.T, timeout time.Duration, send func(context.Context) error) *Error {
	t.Helper()
	ctx, cancel := WithDeadline(t.Context(), time.Now().Add(timeout))
	defer cancel()
	return g.once(ctx, known, send)
}

// Failures in a row open the breaker, however many calls were good before.
func TestFailuresInARowOpenBreaker(t *testing.T) {
	t.Parallel()
	g := newGuarded(10, answered)
	for range 1000 {
		_ = g.once(t.Context(), known, works)
	}
	for range 9 {
		_ = g.once(t.Context(), known, fails)
	}
	g.mustBe(t, gobreaker.StateClosed)
	_ = g.once(t.Context(), known, fails)
	g.mustBe(t, gobreaker.StateOpen)
}

// A half-open breaker sends one probe, whatever arrives, and calls wait for it: if it
// succeeds they all go on, else they are all refused. One whose time is up meanwhile ends.
func TestCallsWaitForHalfOpenProbe(t *testing.T) {
	t.Parallel()
	for _, outcome := range []health{healthy, notCounted, failing, late} {
		synctest.Test(t, func(t *testing.T) {
			var probes atomic.Int32
			g := newGuarded(1, func(string) health {
				probes.Add(1)
				time.Sleep(time.Second)
				return outcome
			})
			_ = g.once(t.Context(), known, fails)
			if failure := g.inTime(t, time.Minute, works); failure == nil || failure.Origin != OriginBreaker {
				t.Errorf("open: got %v, want origin %v", failure, OriginBreaker)
			}
			time.Sleep(openFor + time.Millisecond)
			var calls sync.WaitGroup
			calls.Go(func() {
				if failure := g.inTime(t, time.Second/2, works); failure == nil || failure.Origin != OriginDeadline {
					t.Errorf("without time: got %v, want origin %v", failure, OriginDeadline)
				}
			})
			for range 100 {
				calls.Go(func() {
					failure := g.inTime(t, time.Minute, works)
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
		g := newGuarded(1000, unanswered)
		var calls sync.WaitGroup
		for range 3 {
			calls.Go(func() {
				if failure := g.inTime(t, time.Minute, takes(time.Hour)); failure == nil || failure.Origin != OriginDeadline {
					t.Errorf("got %v, want origin %v", failure, OriginDeadline)
				}
			})
		}
		time.Sleep(hangAfter + ProbeTimeout - time.Millisecond)
		g.mustBe(t, gobreaker.StateClosed)
		time.Sleep(2 * time.Millisecond)
		g.mustBe(t, gobreaker.StateOpen)
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
		g := newGuarded(1, func(string) health {
			probes.Add(1)
			return healthy
		})
		var calls sync.WaitGroup
		for n := range 64 {
			calls.Go(func() {
				failure := g.inTime(t, time.Minute+time.Second/2, takes(time.Duration(n+25)*time.Second))
				if n <= 35 != (failure == nil) {
					t.Errorf("call that takes %d s: got %v", n+25, failure)
				}
			})
		}
		calls.Wait()
		g.mustBe(t, gobreaker.StateClosed)
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
		g := newGuarded(1, answered)
		var calls sync.WaitGroup
		calls.Go(func() { _ = g.inTime(t, 2*time.Second, takes(time.Hour)) })
		time.Sleep(time.Second)
		_ = g.inTime(t, time.Second, works)
		calls.Wait()
		g.mustBe(t, gobreaker.StateClosed)
		_ = g.inTime(t, 2*time.Second, takes(time.Hour))
		g.mustBe(t, gobreaker.StateOpen)
		time.Sleep(hangAfter)
	})
}

// read makes a read as inTime makes a write.
func (g *Guard) read(t *testing.T, timeout time.Duration, send func(context.Context) error) *Error {
	t.Helper()
	ctx, cancel := WithDeadline(t.Context(), time.Now().Add(timeout))
	defer cancel()
	failure, _ := errors.AsType[*Error](g.Do(ctx, Call{Header: known}, send))
	return failure
}

// 64 reads wait behind each other at a busy ZITADEL, the last for 50 seconds, and each gets
// its answer: none ends after the 20 seconds in which a silent ZITADEL has to answer.
func TestReadsWaitForBusyUpstream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGuarded(1, unanswered)
		g.config.ReadTimeout = 20 * time.Second
		var calls sync.WaitGroup
		for n := range 64 {
			calls.Go(func() {
				if failure := g.read(t, time.Minute, takes(time.Duration(n+1)*time.Second*50/64)); failure != nil {
					t.Errorf("read %d: got %v, want success", n, failure)
				}
			})
		}
		calls.Wait()
		g.mustBe(t, gobreaker.StateClosed)
		time.Sleep(hangAfter)
	})
}

// Reads at an upstream that answers nothing end after readTimeout, from their start or from
// the last answer, and count as failures.
func TestReadsEndInSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGuarded(2, answered)
		g.config.ReadTimeout = 2 * time.Second // less than hangAfter: no probe
		began := time.Now()
		ends := func(after time.Duration) {
			t.Helper()
			failure := g.read(t, time.Minute, takes(time.Hour))
			if got := time.Since(began); got != after || failure == nil || failure.Origin != OriginDeadline || !failure.retryable {
				t.Errorf("got %v after %v, want a deadline that may be retried after %v", failure, got, after)
			}
		}
		var calls sync.WaitGroup
		calls.Go(func() { _ = g.read(t, time.Minute, takes(time.Second)) })
		calls.Go(func() { ends(3 * time.Second) }) // two after the other was answered
		calls.Wait()
		g.mustBe(t, gobreaker.StateClosed)
		ends(5 * time.Second)
		g.mustBe(t, gobreaker.StateClosed)
		ends(7 * time.Second)
		g.mustBe(t, gobreaker.StateOpen)
		time.Sleep(hangAfter)
	})
}

// A call with large headers, or for an unknown host, opens the breaker only by a
// failure that it cannot have caused.
func TestSuspectCallsOpenBreakerOnlyIfDialFails(t *testing.T) {
	t.Parallel()
	for name, suspect := range map[string]http.Header{
		"large headers": {"Host": {"known"}, "X": {strings.Repeat("x", 7<<10)}}, "unknown host": {"Host": {"stranger"}},
	} {
		g := newGuarded(1, answered)
		_ = g.once(t.Context(), known, works)
		for range 10 {
			if failure := g.once(t.Context(), suspect, fails); failure.Origin != OriginTransport {
				t.Fatalf("%s: got %v, want origin %v", name, failure, OriginTransport)
			}
		}
		g.mustBe(t, gobreaker.StateClosed)
		_ = g.once(t.Context(), suspect, refuses)
		g.mustBe(t, gobreaker.StateOpen)
	}
}

// Probes go where calls went, and not to a host under which nothing has answered if there
// was another: its sender could hold the breaker open.
func TestProbesGoToVerifiedHosts(t *testing.T) {
	t.Parallel()
	stranger := http.Header{"Host": {"stranger"}}
	for _, test := range []struct {
		answers bool // to a known host, between calls to a stranger
		want    string
	}{{false, "stranger"}, {true, "known"}} {
		synctest.Test(t, func(t *testing.T) {
			asked := make(chan string, 1)
			g := newGuarded(1, func(host string) health {
				asked <- host
				return healthy
			})
			_ = g.once(t.Context(), stranger, fails)
			if test.answers {
				_ = g.once(t.Context(), known, works)
				_ = g.once(t.Context(), stranger, fails)
			}
			_ = g.once(t.Context(), stranger, refuses)
			time.Sleep(openFor + time.Millisecond)
			if failure := g.inTime(t, time.Minute, works); failure != nil {
				t.Errorf("after the probe: got %v, want success", failure)
			}
			if got := <-asked; got != test.want {
				t.Errorf("probe went to %s, want %s", got, test.want)
			}
			time.Sleep(hangAfter)
		})
	}
}

// What does not count, such as a proxy's refusal, is no success either: failures before and
// after it are failures in a row.
func TestUncountedCallsAreNoSuccesses(t *testing.T) {
	t.Parallel()
	g := newGuarded(3, answered)
	_ = g.once(t.Context(), known, works)
	refusals := func(context.Context) error {
		return &wire.Error{Dialed: true, Sent: true, Status: http.StatusForbidden, Cause: errors.New("403")}
	}
	for range 2 {
		_ = g.once(t.Context(), known, fails)
		_ = g.once(t.Context(), known, refusals)
	}
	g.mustBe(t, gobreaker.StateClosed)
	_ = g.once(t.Context(), known, fails)
	g.mustBe(t, gobreaker.StateOpen)
}

// A call that panics is over for the breaker too: it does not wait for its answer.
func TestPanickingCallIsOver(t *testing.T) {
	t.Parallel()
	g := newGuarded(1, answered)
	func() {
		defer func() { _ = recover() }()
		_ = g.once(t.Context(), known, func(context.Context) error { panic("defect") })
	}()
	g.mustBe(t, gobreaker.StateClosed)
	if g.breaker.pending != 0 {
		t.Errorf("got %d attempts under way, want none", g.breaker.pending)
	}
}
