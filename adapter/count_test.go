package adapter_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/v2client"
)

// nativeOf answers each v1 call as its path wants: the last segment is "200", "401" and so on.
func nativeOf(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	const refused = "grpc-status: 7\r\ngrpc-message: no\r\n"
	frame := fmt.Sprintf("\x80\x00\x00\x00%c%s", len(refused), refused)
	switch contentType := r.Header.Get("Content-Type"); {
	case contentType == "application/grpc":
		header.Set("Content-Type", contentType)
		header.Set("Trailer", "Grpc-Status")
		w.WriteHeader(http.StatusOK)
		header.Set("Grpc-Status", "5")
	case contentType == "application/grpc-web+proto":
		header.Set("Content-Type", contentType)
		_, _ = w.Write([]byte(frame))
	case contentType == "application/grpc-web-text":
		header.Set("Content-Type", contentType)
		_, _ = w.Write([]byte(base64.StdEncoding.EncodeToString([]byte(frame))))
	case r.URL.Query().Get("large") != "":
		_, _ = w.Write(make([]byte, 1<<20))
	case r.Header.Get("Authorization") == "Bearer bad-token":
		w.WriteHeader(http.StatusUnauthorized)
	}
}

// Every call of a deprecated API that passes through is counted with its method, its outcome and
// its caller, whose login name is in no log. Other requests, and what a browser asks before a call, are not.
func TestPassedCallsAreCounted(t *testing.T) {
	t.Parallel()
	const service = "/zitadel.management.v1.ManagementService/"
	for name, test := range map[string]struct {
		method, path, contentType, token, referer string
		want                                      string // API, method, protocol, code, caller, own
	}{
		"REST":             {"GET", "/management/v1/users/" + userA, "", "pat-org-owner-a", "", "management GetUserByID rest 200 400850337704971302 "},
		"another API":      {"GET", "/auth/v1/users/me", "", "pat-org-owner-a", "", "auth GetMyUser rest 200"},
		"gRPC":             {"POST", service + "GetUserByID", "application/grpc", "pat-org-owner-a", "", "management GetUserByID grpc not_found"},
		"gRPC-Web":         {"POST", service + "GetUserByID", "application/grpc-web+proto", "pat-org-owner-a", "", "management GetUserByID grpc-web permission_denied"},
		"gRPC-Web text":    {"POST", service + "GetUserByID", "application/grpc-web-text", "pat-org-owner-a", "", "management GetUserByID grpc-web-text permission_denied"},
		"not a method":     {"GET", "/management/v1/nope", "", "pat-org-owner-a", "", "management (unknown) rest 200"},
		"a refused token":  {"GET", "/admin/v1/orgs/default", "", "bad-token", "", "admin GetDefaultOrg rest 401  "},
		"without a token":  {"GET", "/admin/v1/healthz", "", "", "", "admin Healthz rest 200  "},
		"the console":      {"GET", "/auth/v1/users/me", "", "pat-org-owner-a", "https://localhost/ui/console/users", "console (by Referer)"},
		"another site":     {"GET", "/auth/v1/users/me", "", "pat-org-owner-a", "https://app.example.com/ui/console", "auth GetMyUser rest 200"},
		"a page elsewhere": {"GET", "/auth/v1/users/me", "", "pat-org-owner-a", "https://localhost/app", "auth GetMyUser rest 200"},
		"v2":               {"POST", "/v2/users", "", "pat-org-owner-a", "", ""},
		"OIDC":             {"POST", "/oauth/v2/token", "", "", "", ""},
		"preflight":        {"OPTIONS", "/management/v1/users/" + userA, "", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen events
			s := newStack(t, func(c *stackConfig) { c.native, c.identify, c.count = http.HandlerFunc(nativeOf), true, seen.add })
			request, err := http.NewRequestWithContext(t.Context(), test.method, "http://"+s.address+test.path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			request.Host = "localhost"
			request.Header.Set("Content-Type", test.contentType)
			request.Header.Set("Referer", test.referer)
			if test.token != "" {
				request.Header.Set("Authorization", "Bearer "+test.token)
			}
			transport := &http.Transport{DisableKeepAlives: true, Protocols: new(http.Protocols)}
			transport.Protocols.SetHTTP1(test.contentType != "application/grpc")
			transport.Protocols.SetUnencryptedHTTP2(test.contentType == "application/grpc")
			client := &http.Client{Transport: transport}
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if test.want == "" {
				s.settle()
				if got := seen.all(); len(got) != 0 {
					t.Fatalf("got %+v, want none", got)
				}
				return
			}
			eventually(t, "the call is counted", func() bool { return len(seen.all()) > 0 })
			calls := seen.all()
			got := fmt.Sprint(calls[0].API, " ", calls[0].Method, " ", calls[0].Protocol, " ", calls[0].Code, " ", calls[0].Caller, " ", calls[0].ZITADEL)
			if len(calls) != 1 || !strings.Contains(got, test.want) || calls[0].Route != adapter.RouteNative {
				t.Errorf("got %d calls, the first %q, want %q", len(calls), got, test.want)
			}
			if named := test.token == "pat-org-owner-a"; named != (calls[0].Caller != "" && !strings.HasPrefix(calls[0].Caller, "token:")) {
				t.Errorf("got caller %q, want a user's id only of a good token", calls[0].Caller)
			} else if named != (calls[0].LoginName == "org_owner_a") || strings.Contains(s.logged(), "org_owner_a") {
				t.Errorf("got login name %q, want that of a good token, and not in the log: %s", calls[0].LoginName, s.logged())
			}
		})
	}
}

// Nobody waits for the question whose a token is, which is asked once a token; when it is not
// answered before the end, the calls count under the token's hash.
func TestCallersAreNamedInTheBackground(t *testing.T) {
	t.Parallel()
	for name, answered := range map[string]bool{"answered": true, "not answered": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen events
			release := make(chan struct{})
			zitadel := &slowToName{release: release}
			a, err := adapter.New(adapter.Config{
				ZITADEL: zitadel, OrgScope: adapter.OrgScopeOff, Timeout: time.Minute, Rollout: adapter.RolloutAll,
				Limits: adapter.Limits{BodyTimeout: time.Minute}, Catalogue: catalogue(t), Count: seen.add, Identify: true,
				Passthrough: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }),
			})
			if err != nil {
				t.Fatal(err)
			}
			const calls = 50
			for i := range calls {
				pass(t, a, fmt.Sprint("token ", i%2))
			}
			if got := seen.all(); len(got) != 0 {
				t.Errorf("got %d calls before ZITADEL has answered, want none", len(got))
			}
			ctx, cancel := context.WithCancel(t.Context())
			if answered {
				close(release)
			} else {
				cancel()
			}
			a.Finish(ctx)
			cancel()
			pass(t, a, "token 0") // after Finish, ZITADEL is not asked any more
			got := seen.all()
			if len(got) != calls+1 || zitadel.asked.Load() > 2 || answered && zitadel.asked.Load() != 2 {
				t.Errorf("got %d calls and %d questions, want %d and 2", len(got), zitadel.asked.Load(), calls+1)
			}
			for _, call := range got {
				if named := call.Caller == "7" && call.Organization == "1001"; named != answered {
					t.Errorf("got caller %q of %q", call.Caller, call.Organization)
				}
			}
		})
	}
}

// slowToName is a ZITADEL that says whose a token is when it is released, and no more.
type slowToName struct {
	adapter.ZITADEL

	release chan struct{}
	asked   atomic.Int64
}

func (z *slowToName) Identify(ctx context.Context, _ v2client.Caller) (v2client.Identity, error) {
	z.asked.Add(1)
	select {
	case <-z.release:
		return v2client.Identity{UserID: "7", Organization: "1001"}, nil
	case <-ctx.Done():
		return v2client.Identity{}, &v2client.Error{Code: connect.CodeCanceled, Origin: v2client.OriginDeadline}
	}
}

// pass sends a v1 call that passes through.
func pass(t *testing.T, a http.Handler, token string) {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/auth/v1/users/me", http.NoBody)
	request.Header.Set("Authorization", "Bearer "+token)
	a.ServeHTTP(httptest.NewRecorder(), request)
}

// The span of a v1 call that passes through, and its line in the log, name the method.
func TestPassedCallsAreTracedByMethod(t *testing.T) {
	t.Parallel()
	s, kept := newTraced(t, sdktrace.AlwaysSample(), func(c *stackConfig) { c.native = http.HandlerFunc(nativeOf) })
	rest := recordings.Request{Method: http.MethodGet, Path: "/management/v1/users/" + userA}
	grpc := recordings.Request{
		Method: http.MethodPost, Path: "/zitadel.auth.v1.AuthService/GetMyUser", Headers: map[string]string{"Content-Type": "application/grpc", "Te": "trailers"},
	}
	for name, test := range map[string]struct {
		send func()
		want string
	}{
		"REST":    {func() { sendRaw(t, s.address, rest) }, "server GetUserByID [http.request.method=GET http.response.status_code=200 http.route=/management/v1/users/{id}] Unset"},
		"gRPC":    {func() { sendGRPC(t, newTransport(t, true), s.address, grpc) }, "server GetMyUser [http.request.method=POST http.response.status_code=200 rpc.method=zitadel.auth.v1.AuthService/GetMyUser rpc.system.name=grpc] Unset"},
		"unknown": {func() { sendRaw(t, s.address, recordings.Request{Method: http.MethodGet, Path: "/management/v1/nope"}) }, "server GET [http.request.method=GET http.response.status_code=200] Unset"},
	} {
		test.send()
		if spans := spansOf(t, s, kept); told(spans[0]) != test.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, told(spans[0]), test.want)
		}
	}
	for _, want := range []string{`"v1_method":"management GetUserByID"`, `"v1_method":"auth GetMyUser"`, `"v1_method":"management (unknown)"`} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("%s is not in the log", want)
		}
	}
}
