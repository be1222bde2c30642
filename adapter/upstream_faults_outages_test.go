package adapter_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/listener"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
)

// ZITADEL goes away and comes back: restarts, resets, HTTP/2's GOAWAY, and a certificate
// that expires.

// ZITADEL stops while it handles calls, and is started again. The calls that it was
// handling are answered with an unknown outcome, calls while it is away are answered as
// not done, and the first call after its start succeeds.
func TestCallsDuringRestartReportWhatHappened(t *testing.T) {
	t.Parallel()
	bothUpstreams(t, func(t *testing.T, protocol v2client.Protocol) {
		t.Helper()
		f := newFaulty(t, protocol, patience, neverOpens())
		for name, call := range v1Protocols {
			const concurrent = 8
			arrived, release := make(chan struct{}), make(chan struct{})
			f.choose(func(r *http.Request) string {
				if isSetPassword(r) {
					arrived <- struct{}{}
					<-release
				}
				return ""
			})
			answers := make(chan string, concurrent)
			for range concurrent {
				go func() {
					code, message := call(t, f.address, userA, "pat-org-owner-a")
					answers <- code + " " + message
				}()
			}
			for range concurrent {
				<-arrived
			}
			stopped := make(chan struct{})
			go func() { defer close(stopped); f.Stop() }()
			for range concurrent {
				if got := <-answers; !strings.HasPrefix(got, "14 ") || !strings.Contains(got, unknownOutcome) {
					t.Errorf("%s, stopped: got code %s, want 14 and an unknown outcome", name, got)
				}
			}
			close(release)
			<-stopped
			f.heal()
			f.upstream.setPasswordCalls(t)

			for range 3 {
				if code, message := call(t, f.address, userA, "pat-org-owner-a"); code != "14" || strings.Contains(message, "unknown") {
					t.Errorf("%s, away: got code %s %q, want 14 and a known outcome", name, code, message)
				}
			}
			f.Start(t)
			if code, message := call(t, f.address, userA, "pat-org-owner-a"); code != "0" {
				t.Errorf("%s, started again: got code %s %q, want 0", name, code, message)
			}
			if got := f.upstream.setPasswordCalls(t); got != 1 {
				t.Errorf("%s: SetPassword calls: got %d, want 1", name, got)
			}
		}
	})
}

// A load balancer without a backend resets every connection before it reads anything. The
// answer is UNAVAILABLE, and the first call after that succeeds.
func TestConnectionResetOnAcceptIsUnavailable(t *testing.T) {
	t.Parallel()
	bothUpstreams(t, func(t *testing.T, protocol v2client.Protocol) {
		t.Helper()
		f := newFaulty(t, protocol, patience, neverOpens())
		for name, call := range v1Protocols {
			if code, message := call(t, f.address, userA, "pat-org-owner-a"); code != "0" {
				t.Fatalf("%s, before: got code %s %q, want 0", name, code, message)
			}
			f.upstream.setPasswordCalls(t)
			f.Stop() // closes the pooled connections
			f.ResetConnections(true)
			f.Start(t)
			if code, message := call(t, f.address, userA, "pat-org-owner-a"); code != "14" {
				t.Errorf("%s, reset: got code %s %q, want 14", name, code, message)
			}
			if got := f.upstream.setPasswordCalls(t); got != 0 {
				t.Errorf("%s: SetPassword calls: got %d, want none", name, got)
			}
			f.ResetConnections(false)
			if code, message := call(t, f.address, userA, "pat-org-owner-a"); code != "0" {
				t.Errorf("%s, the next call: got code %s %q, want 0", name, code, message)
			}
		}
	})
}

// A ZITADEL that stops and starts again and again, whenever calls have failed and succeeded,
// gets no write twice, and is called again as soon as the breaker allows.
func TestFlappingUpstreamGetsNoWriteTwice(t *testing.T) {
	t.Parallel()
	bothUpstreams(t, func(t *testing.T, protocol v2client.Protocol) {
		t.Helper()
		f := newFaulty(t, protocol, patience, v2client.BreakerConfig{
			MinimumCalls: 5, FailureRate: 0.5, Window: 200 * time.Millisecond, OpenFor: 20 * time.Millisecond,
		})
		var ok, failed, unknown atomic.Int64
		stop := make(chan struct{})
		var callers sync.WaitGroup
		for name, call := range v1Protocols {
			callers.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond): // so that those that are refused at once are not all there is
					}
					switch code, message := call(t, f.address, userA, "pat-org-owner-a"); code {
					case "0":
						ok.Add(1)
					case "4":
						failed.Add(1)
						unknown.Add(1)
					case "14":
						failed.Add(1)
						if strings.Contains(message, "unknown") {
							unknown.Add(1)
						}
					default:
						t.Errorf("%s: got code %s %q, want 0, 4 or 14", name, code, message)
					}
				}
			})
		}
		more := func(count *atomic.Int64) {
			before := count.Load()
			eventually(t, "another ten answers of a kind", func() bool { return count.Load() >= before+10 })
		}
		for range 8 {
			more(&ok)
			f.Stop()
			more(&failed)
			f.Start(t)
		}
		close(stop)
		callers.Wait()
		arrived, written := f.upstream.setPasswordCalls(t), int64(f.newWrites(t))
		if ok.Load() == 0 || written < ok.Load() || written > ok.Load()+unknown.Load() || int64(arrived) != written {
			t.Errorf("got %d successes, %d unknown outcomes, %d SetPassword calls, %d writes; "+
				"want a success, a write for each, no write of another outcome, and one write per call",
				ok.Load(), unknown.Load(), arrived, written)
		}
		eventually(t, "a call that succeeds", func() bool {
			code, _ := v1Protocols["REST"](t, f.address, userA, "pat-org-owner-a")
			return code == "0"
		})
	})
}

// When ZITADEL sends GOAWAY on one connection, the calls on it are made again on another,
// and all of them succeed.
func TestGoAwayFailsNoCall(t *testing.T) {
	t.Parallel()
	f := newFaulty(t, v2client.ProtocolGRPC, patience, neverOpens())
	ok, notDone := f.callAll(t, func(call int64) bool { return call == 10 })
	if written := f.newWrites(t); notDone > 0 || written != ok {
		t.Errorf("got %d successes, %d calls not done, %d writes; want none not done, and a write per success", ok, notDone, written)
	}
}

// ZITADEL sends GOAWAY for every third SetPassword, before it handles it and all other
// calls on that connection. Each success is one write, and all other calls are answered as
// not done.
func TestRepeatedGoAwaysWriteEachSuccessOnce(t *testing.T) {
	t.Parallel()
	f := newFaulty(t, v2client.ProtocolGRPC, patience, neverOpens())
	ok, notDone := f.callAll(t, func(call int64) bool { return call%3 == 0 })
	if written := f.newWrites(t); written != ok || ok < notDone {
		t.Errorf("got %d successes, %d calls not done, %d writes; want a write per success, and no more not done", ok, notDone, written)
	}
}

// callAll makes calls over all protocols at once, and counts those that succeed and those
// that are answered as not done. goesAway chooses the SetPassword calls, numbered from 1,
// that are answered with GOAWAY.
func (f *faulty) callAll(t *testing.T, goesAway func(call int64) bool) (ok, notDone int) {
	t.Helper()
	var calls, succeeded, refused atomic.Int64
	f.choose(func(r *http.Request) string {
		if isSetPassword(r) && goesAway(calls.Add(1)) {
			return "GOAWAY before it is handled"
		}
		return ""
	})
	const each = 10
	var callers sync.WaitGroup
	for name, call := range v1Protocols {
		for range 2 {
			callers.Go(func() {
				for range each {
					switch code, message := call(t, f.address, userA, "pat-org-owner-a"); {
					case code == "0":
						succeeded.Add(1)
					case code == "14" && strings.Contains(message, unreachable):
						refused.Add(1)
					default:
						t.Errorf("%s: got code %s %q, want 0, or 14 %q", name, code, message, unreachable)
					}
				}
			})
		}
	}
	callers.Wait()
	return int(succeeded.Load()), int(refused.Load())
}

// While its certificate is expired, nothing is sent to ZITADEL, and the answer says that
// nothing was done. Once the certificate is renewed, the next call succeeds.
func TestExpiredUpstreamCertificateSendsNothingUntilRenewed(t *testing.T) {
	t.Parallel()
	bothUpstreams(t, func(t *testing.T, protocol v2client.Protocol) {
		t.Helper()
		ca, dir := wiretest.NewCA(t), t.TempDir()
		renew := func(certPEM, keyPEM []byte) listener.TLSFiles {
			return listener.TLSFiles{
				CertFiles: []string{wiretest.WriteFile(t, dir, "cert", certPEM)}, KeyFiles: []string{wiretest.WriteFile(t, dir, "key", keyPEM)},
			}
		}
		certificates, err := listener.LoadCertificates(renew(ca.IssueExpired(t)))
		if err != nil {
			t.Fatal(err)
		}
		on, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := newStack(t, func(c *stackConfig) {
			c.protocol, c.breaker = protocol, neverOpens()
			c.to = upstream.Config{
				URL: fmt.Sprintf("https://localhost:%d", on.Addr().(*net.TCPAddr).Port), Host: "localhost",
				TLS: upstream.TLS{CAFile: wiretest.WriteFile(t, dir, "ca", ca.PEM)},
			}
		})
		wiretest.ServeTLS(t, on, s.upstream, certificates)
		for name, call := range v1Protocols {
			if code, message := call(t, s.address, userA, "pat-org-owner-a"); code != "14" || strings.Contains(message, "unknown") {
				t.Errorf("%s: got code %s %q, want 14 and a known outcome", name, code, message)
			}
		}
		if calls := s.upstream.calls(t); len(calls) > 0 {
			t.Errorf("upstream calls: got %v, want none", calls)
		}
		if log := s.logged(); !strings.Contains(log, "certificate has expired") {
			t.Errorf("the log: got %s\nwant %q in it", log, "certificate has expired")
		}
		renewed, err := listener.LoadCertificates(renew(ca.Issue(t, 2)))
		if err != nil {
			t.Fatal(err)
		}
		certificates.Adopt(renewed)
		for name, call := range v1Protocols {
			if code, message := call(t, s.address, userA, "pat-org-owner-a"); code != "0" {
				t.Errorf("%s, renewed: got code %s %q, want 0", name, code, message)
			}
		}
	})
}
