package adapter_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
	"zitadel-v1-adapter/v2client/v2test"
)

// A ZITADEL that fails. This file holds the harness for faults on the wire, and the tests
// with every fault of internal/wiretest at a single request. Further files:
// upstream_faults_outages_test.go (ZITADEL goes away and comes back),
// upstream_faults_errors_test.go (errors that ZITADEL or a gateway answers with) and
// upstream_faults_ledger_test.go (thousands of calls through random faults).

// faulty is a stack whose upstream can fail requests.
type faulty struct {
	*stack
	faultProxy

	hurried string // the address of the same adapter with a short upstream.timeout

	// choose decides what happens to each request from now on: it returns the name of a
	// fault, or "" for none.
	choose func(func(*http.Request) (fault string))
	client *v2client.Client
}

// faultProxy is what the fault proxies of both upstream protocols have in common.
type faultProxy interface {
	Address() string
	Start(tb testing.TB)
	Stop()
	ResetConnections(resets bool)
	Connections() int
}

// aMoment is the upstream.timeout of calls that are to run into it.
const aMoment = 200 * time.Millisecond

// newFaulty is newFaultyOf for the newest release that has v1.
func newFaulty(tb testing.TB, protocol v2client.Protocol, timeout time.Duration, breaker v2client.BreakerConfig) *faulty {
	tb.Helper()
	return newFaultyOf(tb, v2test.Main, protocol, timeout, breaker)
}

// newFaultyOf starts an adapter in front of a fault proxy in front of a release of ZITADEL. timeout
// is upstream.timeout.
func newFaultyOf(
	tb testing.TB, release v2test.Release, protocol v2client.Protocol, timeout time.Duration, breaker v2client.BreakerConfig,
) *faulty {
	tb.Helper()
	fixture := wiretest.Fixture(tb)
	s := &stack{zitadel: wiretest.NewZITADELOf(tb, fixture, v2test.Config{Release: release}), release: release, fixture: fixture}
	s.upstream = &witness{next: s.zitadel}
	f := &faulty{stack: s}
	f.interpose(tb, protocol)
	client, err := v2client.New(v2client.Config{
		Upstream: wiretest.Upstream(tb, "http://"+f.Address(), upstream.HostUpstream), Protocol: protocol,
		ReadTimeout: timeout, Breaker: breaker,
		Retry: v2client.RetryConfig{Attempts: 3, BaseDelay: time.Millisecond, MaxDelay: time.Millisecond, Budget: 1},
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(client.Close)
	f.client = client
	serve := func(timeout time.Duration) (address string) {
		return wiretest.Listen(tb, parts{
			v1: adapter.Config{
				ZITADEL: client, OrgScope: adapter.OrgScopeStrict, Timeout: timeout, Rollout: adapter.RolloutAll, Limits: roomy(),
			},
			edge: ingress.Config{WriteTimeout: time.Minute},
		}.assemble(tb))
	}
	s.address, f.hurried = serve(timeout), serve(aMoment)
	return f
}

// meet makes a call that meets a fault. Only one that hangs may run into a timeout: on a busy
// machine, any other call could.
func (f *faulty) meet(tb testing.TB, fault string, call v1Call) (code, message string) {
	tb.Helper()
	if strings.HasPrefix(fault, "hangs") {
		return call(tb, f.hurried, userA, "pat-org-owner-a")
	}
	return call(tb, f.address, userA, "pat-org-owner-a")
}

// interpose puts a fault proxy in front of ZITADEL.
func (f *faulty) interpose(tb testing.TB, protocol v2client.Protocol) {
	tb.Helper()
	if protocol == v2client.ProtocolGRPC {
		proxy, faults := wiretest.NewHTTP2FaultProxy(tb, f.upstream), wiretest.HTTP2Faults()
		f.faultProxy = proxy
		f.choose = func(choose func(*http.Request) string) {
			proxy.Choose(func(r *http.Request) wiretest.HTTP2Fault { return faults[choose(r)] })
		}
		return
	}
	proxy, faults := wiretest.NewFaultProxy(tb, f.upstream), wiretest.Faults()
	f.faultProxy = proxy
	f.choose = func(choose func(*http.Request) string) {
		proxy.Choose(func(r *http.Request) wiretest.Fault { return faults[choose(r)] })
	}
}

// fail fails all requests that match. The function that it returns counts how often each
// of their methods was called, and returns the largest count.
func (f *faulty) fail(fault string, match func(*http.Request) bool) (sent func() int) {
	var mu sync.Mutex
	times := map[string]int{"": 0}
	f.choose(func(r *http.Request) string {
		if !match(r) {
			return ""
		}
		mu.Lock()
		defer mu.Unlock()
		times[r.URL.Path]++
		return fault
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return slices.Max(slices.Collect(maps.Values(times)))
	}
}

// heal ends all faults.
func (f *faulty) heal() { f.choose(func(*http.Request) string { return "" }) }

// checkRecovery heals, and checks that the next call succeeds. That call may still use a
// connection that a fault is about to close. Its answer is then that the outcome is
// unknown, and the call after it has to succeed.
func (f *faulty) checkRecovery(tb testing.TB, call v1Call) {
	tb.Helper()
	f.heal()
	code, message := call(tb, f.address, userA, "pat-org-owner-a")
	if strings.Contains(message, unknownOutcome) {
		code, message = call(tb, f.address, userA, "pat-org-owner-a")
	}
	if code != "0" {
		tb.Errorf("call after the fault: got code %s %q, want 0", code, message)
	}
}

// faultNames returns the names of an upstream protocol's faults.
func faultNames(protocol v2client.Protocol) []string {
	if protocol == v2client.ProtocolGRPC {
		return slices.Sorted(maps.Keys(wiretest.HTTP2Faults()))
	}
	return slices.Sorted(maps.Keys(wiretest.Faults()))
}

// eachFault runs a test for every fault of every upstream protocol over every protocol of
// v1, and over REST also on a ZITADEL without v1 and SetPassword, each on a stack of its own. Some of the tests wait for a timeout: more of them run at
// once than there are processors.
func eachFault(t *testing.T, test func(t *testing.T, f *faulty, fault string, call v1Call)) {
	t.Helper()
	const atOnce = 12
	slots := make(chan struct{}, atOnce)
	var running sync.WaitGroup
	defer running.Wait()
	for _, protocol := range upstreamProtocols {
		for _, fault := range faultNames(protocol) {
			for name, call := range v1Protocols {
				releases := []v2test.Release{v2test.Main}
				if name == "REST" {
					releases = append(releases, v2test.NextWithoutSetPassword)
				}
				for _, release := range releases {
					slots <- struct{}{}
					running.Go(func() {
						defer func() { <-slots }()
						t.Run(string(protocol)+"/"+fault+"/"+name+"/"+string(release), func(t *testing.T) {
							test(t, newFaultyOf(t, release, protocol, patience, neverOpens()), fault, call)
						})
					})
				}
			}
		}
	}
}

// goneButAnswered is the one fault after which ZITADEL's answer still arrives.
const goneButAnswered = "GOAWAY, then the answer"

// maxSent is how often a request is sent at most: in three attempts, each of which is made
// twice if the upstream says over HTTP/2 that it did not handle the request.
const maxSent = 6

// When SetPassword fails, in whatever way, the answer is v1's UNAVAILABLE or
// DEADLINE_EXCEEDED and says whether the outcome is unknown; SetPassword arrives at most
// once, and the next call succeeds.
func TestSetPasswordFaultIsReportedTruthfullyAndNeverRepeated(t *testing.T) {
	t.Parallel()
	eachFault(t, func(t *testing.T, f *faulty, fault string, call v1Call) {
		t.Helper()
		sent := f.fail(fault, isSetPassword)
		code, message := f.meet(t, fault, call)
		written, arrived := f.newWrites(t), f.upstream.setPasswordCalls(t)
		unknown := code == "4" || strings.Contains(message, unknownOutcome)
		switch {
		case arrived > 1 || written > arrived:
			t.Errorf("SetPassword: got %d arrivals and %d writes, want at most one, and no write without it", arrived, written)
		case fault == goneButAnswered:
			if code != "0" || written != 1 {
				t.Errorf("got code %s %q and %d writes, want 0 and one write", code, message, written)
			}
		case code != "14" && code != "4":
			t.Errorf("got code %s %q, want 14 or 4", code, message)
		case strings.HasPrefix(fault, "hangs") != (code == "4"):
			t.Errorf("got code %s %q, want 4 if and only if ZITADEL hangs", code, message)
		case arrived > 0 && !unknown:
			t.Errorf("SetPassword arrived: got code %s %q, want an unknown outcome", code, message)
		}
		if times := sent(); times > maxSent {
			t.Errorf("SetPassword was sent: got %d times, want at most %d", times, maxSent)
		}
		f.checkRecovery(t, call)
	})
}

// When one of the lookups fails that come before SetPassword, SetPassword is not called,
// and the answer does not say that the outcome is unknown.
func TestLookupFaultNeverReachesSetPassword(t *testing.T) {
	t.Parallel()
	eachFault(t, func(t *testing.T, f *faulty, fault string, call v1Call) {
		t.Helper()
		sent := f.fail(fault, func(r *http.Request) bool { return !isSetPassword(r) })
		code, message := f.meet(t, fault, call)
		arrived := f.upstream.setPasswordCalls(t)
		switch {
		case fault == goneButAnswered:
			if code != "0" || arrived != 1 {
				t.Errorf("got code %s %q and %d SetPassword calls, want 0 and one call", code, message, arrived)
			}
		case code != "14" && code != "4", strings.Contains(message, "unknown"), arrived > 0:
			t.Errorf("got code %s %q and %d SetPassword calls, want 14 or 4, a known outcome and no call", code, message, arrived)
		}
		if times := sent(); times > maxSent {
			t.Errorf("a lookup was sent: got %d times, want at most %d", times, maxSent)
		}
		f.checkRecovery(t, call)
	})
}

// BenchmarkFaults measures the longest call whose SetPassword fails, for each fault, with
// an upstream.timeout of one second.
func BenchmarkFaults(b *testing.B) {
	for _, protocol := range upstreamProtocols {
		for _, fault := range faultNames(protocol) {
			b.Run(string(protocol)+"/"+fault, func(b *testing.B) {
				f := newFaulty(b, protocol, time.Second, neverOpens())
				var longest time.Duration
				for b.Loop() {
					f.fail(fault, isSetPassword)
					began := time.Now()
					v1Protocols["REST"](b, f.address, userA, "pat-org-owner-a")
					longest = max(longest, time.Since(began))
					f.heal()
					v1Protocols["REST"](b, f.address, userA, "pat-org-owner-a")
				}
				b.ReportMetric(float64(longest.Microseconds())/1000, "max-ms")
			})
		}
	}
}
