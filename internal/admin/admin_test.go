package admin_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"zitadel-v1-adapter/internal/admin"
)

func TestProbes(t *testing.T) {
	t.Parallel()
	server := admin.New()
	status := func(path string) int {
		recorder := httptest.NewRecorder()
		server.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		return recorder.Code
	}
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
