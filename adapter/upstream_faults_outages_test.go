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

// ZITADEL ends while it works on calls, is away, and comes back: the calls get to
// know that their outcome is unknown, those in between that nothing was done, and
// the first one after that succeeds.
func TestRestart(t *testing.T) {
	t.Parallel()
	bothUpstreams(t, func(t *testing.T, protocol v2client.Protocol) {
		t.Helper()
		f := newFaulty(t, protocol, 10*time.Second, patient())
		for name, call := range protocols {
			const many = 8
			arrived, release := make(chan struct{}), make(chan struct{})
			f.choose(func(r *http.Request) string {
				if isSetPassword(r) {
					arrived <- struct{}{}
					<-release
				}
				return ""
			})
			answers := make(chan string, many)
			for range many {
				go func() {
					code, message := call(t, f.address, userA, "pat-org-owner-a")
					answers <- code + " " + message
				}()
			}
			for range many {
				<-arrived
			}
			stopped := make(chan struct{})
			go func() { defer close(stopped); f.Stop() }()
			for range many {
				if answer := <-answers; !strings.HasPrefix(answer, "14 ") || !strings.Contains(answer, "whether the change was made is unknown") {
					t.Errorf("%s, cut: %s", name, answer)
				}
			}
			close(release)
			<-stopped
			f.heal()
			f.upstream.setPasswordCalls(t)

			for range 3 {
				if code, message := call(t, f.address, userA, "pat-org-owner-a"); code != "14" || strings.Contains(message, "unknown") {
					t.Errorf("%s, away: %s %s", name, code, message)
				}
			}
			f.Start(t)
			if code, message := call(t, f.address, userA, "pat-org-owner-a"); code != "0" {
				t.Errorf("%s, back: %s %s", name, code, message)
			}
			if got := f.upstream.setPasswordCalls(t); got != 1 {
				t.Errorf("%s: SetPassword arrived %d times", name, got)
			}
		}
	})
}

// Whatever listens in ZITADEL's place resets every connection before it has read
// anything, as a load balancer without a backend does.
func TestResetsBeforeTheRequest(t *testing.T) {
	t.Parallel()
	bothUpstreams(t, func(t *testing.T, protocol v2client.Protocol) {
		t.Helper()
		f := newFaulty(t, protocol, 10*time.Second, patient())
		for name, call := range protocols {
			if code, message := call(t, f.address, userA, "pat-org-owner-a"); code != "0" {
				t.Fatalf("%s: %s %s", name, code, message)
			}
			f.upstream.setPasswordCalls(t)
			f.Stop() // pooled connections
			f.ResetConnections(true)
			f.Start(t)
			if code, message := call(t, f.address, userA, "pat-org-owner-a"); code != "14" {
				t.Errorf("%s: %s %s", name, code, message)
			}
			if got := f.upstream.setPasswordCalls(t); got != 0 {
				t.Errorf("%s: SetPassword arrived %d times", name, got)
			}
			f.ResetConnections(false)
			if code, message := call(t, f.address, userA, "pat-org-owner-a"); code != "0" {
				t.Errorf("%s, the next call: %s %s", name, code, message)
			}
		}
	})
}

// A ZITADEL that goes away and comes back twice a second never gets a call twice, and
// is called again as soon as the breaker allows.
func TestFlapping(t *testing.T) {
	t.Parallel()
	bothUpstreams(t, func(t *testing.T, protocol v2client.Protocol) {
		t.Helper()
		f := newFaulty(t, protocol, time.Second, v2client.BreakerConfig{MinimumCalls: 5, FailureRate: 0.5, Window: 200 * time.Millisecond, OpenFor: 20 * time.Millisecond})
		var ok, unknown atomic.Int64
		stop := make(chan struct{})
		var callers sync.WaitGroup
		for name, call := range protocols {
			callers.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(10 * time.Millisecond):
					}
					switch code, message := call(t, f.address, userA, "pat-org-owner-a"); code {
					case "0":
						ok.Add(1)
					case "4":
						unknown.Add(1)
					case "14":
						if strings.Contains(message, "unknown") {
							unknown.Add(1)
						}
					default:
						t.Errorf("%s: %s %s", name, code, message)
					}
				}
			})
		}
		const half = 250 * time.Millisecond
		for range 8 {
			time.Sleep(half)
			f.Stop()
			time.Sleep(half)
			f.Start(t)
		}
		close(stop)
		callers.Wait()
		arrived, written := f.upstream.setPasswordCalls(t), int64(f.newWrites(t))
		if ok.Load() == 0 || written < ok.Load() || written > ok.Load()+unknown.Load() || int64(arrived) != written {
			t.Errorf("%d ok, %d unknown, SetPassword arrived %d times, %d writes", ok.Load(), unknown.Load(), arrived, written)
		}
		eventually(t, "up again", func() bool {
			code, _ := protocols["REST"](t, f.address, userA, "pat-org-owner-a")
			return code == "0"
		})
	})
}

// One connection goes away under everybody's calls: nobody notices.
func TestGoAway(t *testing.T) {
	t.Parallel()
	f := newFaulty(t, v2client.ProtocolGRPC, 20*time.Second, patient())
	ok, notDone := f.callAll(t, func(call int64) bool { return call == 10 })
	if written := f.newWrites(t); notDone > 0 || written != ok {
		t.Errorf("%d ok, %d not done, %d writes", ok, notDone, written)
	}
}

// Every third SetPassword meets a connection that goes away before it is handled, and
// all others on that connection do: what is "ok" was written once, and for the rest the
// answer says that nothing was done.
func TestGoAwayStorm(t *testing.T) {
	t.Parallel()
	f := newFaulty(t, v2client.ProtocolGRPC, 20*time.Second, patient())
	ok, notDone := f.callAll(t, func(call int64) bool { return call%3 == 0 })
	if written := f.newWrites(t); written != ok || ok < notDone {
		t.Errorf("%d ok, %d not done, %d writes", ok, notDone, written)
	}
}

// callAll makes calls over all protocols at once; goesAway says under which
// SetPassword calls the connection goes away.
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
	for name, call := range protocols {
		for range 2 {
			callers.Go(func() {
				for range each {
					switch code, message := call(t, f.address, userA, "pat-org-owner-a"); {
					case code == "0":
						succeeded.Add(1)
					case code == "14" && strings.Contains(message, "ZITADEL cannot be reached"):
						refused.Add(1)
					default:
						t.Errorf("%s: %s %s", name, code, message)
					}
				}
			})
		}
	}
	callers.Wait()
	return int(succeeded.Load()), int(refused.Load())
}

// With an expired certificate ZITADEL gets to see nothing, and the answer says that
// nothing was done; when it is renewed, the next call succeeds.
func TestExpiredCertificate(t *testing.T) {
	t.Parallel()
	bothUpstreams(t, func(t *testing.T, protocol v2client.Protocol) {
		t.Helper()
		ca, dir := wiretest.NewCA(t), t.TempDir()
		renew := func(certPEM, keyPEM []byte) listener.TLSFiles {
			return listener.TLSFiles{CertFile: wiretest.WriteFile(t, dir, "cert", certPEM), KeyFile: wiretest.WriteFile(t, dir, "key", keyPEM)}
		}
		certificates, err := listener.LoadCertificates(renew(ca.IssueExpired(t)))
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := newStack(t, func(c *stackConfig) {
			c.protocol, c.breaker = protocol, patient()
			c.to = upstream.Config{
				URL: fmt.Sprintf("https://localhost:%d", listener.Addr().(*net.TCPAddr).Port), Host: "localhost",
				TLS: upstream.TLS{CAFile: wiretest.WriteFile(t, dir, "ca", ca.PEM)},
			}
		})
		wiretest.ServeTLS(t, listener, s.upstream, certificates)
		for name, call := range protocols {
			if code, message := call(t, s.address, userA, "pat-org-owner-a"); code != "14" || strings.Contains(message, "unknown") {
				t.Errorf("%s: %s %s", name, code, message)
			}
		}
		if calls := s.upstream.calls(t); len(calls) > 0 {
			t.Errorf("arrived: %v", calls)
		}
		if log := s.log.String(); !strings.Contains(log, "certificate has expired") {
			t.Errorf("the log does not say why: %s", log)
		}
		if err := certificates.Reload(renew(ca.Issue(t, 2))); err != nil {
			t.Fatal(err)
		}
		for name, call := range protocols {
			if code, message := call(t, s.address, userA, "pat-org-owner-a"); code != "0" {
				t.Errorf("%s, renewed: %s %s", name, code, message)
			}
		}
	})
}
