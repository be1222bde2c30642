package adapter_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client/v2test"
)

// Shadow mode: native v1 answers, and the adapter judges by reading.

// shadowed is a stack whose calls all go to native v1, and what became of their judgements.
func shadowed(t *testing.T, native http.Handler, options ...option) (*stack, <-chan adapter.Shadow) {
	t.Helper()
	results := make(chan adapter.Shadow, 1000)
	return newStack(t, append([]option{func(c *stackConfig) {
		c.native, c.rollout, c.shadow = native, 0, func(shadow adapter.Shadow) { results <- shadow }
	}}, options...)...), results
}

// next is the next judgement.
func next(t *testing.T, results <-chan adapter.Shadow) adapter.Shadow {
	t.Helper()
	select {
	case shadow := <-results:
		return shadow
	case <-time.After(patience):
		t.Fatal("no call was judged")
		return adapter.Shadow{}
	}
}

// checkReadsOnly reports any attempt to write.
func checkReadsOnly(t *testing.T, s *stack) {
	t.Helper()
	if calls, writes := s.zitadel.Calls(userv2connect.UserServiceSetPasswordProcedure), s.newWrites(t); calls != 0 || writes != 0 {
		t.Errorf("got %d SetPassword calls and %d writes, want none", calls, writes)
	}
}

// playback is native v1 that gives a recorded answer.
type playback struct {
	atomic.Pointer[recordings.Response]
}

func (p *playback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := p.Load()
	grpc := r.Header.Get("Content-Type") == "application/grpc"
	for name, values := range answer.Header() {
		if grpc && strings.HasPrefix(name, "Grpc-") {
			name = http.TrailerPrefix + name
		}
		w.Header()[name] = values
	}
	w.Header().Del("Content-Length")
	w.WriteHeader(answer.Status)
	_, _ = w.Write(answer.Body(discardingTB{}))
}

// discardingTB is for recordings that were read before.
type discardingTB struct{ testing.TB }

func (discardingTB) Helper() {}

// Every recorded call of native v1 is judged as native v1 answered it, or not decided where
// only the write can know. The adapter writes nothing.
func TestShadowAgreesWithRecordings(t *testing.T) {
	t.Parallel()
	for _, set := range recordings.Methods() {
		native := new(playback)
		s, results := shadowed(t, native, func(c *stackConfig) { c.fixture = wiretest.FixtureOf(t, set.Fixture) })
		transport := newTransport(t, true)
		counts := map[string]int{}
		for _, file := range []string{set.RESTMatrix, set.RESTEdges, set.GRPCWeb, set.GRPC} {
			for _, recording := range recordings.Load(t, file) {
				native.Store(&recording.Response)
				if file == set.GRPC {
					sendGRPC(t, transport, s.address, recording.Request)
				} else {
					_ = bodyOf(t, sendRaw(t, s.address, recording.Request))
				}
				if len(s.calls()) == 0 {
					counts["no call"]++
					continue
				}
				shadow := next(t, results)
				counts[shadow.Result]++
				if shadow.Result == adapter.ShadowDiffers {
					t.Errorf("%s, %s: native v1 answered %s, the verdict is %s", file, recording.Name, shadow.Native, shadow.Verdict)
				}
			}
		}
		checkReadsOnly(t, s)
		if counts[adapter.ShadowAgrees] < 20 || counts[adapter.ShadowDropped] > counts[adapter.ShadowAgrees]/10 {
			t.Errorf("%s: got %v, want most to agree", set.Method, counts)
		}
		t.Logf("%s: %v", set.Method, counts)
	}
}

// A call with a grpc-encoding that v1 does not have, here of a message that is not packed, is
// refused by the adapter too: it was judged as one that would write.
func TestShadowRefusesUnknownEncodings(t *testing.T) {
	t.Parallel()
	s, results := shadowed(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "12")
	}))
	request := rpcRequest(t, "application/grpc", userA, "pat-org-owner-a")
	request.Headers["Grpc-Encoding"] = "br"
	sendGRPC(t, newTransport(t, true), s.address, request)
	if got := next(t, results); got.Result != adapter.ShadowAgrees {
		t.Errorf("got %+v, want that both refuse", got)
	}
}

// model is native v1 by the plain model, whose answers may be changed.
type model struct {
	world  v2test.Fixture
	change func(answer string) string
}

func (m model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var caller v2test.Caller
	for _, each := range m.world.Callers {
		if r.Header.Get("Authorization") == "Bearer "+each.Token {
			caller = each
		}
	}
	var body struct {
		Password string `json:"password"`
	}
	sent, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(sent, &body)
	answer := m.change(referenceV1(m.world, caller, r.Header.Get("X-Zitadel-Orgid"), strings.Split(r.URL.Path, "/")[4], body.Password))
	if answer == "ok" {
		_, _ = w.Write([]byte(`{"details":{"sequence":"2"}}`))
		return
	}
	number, id, _ := strings.Cut(answer, " ")
	code, _ := strconv.ParseUint(number, 10, 32)
	w.WriteHeader(rpcstatus.HTTPStatus(connect.Code(code)))
	fmt.Fprintf(w, `{"code":%d,"message":"words (%s)"}`, code, id)
}

// callAll makes the calls of every caller of a world, and counts the judgements. What differs
// goes to differs, which says whether to go on.
func callAll(t *testing.T, w v2test.Fixture, headers []string, change func(string) string, differs func(what string, shadow adapter.Shadow) bool) (counts map[string]int) {
	t.Helper()
	s, results := shadowed(t, model{w, change}, func(c *stackConfig) { c.fixture = w })
	defer checkReadsOnly(t, s)
	transport := newTransport(t, false)
	counts = map[string]int{}
	turn, passwords := 0, []string{"Sup3rPassw0rd!", "", "short"}
	for _, caller := range w.Callers {
		for _, header := range headers {
			for _, user := range w.Users {
				turn++
				password := passwords[turn%len(passwords)]
				setPassword(t, transport, s.address, caller.Token, header, user.ID, password)
				shadow := next(t, results)
				counts[shadow.Result]++
				what := fmt.Sprintf("%s, header %q, %s, %q", caller.Token, header, user.ID, password)
				if shadow.Result == adapter.ShadowDiffers && !differs(what, shadow) {
					return counts
				}
			}
		}
	}
	return counts
}

// The verdict is that of the plain model of v1, for every caller, organization and user, each with
// one kind of password, in turn.
func TestShadowAgreesWithModel(t *testing.T) {
	t.Parallel()
	counts := callAll(t, sampled(withoutTwins(world())), []string{"", "1", "2", "3"}, func(answer string) string { return answer }, func(what string, shadow adapter.Shadow) bool {
		t.Errorf("%s: native v1 answered %s, the verdict is %s", what, shadow.Native, shadow.Verdict)
		return true
	})
	all := 0
	for _, count := range counts {
		all += count
	}
	if counts[adapter.ShadowDropped] > 0 || counts[adapter.ShadowAgrees] < all*9/10 {
		t.Errorf("got %v, want nearly all judged", counts)
	}
	t.Logf("%v", counts)
}

// A native v1 that answers otherwise is found out, whatever it answers.
func TestShadowFindsDifferences(t *testing.T) {
	t.Parallel()
	w := world()
	w.Callers = maps.Clone(w.Callers)
	maps.DeleteFunc(w.Callers, func(name string, caller v2test.Caller) bool { // enough are left
		return len(caller.AdministratorOf) > 1 || strings.HasSuffix(name, "true")
	})
	var all sync.WaitGroup
	for from, to := range map[string]string{
		"ok": "5 AUTHZ-cdgFk", "5 AUTHZ-cdgFk": "ok", "7 AUTH-5mWD2": "ok", "9 COMMAND-G8dh3": "ok", "3 ": "ok",
		"7 AUTH-Bs7Ds": "5 AUTHZ-cdgFk", "5 AUTHZ-cdgFk ": "7 AUTH-5mWD2", "7 AUTH-5mWD2 ": "5 AUTHZ-cdgFk",
		"9 COMMAND-G8dh3 ": "9 COMMAND-M9dse", "3  ": "9 COMMAND-G8dh3",
	} {
		all.Go(func() {
			found := false
			callAll(t, w, []string{"", "3"}, func(answer string) string {
				if answer == from || answer+" " == from {
					return to
				}
				return answer
			}, func(string, adapter.Shadow) bool {
				found = true
				return false // one is enough
			})
			if !found {
				t.Errorf("%s in place of %s: got no difference", to, from)
			}
		})
	}
	all.Wait()
}

// The log line of a difference has the caller, the user and the organization, as the line of a translated call has.
func TestShadowNamesCallers(t *testing.T) {
	t.Parallel()
	s, _ := shadowed(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if contentType := r.Header.Get("Content-Type"); strings.HasPrefix(contentType, "application/grpc") {
			w.Header().Set("Content-Type", contentType)
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", "5")
			w.Header().Set(http.TrailerPrefix+"Grpc-Message", "Password not found (COMMAND-G8dh3)")
			return
		}
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"code":5,"message":"Password not found (COMMAND-G8dh3)"}`)
	}))
	line := func(protocol, id string) string {
		return `"msg":"shadow","method":"SetHumanInitialPassword","protocol":"` + protocol + `","result":"differs","native":"COMMAND-G8dh3",` +
			`"verdict":"would have called SetPassword","caller":"400850337704971302","user_id":"` + userA + `","organization":"400849858564525094","request_id":"` + id + `"`
	}
	rest, grpc, unknown := aCall(), rpcRequest(t, "application/grpc", userA, "pat-org-owner-a"), aCall()
	rest.Headers["X-Request-Id"], grpc.Headers["X-Request-Id"] = "r-1", "r-2"
	unknown.Headers["Authorization"], unknown.Headers["X-Zitadel-Orgid"] = "Bearer s3cret", "7"
	_ = bodyOf(t, sendRaw(t, s.address, rest))
	sendGRPC(t, newTransport(t, true), s.address, grpc)
	_ = bodyOf(t, sendRaw(t, s.address, unknown))
	named := regexp.MustCompile(`"msg":"shadow",.*"caller":"token:[0-9a-f]{16}","user_id":"` + userA + `","organization":"7"`)
	for _, want := range []string{line("rest", "r-1"), line("grpc", "r-2")} {
		eventually(t, want, func() bool { return strings.Contains(s.log.String(), want) })
	}
	eventually(t, "a hash of the unknown token", func() bool { return named.MatchString(s.log.String()) })
	if strings.Contains(s.log.String(), "s3cret") {
		t.Errorf("the log: got %s, want no token", s.log.String())
	}
}

// A ZITADEL that does not answer delays no caller of native v1: what is too much to judge is
// dropped.
func TestShadowDelaysNobody(t *testing.T) {
	t.Parallel()
	hung := make(chan struct{})
	native := model{world(), func(string) string { return "ok" }}
	s, results := shadowed(t, native, func(c *stackConfig) {
		c.upstream = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hung })
		c.timeout = time.Minute
	})
	const calls = 100
	for range calls {
		if response := sendRaw(t, s.address, aCall()); response.StatusCode != http.StatusOK {
			t.Fatalf("got HTTP %d, want native v1's answer", response.StatusCode)
		}
	}
	close(hung)
	for range calls {
		if shadow := next(t, results); shadow.Result != adapter.ShadowDropped {
			t.Errorf("got %+v, want it dropped", shadow)
		}
	}
}
