package admin_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"zitadel-v1-adapter/internal/admin"
)

// /readyz follows SetReady; /healthz does not.
func TestReadyzFollowsSetReady(t *testing.T) {
	t.Parallel()
	server := admin.New(http.NotFoundHandler(), http.NotFoundHandler(), admin.Settings{})
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

func call(server *admin.Server, method, path string) int {
	recorder := httptest.NewRecorder()
	request := httptest.NewRequest(method, path, http.NoBody)
	request.Host = "127.0.0.1:9090"
	server.ServeHTTP(recorder, request)
	return recorder.Code
}

// /quitquitquit closes Quit only if it is allowed, and only with POST.
func TestQuitNeedsPermissionAndPOST(t *testing.T) {
	t.Parallel()
	server := admin.New(http.NotFoundHandler(), http.NotFoundHandler(), admin.Settings{})
	if got := call(server, http.MethodPost, "/quitquitquit"); got != http.StatusForbidden {
		t.Errorf("not allowed: got status %d, want 403", got)
	}
	server.Set(admin.Settings{MayQuit: true})
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
// and, to change something, from any page.
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
		{"GET", "/healthz", "anything", nil, 200},
		{"GET", "/readyz", "anything", nil, 503},
		{"POST", "/quitquitquit", "127.0.0.1:9090", nil, 200},
		{"POST", "/quitquitquit", "evil.example", nil, 403},
		{"POST", "/quitquitquit", "127.0.0.1:9090", http.Header{"Origin": {"http://evil.example"}}, 403},
		{"POST", "/quitquitquit", "127.0.0.1:9090", http.Header{"Origin": {"null"}}, 403},
		{"POST", "/quitquitquit", "127.0.0.1:9090", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"POST", "/quitquitquit", "127.0.0.1:9090", http.Header{"Sec-Fetch-Site": {"none"}}, 200},
	} {
		server := admin.New(metrics, http.NotFoundHandler(), admin.Settings{Hosts: []string{"adapter.internal"}, MayQuit: true})
		request := httptest.NewRequest(test.method, test.path, http.NoBody)
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
