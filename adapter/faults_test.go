package adapter_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
	"zitadel-v1-adapter/v2client/v2test"
)

// protocols are how v1 is called; each returns the gRPC code, and the message.
var protocols = map[string]func(t *testing.T, address string, user, token string) (code, message string){
	"REST": func(t *testing.T, address, user, token string) (string, string) {
		t.Helper()
		body := good
		response := sendRaw(t, address, recordings.Request{
			Method: http.MethodPost, Path: "/management/v1/users/" + user + "/password/_initialize", Text: &body,
			Headers: map[string]string{"Authorization": "Bearer " + token, "X-Request-Id": "r-" + user},
		})
		answer := bodyOf(t, response)
		if response.StatusCode == http.StatusOK {
			return "0", answer
		}
		var code int
		_, _ = fmt.Sscanf(answer, `{"code":%d`, &code)
		return strconv.Itoa(code), answer
	},
	"gRPC": func(t *testing.T, address, user, token string) (string, string) {
		t.Helper()
		header, trailer, message := sendGRPC(t, newTransport(t, true), address, rpcRequest(t, "application/grpc", user, token))
		got := grpcOutcome(t, header, trailer, message)
		return got.code, got.text
	},
	"gRPC-Web": func(t *testing.T, address, user, token string) (string, string) {
		t.Helper()
		response := sendRaw(t, address, rpcRequest(t, "application/grpc-web+proto", user, token))
		got := grpcWebOutcome(t, response.Header, []byte(bodyOf(t, response)))
		return got.code, got.text
	},
}

func rpcRequest(t *testing.T, contentType, user, token string) recordings.Request {
	t.Helper()
	return recordings.Request{
		Method: http.MethodPost, Path: "/zitadel.management.v1.ManagementService/SetHumanInitialPassword", BodyBase64: grpcCallBodyFor(user),
		Headers: map[string]string{"Content-Type": contentType, "Authorization": "Bearer " + token, "X-Request-Id": "r-" + user},
	}
}

// newFaulty is an adapter before a ZITADEL whose answers can go wrong.
func newFaulty(t *testing.T, timeout time.Duration, breaker v2client.BreakerConfig) (*wiretest.FaultProxy, *stack) {
	t.Helper()
	fixture := wiretest.Fixture(t)
	s := &stack{zitadel: wiretest.NewZITADEL(t, fixture), fixture: fixture}
	s.upstream = &witness{next: s.zitadel}
	proxy := wiretest.NewFaultProxy(t, s.upstream)
	client, err := v2client.New(v2client.Config{
		Upstream: wiretest.Upstream(t, "http://"+proxy.Address, upstream.HostClient), Protocol: v2client.ProtocolConnect, Breaker: breaker,
		Retry: v2client.RetryConfig{Attempts: 3, BaseDelay: time.Millisecond, MaxDelay: time.Millisecond, Budget: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	handler, err := adapter.New(adapter.Config{
		ZITADEL: client, OrgScope: adapter.OrgScopeStrict, Timeout: timeout, Rollout: adapter.RolloutAll, Limits: roomy(),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.address = wiretest.Listen(t, handler)
	return proxy, s
}

// patient is a breaker that never opens.
func patient() v2client.BreakerConfig {
	return v2client.BreakerConfig{MinimumCalls: 1 << 30, FailureRate: 1, Window: time.Minute, OpenFor: time.Minute}
}

// SetPassword goes wrong in every way, over every protocol: the answer is v1's
// UNAVAILABLE or DEADLINE_EXCEEDED and tells the truth, SetPassword arrives once at
// most, and the next call succeeds.
func TestFaultsOfSetPassword(t *testing.T) {
	t.Parallel()
	proxy, s := newFaulty(t, time.Second, patient())
	for name, fault := range wiretest.Faults() {
		for protocol, call := range protocols {
			s.newWrites(t)
			proxy.Choose(func(r *http.Request) wiretest.Fault {
				if strings.HasSuffix(r.URL.Path, "/SetPassword") {
					return fault
				}
				return nil
			})
			code, message := call(t, s.address, userA, "pat-org-owner-a")
			written := s.newWrites(t)
			arrived := s.upstream.setPasswordCalls(t)
			unknown := code == "4" || strings.Contains(message, "whether the change was made is unknown")
			if code != "14" && code != "4" || !unknown || arrived > 1 || written > 1 {
				t.Errorf("%s, %s: code %s %q, SetPassword arrived %d times, %d writes", name, protocol, code, message, arrived, written)
			}
			if hangs := strings.HasPrefix(name, "hangs"); hangs != (code == "4") {
				t.Errorf("%s, %s: code %s", name, protocol, code)
			}
			proxy.Choose(func(*http.Request) wiretest.Fault { return nil })
			if code, message := call(t, s.address, userA, "pat-org-owner-a"); code != "0" {
				t.Errorf("%s, %s: the next call: %s %s", name, protocol, code, message)
			}
			s.upstream.setPasswordCalls(t)
		}
	}
}

// The look-ups before it go wrong: SetPassword is not called, and the answer says
// that nothing was done.
func TestFaultsOfReads(t *testing.T) {
	t.Parallel()
	for name, fault := range wiretest.Faults() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proxy, s := newFaulty(t, time.Second, patient())
			for protocol, call := range protocols {
				s.zitadel.Add(userOf("f" + protocol))
				proxy.Choose(func(*http.Request) wiretest.Fault { return fault })
				code, message := call(t, s.address, "f"+protocol, "pat-org-owner-a")
				if code != "14" && code != "4" || strings.Contains(message, "unknown") {
					t.Errorf("%s: code %s %q", protocol, code, message)
				}
				if got := s.upstream.setPasswordCalls(t); got > 0 {
					t.Errorf("%s: SetPassword arrived %d times", protocol, got)
				}
				proxy.Choose(func(*http.Request) wiretest.Fault { return nil })
				if code, message := call(t, s.address, "f"+protocol, "pat-org-owner-a"); code != "0" {
					t.Errorf("%s: the next call: %s %s", protocol, code, message)
				}
				s.upstream.setPasswordCalls(t)
			}
		})
	}
}

// A ZITADEL that flaps never sees a call twice that it may have handled, and is
// called again as soon as the breaker allows.
func TestFlapping(t *testing.T) {
	t.Parallel()
	proxy, s := newFaulty(t, time.Second, v2client.BreakerConfig{MinimumCalls: 5, FailureRate: 0.5, Window: 200 * time.Millisecond, OpenFor: 20 * time.Millisecond})
	reset := wiretest.Faults()["reset before it is handled"]
	for range 6 {
		proxy.Choose(func(*http.Request) wiretest.Fault { return reset })
		for range 10 {
			if code, _ := protocols["REST"](t, s.address, userA, "pat-org-owner-a"); code != "14" {
				t.Errorf("down: code %s", code)
			}
		}
		proxy.Choose(func(*http.Request) wiretest.Fault { return nil })
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
			code, message := protocols["REST"](t, s.address, userA, "pat-org-owner-a")
			if code == "0" {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("not up again: %s %s", code, message)
			}
		}
		if sent, written := s.upstream.setPasswordCalls(t), s.newWrites(t); sent != written {
			t.Errorf("%d SetPassword calls, %d writes", sent, written)
		}
	}
}

// userOf is an active human of the recorded ZITADEL's first organization.
func userOf(id string) v2test.User {
	return v2test.User{ID: id, Org: "400849858564525094", Type: v2test.Human, State: v2test.Active}
}
