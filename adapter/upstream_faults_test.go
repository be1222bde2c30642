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
)

// faulty is a stack whose upstream can go wrong.
type faulty struct {
	*stack
	faultProxy

	// choose says which requests go wrong from now on, by the name of the fault, ""
	// for those that do not.
	choose func(func(*http.Request) (fault string))
	client *v2client.Client
}

// faultProxy is what the fault proxies of both upstream protocols can do.
type faultProxy interface {
	Address() string
	Start(tb testing.TB)
	Stop()
	ResetConnections(resets bool)
	Connections() int
}

// newFaulty is an adapter before a ZITADEL whose answers can go wrong.
func newFaulty(tb testing.TB, protocol v2client.Protocol, timeout time.Duration, breaker v2client.BreakerConfig) *faulty {
	tb.Helper()
	fixture := wiretest.Fixture(tb)
	s := &stack{zitadel: wiretest.NewZITADEL(tb, fixture), fixture: fixture}
	s.upstream = &witness{next: s.zitadel}
	f := &faulty{stack: s}
	f.interpose(tb, protocol)
	client, err := v2client.New(v2client.Config{
		Timeout: timeout, Upstream: wiretest.Upstream(tb, "http://"+f.Address(), upstream.HostUpstream), Protocol: protocol, Breaker: breaker,
		Retry: v2client.RetryConfig{Attempts: 3, BaseDelay: time.Millisecond, MaxDelay: time.Millisecond, Budget: 1},
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(client.Close)
	f.client = client
	s.address = wiretest.Listen(tb, parts{
		v1:   adapter.Config{ZITADEL: client, OrgScope: adapter.OrgScopeStrict, Timeout: timeout, Rollout: adapter.RolloutAll, Limits: roomy()},
		edge: ingress.Config{WriteTimeout: time.Minute},
	}.assemble(tb))
	return f
}

// interpose puts a proxy before ZITADEL.
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

// fail lets the requests that match go wrong. It returns how often the one was sent
// that was sent most often.
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

// heal ends that.
func (f *faulty) heal() { f.choose(func(*http.Request) string { return "" }) }

// recovers heals, and looks whether the next call succeeds. It may still meet a
// connection that a fault is about to close; it is then told so, and the one after it
// succeeds.
func (f *faulty) recovers(tb testing.TB, call v1Call) {
	tb.Helper()
	f.heal()
	code, message := call(tb, f.address, userA, "pat-org-owner-a")
	if strings.Contains(message, "whether the change was made is unknown") {
		code, message = call(tb, f.address, userA, "pat-org-owner-a")
	}
	if code != "0" {
		tb.Errorf("the next call: %s %s", code, message)
	}
}

// faultNames are the faults of an upstream protocol.
func faultNames(protocol v2client.Protocol) []string {
	if protocol == v2client.ProtocolGRPC {
		return slices.Sorted(maps.Keys(wiretest.HTTP2Faults()))
	}
	return slices.Sorted(maps.Keys(wiretest.Faults()))
}

// eachFault runs a test for every fault of every upstream protocol, over every
// protocol of v1, each on a stack of its own. Most of them wait most of the time: more
// run at once than there are processors.
func eachFault(t *testing.T, test func(t *testing.T, f *faulty, fault string, call v1Call)) {
	t.Helper()
	const atOnce = 12
	slots := make(chan struct{}, atOnce)
	var running sync.WaitGroup
	defer running.Wait()
	for _, protocol := range []v2client.Protocol{v2client.ProtocolConnect, v2client.ProtocolGRPC} {
		for _, fault := range faultNames(protocol) {
			for name, call := range protocols {
				slots <- struct{}{}
				running.Go(func() {
					defer func() { <-slots }()
					t.Run(string(protocol)+"/"+fault+"/"+name, func(t *testing.T) {
						test(t, newFaulty(t, protocol, time.Second, patient()), fault, call)
					})
				})
			}
		}
	}
}

// goneButAnswered is the fault after which there is an answer nevertheless.
const goneButAnswered = "GOAWAY, then the answer"

// maxSent is how often a request is sent at most: three attempts, and each of them twice
// where the upstream says over HTTP/2 that it did not handle it.
const maxSent = 6

// SetPassword goes wrong in every way, over every protocol: the answer is v1's
// UNAVAILABLE or DEADLINE_EXCEEDED and tells the truth, SetPassword arrives once at
// most, and the next call succeeds.
func TestFaultsOfSetPassword(t *testing.T) {
	t.Parallel()
	eachFault(t, func(t *testing.T, f *faulty, fault string, call v1Call) {
		t.Helper()
		sent := f.fail(fault, isSetPassword)
		code, message := call(t, f.address, userA, "pat-org-owner-a")
		written, arrived := f.newWrites(t), f.upstream.setPasswordCalls(t)
		unknown := code == "4" || strings.Contains(message, "whether the change was made is unknown")
		switch {
		case arrived > 1 || written > arrived:
			t.Errorf("SetPassword arrived %d times, %d writes", arrived, written)
		case fault == goneButAnswered:
			if code != "0" || written != 1 {
				t.Errorf("code %s %q, %d writes", code, message, written)
			}
		case code != "14" && code != "4",
			strings.HasPrefix(fault, "hangs") != (code == "4"),
			arrived > 0 && !unknown:
			t.Errorf("code %s %q, SetPassword arrived %d times", code, message, arrived)
		}
		if times := sent(); times > maxSent {
			t.Errorf("SetPassword was sent %d times", times)
		}
		f.recovers(t, call)
	})
}

// The look-ups before it go wrong: SetPassword is not called, and the answer says
// that nothing was done.
func TestFaultsOfReads(t *testing.T) {
	t.Parallel()
	eachFault(t, func(t *testing.T, f *faulty, fault string, call v1Call) {
		t.Helper()
		sent := f.fail(fault, func(r *http.Request) bool { return !isSetPassword(r) })
		code, message := call(t, f.address, userA, "pat-org-owner-a")
		arrived := f.upstream.setPasswordCalls(t)
		switch {
		case fault == goneButAnswered:
			if code != "0" || arrived != 1 {
				t.Errorf("code %s %q, SetPassword arrived %d times", code, message, arrived)
			}
		case code != "14" && code != "4", strings.Contains(message, "unknown"), arrived > 0:
			t.Errorf("code %s %q, SetPassword arrived %d times", code, message, arrived)
		}
		if times := sent(); times > maxSent {
			t.Errorf("a look-up was sent %d times", times)
		}
		f.recovers(t, call)
	})
}

// BenchmarkFaults tells how long a call takes at most when its SetPassword goes wrong,
// with an upstream.timeout of one second.
func BenchmarkFaults(b *testing.B) {
	for _, protocol := range []v2client.Protocol{v2client.ProtocolConnect, v2client.ProtocolGRPC} {
		for _, fault := range faultNames(protocol) {
			b.Run(string(protocol)+"/"+fault, func(b *testing.B) {
				f := newFaulty(b, protocol, time.Second, patient())
				var longest time.Duration
				for b.Loop() {
					f.fail(fault, isSetPassword)
					began := time.Now()
					protocols["REST"](b, f.address, userA, "pat-org-owner-a")
					longest = max(longest, time.Since(began))
					f.heal()
					protocols["REST"](b, f.address, userA, "pat-org-owner-a")
				}
				b.ReportMetric(float64(longest.Microseconds())/1000, "max-ms")
			})
		}
	}
}
