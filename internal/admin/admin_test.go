package admin_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"zitadel-v1-adapter/internal/admin"
)

// /readyz follows SetReady; /healthz does not.
func TestReadyzFollowsSetReady(t *testing.T) {
	t.Parallel()
	server := admin.New(http.NotFoundHandler())
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
	server.ServeHTTP(recorder, httptest.NewRequest(method, path, http.NoBody))
	return recorder.Code
}

// /quitquitquit closes Quit only if it is allowed, and only with POST.
func TestQuitNeedsPermissionAndPOST(t *testing.T) {
	t.Parallel()
	server := admin.New(http.NotFoundHandler())
	if got := call(server, http.MethodPost, "/quitquitquit"); got != http.StatusForbidden {
		t.Errorf("not allowed: got status %d, want 403", got)
	}
	server.SetMayQuit(true)
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
