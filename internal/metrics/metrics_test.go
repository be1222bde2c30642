package metrics_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/metrics"
	"zitadel-v1-adapter/internal/refusals"
	"zitadel-v1-adapter/v2client"
)

func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	recorder := httptest.NewRecorder()
	m.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	return recorder.Body.String()
}

func newMetrics() *metrics.Metrics {
	return metrics.New(metrics.Sources{
		Breaker:       func() v2client.BreakerState { return v2client.BreakerOpen },
		CallsInFlight: func() int { return 3 },
		NextBrownout:  func() time.Time { return time.Unix(1_800_000_000, 0) },
		Sunset:        func() time.Time { return time.Time{} },
		Version:       "v1.2.3",
	})
}

// What comes is a time, or 0.
func TestMetricsShowWhatComes(t *testing.T) {
	t.Parallel()
	got := scrape(t, newMetrics())
	for _, want := range []string{"v1adapter_brownout_next_timestamp_seconds 1.8e+09\n", "v1adapter_sunset_timestamp_seconds 0\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
}

// A call counts with the calls to ZITADEL that it took; gauges show their sources.
func TestMetricsShowCalls(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	m.Call(adapter.Event{
		Method: "SetHumanPassword", Protocol: "grpc", Route: adapter.RouteTranslated, Code: "ok", Duration: 700 * time.Microsecond,
		Upstream: []v2client.Attempt{{Method: "GetUserByID", Duration: time.Second}, {Method: "GetUserByID", Duration: time.Second, Retry: true}},
	})
	m.Call(adapter.Event{Method: "SetHumanPassword", Protocol: "rest", Route: adapter.RouteTranslated, Code: "unavailable", RefusedBy: adapter.RefusedByShedding})
	m.Refused(refusals.TLS)
	got := scrape(t, m)
	for _, want := range []string{
		`v1adapter_calls_total{code="ok",method="SetHumanPassword",protocol="grpc",way="v2"} 1`,
		`v1adapter_call_duration_seconds_bucket{method="SetHumanPassword",protocol="grpc",way="v2",le="0.0005"} 0`,
		`v1adapter_call_duration_seconds_bucket{method="SetHumanPassword",protocol="grpc",way="v2",le="0.001"} 1`,
		`v1adapter_upstream_duration_seconds_count{method="GetUserByID"} 2`,
		`v1adapter_upstream_retries_total{method="GetUserByID"} 1`,
		`v1adapter_refusals_total{reason="shed"} 1`, `v1adapter_refusals_total{reason="tls"} 1`, `v1adapter_refusals_total{reason="loop"} 0`,
		"v1adapter_breaker_open 1", "v1adapter_calls_in_flight 3", `version="v1.2.3"} 1`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("got no line %q in\n%s", want, got)
		}
	}
}

// "promtool check metrics" has nothing to say; this is its own linter.
func TestMetricsAreClean(t *testing.T) {
	t.Parallel()
	m := newMetrics()
	m.Call(adapter.Event{Upstream: []v2client.Attempt{{Method: "GetUserByID", Retry: true}}})
	m.PassedThrough(200)
	m.BreakerChanged(v2client.BreakerOpen)
	m.ConfigReloaded(nil)
	m.CertificateReloaded(metrics.CertificateServer, nil)
	m.CertificateExpires(metrics.CertificateServer, time.Now())
	problems, err := promlint.New(strings.NewReader(scrape(t, m))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		if strings.HasPrefix(problem.Metric, "v1adapter_") {
			t.Errorf("%s: %s", problem.Metric, problem.Text)
		}
	}
}
