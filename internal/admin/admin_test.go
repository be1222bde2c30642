package admin_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"zitadel-v1-adapter/internal/admin"
)

func TestProbes(t *testing.T) {
	t.Parallel()
	server := admin.New(http.NotFoundHandler())
	status := func(path string) int { return call(server, http.MethodGet, path) }
	if got := status("/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz before SetReady: %d", got)
	}
	server.SetReady(true)
	if got := status("/readyz"); got != http.StatusOK {
		t.Errorf("/readyz: %d", got)
	}
	server.SetReady(false)
	if got := status("/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz after SetReady(false): %d", got)
	}
	if got := status("/healthz"); got != http.StatusOK {
		t.Errorf("/healthz: %d", got)
	}
}

func call(server *admin.Server, method, path string) int {
	recorder := httptest.NewRecorder()
	server.ServeHTTP(recorder, httptest.NewRequest(method, path, http.NoBody))
	return recorder.Code
}

// Only where it is allowed, and only by POST, ends a request the program.
func TestQuit(t *testing.T) {
	t.Parallel()
	server := admin.New(http.NotFoundHandler())
	if got := call(server, http.MethodPost, "/quitquitquit"); got != http.StatusForbidden {
		t.Errorf("not allowed: %d", got)
	}
	server.SetMayQuit(true)
	if got := call(server, http.MethodGet, "/quitquitquit"); got != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", got)
	}
	select {
	case <-server.Quit():
		t.Error("quits without having been asked")
	default:
	}
	for range 2 {
		if got := call(server, http.MethodPost, "/quitquitquit"); got != http.StatusOK {
			t.Errorf("allowed: %d", got)
		}
	}
	<-server.Quit()
}
