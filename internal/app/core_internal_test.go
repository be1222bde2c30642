package app

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/v2client"
)

// Calls that fail late, in a core that a reload has replaced, do not change what the
// metrics say of the breaker: it is another one (issue 12).
func TestMetricsBelongToTheCoreInForce(t *testing.T) {
	t.Parallel()
	settings := config.Default()
	settings.Upstream.URL, settings.Breaker.MinimumCalls, settings.Retry.Attempts = "http://127.0.0.1:1", 1, 1
	settings.Breaker.OpenFor = time.Hour
	a, err := newApp(Config{Settings: settings, Stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	first, err := a.newCore(settings)
	if err != nil {
		t.Fatal(err)
	}
	a.core.Store(first)
	if err := a.replaceCore(settings); err != nil {
		t.Fatal(err)
	}
	fails := func(c *core) string {
		t.Helper()
		_, err := c.client.SetPassword(t.Context(), v2client.NewCaller("localhost", nil), "1", "x", true)
		if err == nil || c.client.BreakerState() != v2client.BreakerOpen {
			t.Fatalf("got error %v and breaker %v, want an error and open", err, c.client.BreakerState())
		}
		recorder := httptest.NewRecorder()
		a.metrics.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
		return recorder.Body.String()
	}
	if got := fails(first); !strings.Contains(got, "v1adapter_breaker_open 0\n") || !strings.Contains(got, `v1adapter_breaker_changes_total{state="open"} 0`) {
		t.Errorf("the replaced core failed: got %s\nwant a closed breaker without changes", got)
	}
	if got := fails(a.core.Load()); !strings.Contains(got, "v1adapter_breaker_open 1\n") || !strings.Contains(got, `v1adapter_breaker_changes_total{state="open"} 1`) {
		t.Errorf("the core in force failed: got %s\nwant an open breaker and its change", got)
	}
}
