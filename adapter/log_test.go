package adapter_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/metrics"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/usage"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
)

// The log: what it says of a call, and that neither passwords nor tokens get into it. An
// upstream that sends secrets back is in log_reflections_test.go.

// Each call logs one line, with its protocol, who called, the outcome, the user, the calls
// to ZITADEL and how long it took.
func TestEachCallLogsOneLine(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	call := aCall()
	call.Headers["X-Request-Id"], call.Headers["User-Agent"] = "r-1", "legacy/1.0"
	call.Headers["Traceparent"] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	bodyOf(t, sendRaw(t, s.address, call))
	want := regexp.MustCompile(`^{"time":"[^"]+","level":"INFO","msg":"SetHumanInitialPassword","protocol":"rest","way":"v2","code":"ok","error_id":"",` +
		`"caller":"400850337704971302","user_agent":"legacy/1.0","peer":"127.0.0.1","user_id":"` + userA + `","organization":"400849858564525094",` +
		`"upstream_calls":4,"upstream_ms":[0-9.]+,"duration_ms":[0-9.]+,"request_id":"r-1","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736"}\n$`)
	if !want.MatchString(s.logged()) {
		t.Errorf("the log: got %s\nwant %s", s.logged(), want)
	}
}

// The caller is a user's id where that is known, also for a call that native v1 answers;
// or else the same hash for each call with a token, which differs with CallerKey.
func TestLogNamesCallers(t *testing.T) {
	t.Parallel()
	who := func(s *stack, change func(*recordings.Request)) string {
		t.Helper()
		call := aCall()
		if change != nil {
			change(&call)
		}
		bodyOf(t, sendRaw(t, s.address, call))
		return s.calls()[0].Caller
	}
	token := func(token string) func(*recordings.Request) {
		return func(call *recordings.Request) { call.Headers["Authorization"] = token }
	}
	native := newStack(t, func(c *stackConfig) { c.rollout, c.passes = 0, true })
	off := newStack(t, func(c *stackConfig) { c.scope = adapter.OrgScopeOff })
	strict := newStack(t)
	hashed := who(off, nil)
	for _, test := range []struct{ name, got, want string }{
		{"strict", who(strict, nil), "400850337704971302"},
		{"strict, invalid request", who(strict, func(call *recordings.Request) { call.Text = new(string) }), "400850337704971302"},
		{"off, again", who(off, nil), hashed},
		{"no token", who(off, token("")), ""},
		{"native, the same token", who(native, nil), hashed},
	} {
		if test.got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, test.got, test.want)
		}
	}
	if !regexp.MustCompile("^token:[0-9a-f]{16}$").MatchString(hashed) || who(off, token("Bearer other")) == hashed {
		t.Errorf("got %q, want a hash that differs between tokens", hashed)
	}
}

// echo is the worst upstream there could be: it sends back all that it received.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := readAll(r)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = fmt.Fprintf(w, `{"code":"internal","message":%s}`, strconv.Quote(r.Header.Get("Authorization")+string(body)))
}

// Neither a password nor a token gets into the log, at any level, whichever recorded
// request is sent and however ZITADEL answers.
func TestLogHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]option{
		"zitadel": nil,
		"broken":  {func(c *stackConfig) { c.upstream = http.HandlerFunc(echo) }},
		"reset": {func(c *stackConfig) {
			c.upstream = wiretest.Reset(t)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, options...)
			secrets := []string{"Sup3r", "Passw0rd"}
			for _, file := range []string{recordings.V1RESTEdges, recordings.V1GRPCWeb} {
				for _, recording := range recordings.Load(t, file) {
					response := sendRaw(t, s.address, recording.Request)
					_, _ = io.Copy(io.Discard, response.Body)
					if _, token, ok := strings.Cut(recording.Request.Headers["Authorization"], " "); ok {
						secrets = append(secrets, `"`+token, " "+token)
					}
				}
			}
			logged := s.logged()
			if !strings.Contains(logged, `"msg":"SetHumanInitialPassword"`) {
				t.Fatalf("the log: got %q, want lines of calls", logged)
			}
			logged += metricsAndUsage(t, s.calls())
			for _, secret := range secrets {
				if strings.Contains(logged, secret) {
					t.Errorf("the log: got %q in it, want no secret", secret)
				}
			}
		})
	}
}

// metricsAndUsage is what metrics and /usage tell of calls.
func metricsAndUsage(t *testing.T, calls []adapter.Event) string {
	t.Helper()
	never := func() time.Time { return time.Time{} }
	counted := metrics.New(metrics.Sources{
		Breaker: func() v2client.BreakerState { return v2client.BreakerClosed }, CallsInFlight: func() int { return 0 }, NextBrownout: never, Sunset: never,
	})
	ledger, err := usage.NewLedger(usage.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ledger.Close(t.Context()) }()
	for _, call := range calls {
		counted.Call(call)
		counted.Counted(call)
		ledger.Observe(call)
	}
	if err := ledger.Finish(t.Context()); err != nil { // a reader does not wait for long
		t.Fatal(err)
	}
	var all strings.Builder
	for path, handler := range map[string]http.Handler{"/metrics": counted.Handler(), "/usage": ledger} {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
		if !strings.Contains(recorder.Body.String(), "SetHumanInitialPassword") {
			t.Errorf("%s: got %s, want the calls", path, recorder.Body)
		}
		all.WriteString(recorder.Body.String())
	}
	return all.String()
}

// With usage.identify, a bad token costs ZITADEL nothing but its calls: their answer says that it is
// one.
func TestBadTokenIsNotAskedAbout(t *testing.T) {
	t.Parallel()
	for question, gone := range map[string]bool{"me": false, "userinfo": true} {
		s := newStack(t, func(c *stackConfig) {
			c.scope, c.identify, c.zitadel.WithoutAuthAPI = adapter.OrgScopeOff, true, gone
		})
		const calls = 5
		for range calls {
			if code, message := v1Protocols["REST"](t, s.address, userA, "bad-token"); code != "16" {
				t.Errorf("got code %s %q, want 16", code, message)
			}
		}
		asked, passwords := 0, 0
		for _, call := range s.upstream.calls(t) {
			switch call {
			case question:
				asked++
			case "SetPassword":
				passwords++
			}
		}
		if asked != 0 || passwords != calls {
			t.Errorf("got %d questions by %s and %d SetPassword calls, want none and %d", asked, question, passwords, calls)
		}
	}
}

// For requests that pass through, the log names the path, at debug level, but neither the
// query, which may hold an authorization code, nor credentials.
func TestPassthroughLogOmitsQueriesAndCredentials(t *testing.T) {
	t.Parallel()
	var log wiretest.Buffer
	address, _ := recordHeads(t, okAnswer)
	s := newPassing(t, "http://"+address, func(p *parts) {
		p.passthrough.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	exchangeRaw(t, s, http.MethodGet, []byte("GET /path?code=s3cret HTTP/1.1\r\nHost: x\r\n"+
		"Authorization: Bearer s3cret\r\nCookie: s3cret\r\n\r\n"))
	eventually(t, "a line in the log", func() bool { return strings.Contains(log.String(), "passed through") })
	if got := log.String(); !strings.Contains(got, `"path":"/path"`) || strings.Contains(got, "s3cret") {
		t.Errorf("the log: got %s\nwant the path in it, and neither the query nor credentials", got)
	}
}
