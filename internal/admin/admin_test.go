package admin_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/admin"
	"zitadel-v1-adapter/internal/config"
)

// /readyz follows SetReady; /healthz does not.
func TestReadyzFollowsSetReady(t *testing.T) {
	t.Parallel()
	server := admin.New(http.NotFoundHandler(), http.NotFoundHandler(), http.NotFoundHandler(), false, fixed(config.Admin{}))
	status := func(path string) int { return call(server, http.MethodGet, path) }
	if got := status("/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz before SetReady: got status %d, want 503", got)
	}
	server.SetReady(true)
	if got := status("/readyz"); got != http.StatusOK {
		t.Errorf("/readyz after SetReady(true): got status %d, want 200", got)
	}
	server.SetReady(false)
	if got := status("/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz after SetReady(false): got status %d, want 503", got)
	}
	if got := status("/healthz"); got != http.StatusOK {
		t.Errorf("/healthz: got status %d, want 200", got)
	}
}

func fixed(settings config.Admin) func() config.Admin {
	return func() config.Admin { return settings }
}

func call(server *admin.Server, method, path string) int {
	recorder := httptest.NewRecorder()
	request := on("127.0.0.1:9090", httptest.NewRequest(method, path, http.NoBody))
	request.Host = "127.0.0.1:9090"
	server.ServeHTTP(recorder, request)
	return recorder.Code
}

// /quitquitquit closes Quit only if it is allowed, and only with POST.
func TestQuitNeedsPermissionAndPOST(t *testing.T) {
	t.Parallel()
	var settings config.Admin
	server := admin.New(http.NotFoundHandler(), http.NotFoundHandler(), http.NotFoundHandler(), false, func() config.Admin { return settings })
	if got := call(server, http.MethodPost, "/quitquitquit"); got != http.StatusForbidden {
		t.Errorf("not allowed: got status %d, want 403", got)
	}
	settings.QuitQuitQuit = true
	if got := call(server, http.MethodGet, "/quitquitquit"); got != http.StatusMethodNotAllowed {
		t.Errorf("GET: got status %d, want 405", got)
	}
	select {
	case <-server.Quit():
		t.Error("Quit is closed before any allowed request, want it open")
	default:
	}
	for range 2 {
		if got := call(server, http.MethodPost, "/quitquitquit"); got != http.StatusOK {
			t.Errorf("allowed: got status %d, want 200", got)
		}
	}
	<-server.Quit()
}

// What a web page makes a browser send is refused: under another name than the adapter's,
// and, to change something, from any page but the adapter's own.
func TestWebPagesAreRefused(t *testing.T) {
	t.Parallel()
	metrics := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for _, test := range []struct {
		method, path, host string
		header             http.Header
		want               int
	}{
		{"GET", "/metrics", "127.0.0.1:9090", nil, 200},
		{"GET", "/metrics", "[::1]:9090", nil, 200},
		{"GET", "/metrics", "[::1]", nil, 200},
		{"GET", "/metrics", "10.1.2.3", nil, 200},
		{"GET", "/metrics", "localhost:9090", nil, 200},
		{"GET", "/metrics", "Adapter.internal:9090", nil, 200},
		{"GET", "/metrics", "evil.example:9090", nil, 403},
		{"GET", "/metrics", "127.0.0.1.evil.example", nil, 403},
		{"GET", "/metrics", "", nil, 403},
		{"GET", "/", "127.0.0.1:9090", nil, 200},
		{"GET", "/", "evil.example:9090", nil, 403},
		{"GET", "/events", "evil.example:9090", nil, 403},
		{"GET", "/openapi.json", "127.0.0.1:9090", nil, 200},
		{"GET", "/openapi.json", "evil.example:9090", nil, 403},
		{"GET", "/assets/page.js", "evil.example:9090", nil, 403},
		{"GET", "/other", "127.0.0.1:9090", nil, 404},
		{"GET", "/healthz", "anything", nil, 200},
		{"GET", "/readyz", "anything", nil, 503},
		{"POST", "/quitquitquit", "127.0.0.1:9090", nil, 200},
		{"POST", "/quitquitquit", "evil.example", nil, 403},
		{"POST", "/quitquitquit", "127.0.0.1:9090", http.Header{"Origin": {"http://evil.example"}}, 403},
		{"POST", "/quitquitquit", "127.0.0.1:9090", http.Header{"Origin": {"null"}}, 403},
		{"POST", "/quitquitquit", "127.0.0.1:9090", http.Header{"Origin": {"http://127.0.0.1:9091"}}, 403},
		{"POST", "/quitquitquit", "127.0.0.1:9090", http.Header{"Origin": {"http://127.0.0.1:9090"}}, 200},
		{"POST", "/quitquitquit", "127.0.0.1:9090", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"POST", "/quitquitquit", "127.0.0.1:9090", http.Header{"Sec-Fetch-Site": {"same-site"}}, 403},
		{"POST", "/quitquitquit", "127.0.0.1:9090", http.Header{"Sec-Fetch-Site": {"none"}}, 200},
	} {
		server := admin.New(metrics, http.NotFoundHandler(), metrics, false, fixed(config.Admin{Hosts: []string{"adapter.internal"}, QuitQuitQuit: true}))
		request := on("127.0.0.1:9090", httptest.NewRequest(test.method, test.path, http.NoBody))
		request.Host = test.host
		maps.Copy(request.Header, test.header)
		recorder := httptest.NewRecorder()
		server.ServeHTTP(recorder, request)
		if recorder.Code != test.want {
			t.Errorf("%s %s, Host %q, %v: got %d, want %d", test.method, test.path, test.host, test.header, recorder.Code, test.want)
		}
		select {
		case <-server.Quit():
			if test.want != http.StatusOK {
				t.Errorf("%s, Host %q, %v: the program quits", test.path, test.host, test.header)
			}
		default:
		}
	}
}

// on is a request that came to an address.
func on(address string, request *http.Request) *http.Request {
	at := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))
	return request.WithContext(context.WithValue(request.Context(), http.LocalAddrContextKey, at))
}

// Beyond the machine it takes a token or a client certificate; with a token file it takes the
// token everywhere. Probes take nothing. A token that is renewed counts at once.
func TestOnlyWhoMayAskIsAnswered(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verified := &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{}}}
	basic := func(name, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
	}
	for _, test := range []struct {
		name, path, at, token string // token is in the file; "" is no file
		header                string
		state                 *tls.ConnectionState
		want                  int
	}{
		{"on loopback", "/metrics", "127.0.0.1:9090", "", "", nil, 200},
		{"on loopback, IPv6", "/usage", "[::1]:9090", "", "", nil, 200},
		{"on a mapped loopback", "/metrics", "[::ffff:127.0.0.1]:9090", "", "", nil, 200},
		{"elsewhere", "/metrics", "10.0.0.7:9090", "", "", nil, 403},
		{"elsewhere, usage", "/usage", "10.0.0.7:9090", "", "", nil, 403},
		{"elsewhere, description", "/openapi.json", "10.0.0.7:9090", "", "", nil, 403},
		{"elsewhere, profiles", "/debug/pprof/", "10.0.0.7:9090", "", "", nil, 403},
		{"elsewhere, TLS alone", "/metrics", "10.0.0.7:9090", "", "", &tls.ConnectionState{}, 403},
		{"elsewhere, client certificate", "/metrics", "10.0.0.7:9090", "", "", verified, 200},
		{"elsewhere, a probe", "/healthz", "10.0.0.7:9090", "", "", nil, 200},
		{"elsewhere, token", "/metrics", "10.0.0.7:9090", "s3cret", "Bearer s3cret", nil, 200},
		{"elsewhere, a browser's login", "/usage", "10.0.0.7:9090", "s3cret", basic("anybody", "s3cret"), nil, 200},
		{"elsewhere, a browser's login with another token", "/usage", "10.0.0.7:9090", "s3cret", basic("s3cret", "s3cre"), nil, 401},
		{"through a port-forward, a browser's login", "/usage", "127.0.0.1:9090", "s3cret", basic("", "s3cret"), nil, 200},
		{"elsewhere, the token alone", "/metrics", "10.0.0.7:9090", "s3cret", "s3cret", nil, 401},
		{"elsewhere, another token", "/metrics", "10.0.0.7:9090", "s3cret", "Bearer s3cre", nil, 401},
		{"elsewhere, no token", "/metrics", "10.0.0.7:9090", "s3cret", "", nil, 401},
		{"elsewhere, client certificate beside a token", "/metrics", "10.0.0.7:9090", "s3cret", "", verified, 200},
		{"on loopback, no token", "/metrics", "127.0.0.1:9090", "s3cret", "", nil, 401},
		{"a probe, no token", "/readyz", "127.0.0.1:9090", "s3cret", "", nil, 503},
		{"an empty token", "/metrics", "127.0.0.1:9090", " ", "Bearer ", nil, 503},
	} {
		settings := config.Admin{Pprof: true}
		if test.token != "" {
			settings.TokenFile = file
			write("old")
		}
		fine := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		server := admin.New(fine, fine, fine, false, fixed(settings))
		if test.token != "" {
			write(test.token)
		}
		request := on(test.at, httptest.NewRequest(http.MethodGet, test.path, http.NoBody))
		request.Host, request.TLS = test.at, test.state
		if test.header != "" {
			request.Header.Set("Authorization", test.header)
		}
		recorder := httptest.NewRecorder()
		server.ServeHTTP(recorder, request)
		if asked := recorder.Header().Values("WWW-Authenticate"); (len(asked) > 0) != (test.want == 401) {
			t.Errorf("%s: got WWW-Authenticate: %q", test.name, asked)
		}
		if recorder.Code != test.want || strings.Contains(recorder.Body.String(), "s3cret") {
			t.Errorf("%s: got HTTP %d %s, want %d", test.name, recorder.Code, recorder.Body, test.want)
		}
	}
}

// Go's profiles are there if that is wanted, and the command line, whose flags may hold
// secrets, is not.
func TestProfilesAreThereIfWanted(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]int{"/debug/pprof/": 200, "/debug/pprof/heap": 200, "/debug/pprof/goroutine?debug=1": 200, "/debug/pprof/cmdline": 404} {
		for _, allowed := range []bool{true, false} {
			if !allowed {
				want = 403
			}
			server := admin.New(http.NotFoundHandler(), http.NotFoundHandler(), http.NotFoundHandler(), false, fixed(config.Admin{Pprof: allowed}))
			recorder := httptest.NewRecorder()
			request := on("127.0.0.1:9090", httptest.NewRequest(http.MethodGet, path, http.NoBody))
			request.Host = "localhost"
			server.ServeHTTP(recorder, request)
			if recorder.Code != want {
				t.Errorf("%s, allowed %v: got HTTP %d, want %d", path, allowed, recorder.Code, want)
			}
		}
	}
}

// A demo's admin listener, which may be in a container, answers everybody.
func TestAdminForAll(t *testing.T) {
	t.Parallel()
	fine := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	server := admin.New(fine, fine, fine, true, fixed(config.Admin{}))
	request := on("172.17.0.2:9090", httptest.NewRequest(http.MethodGet, "/usage", http.NoBody))
	request.Host = "localhost:9090"
	recorder := httptest.NewRecorder()
	if server.ServeHTTP(recorder, request); recorder.Code != http.StatusOK {
		t.Errorf("got HTTP %d %s, want 200", recorder.Code, recorder.Body)
	}
}
