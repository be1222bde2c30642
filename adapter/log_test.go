package adapter_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/wiretest"
)

// The log: what it says of a call, and that neither passwords nor tokens get into it. An
// upstream that sends secrets back is in log_reflections_test.go.

// Each call logs one line, with its protocol, outcome, user and upstream calls.
func TestEachCallLogsOneLine(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	call := aCall()
	call.Headers["X-Request-Id"] = "r-1"
	bodyOf(t, sendRaw(t, s.address, call))
	for _, part := range []string{
		`"level":"INFO","msg":"SetHumanInitialPassword","protocol":"rest","way":"v2","code":"ok","error_id":"","user_id":"` + userA +
			`","organization":"400849858564525094","upstream_calls":4,"upstream_time":`, `"request_id":"r-1"}`,
	} {
		if !strings.Contains(s.log.String(), part) {
			t.Errorf("the log: got %s\nwant %q in it", s.log.String(), part)
		}
	}
	if lines := strings.Count(s.log.String(), "\n"); lines != 1 {
		t.Errorf("lines in the log: got %d, want 1", lines)
	}
}

// Neither a password nor a token gets into the log, at any level, whichever recorded
// request is sent and however ZITADEL answers.
func TestLogHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	broken := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The worst upstream there could be sends back all that it received.
		body, _ := readAll(r)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"code":"internal","message":%s}`, strconv.Quote(r.Header.Get("Authorization")+string(body)))
	})
	for name, options := range map[string][]option{
		"zitadel": nil,
		"broken":  {func(c *stackConfig) { c.upstream = broken }},
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
			logged := s.log.String()
			if !strings.Contains(logged, `"msg":"SetHumanInitialPassword"`) {
				t.Fatalf("the log: got %q, want lines of calls", logged)
			}
			for _, secret := range secrets {
				if strings.Contains(logged, secret) {
					t.Errorf("the log: got %q in it, want no secret", secret)
				}
			}
		})
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
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(log.String(), "passed through") && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if got := log.String(); !strings.Contains(got, `"path":"/path"`) || strings.Contains(got, "s3cret") {
		t.Errorf("the log: got %s\nwant the path in it, and neither the query nor credentials", got)
	}
}
