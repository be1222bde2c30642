// Package metrics exports Prometheus metrics about a running adapter.
package metrics

import (
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/refusals"
	"zitadel-v1-adapter/v2client"
)

// Metrics holds the metrics of one running adapter. It is safe for concurrent use. No
// label contains text chosen by a client, so clients cannot increase the number of time
// series.
type Metrics struct {
	Panics        prometheus.Counter // while handling requests
	UsageUnnamed  prometheus.Counter // calls whose callers the ledger had no room for
	UsageFailures prometheus.Counter // times that usage.store took nothing

	registry *prometheus.Registry

	calls, upstreamRetries, refusals, passedThrough *prometheus.CounterVec
	deprecatedCalls                                 *prometheus.CounterVec
	shadows, shadowDifferences, breakerChanges      *prometheus.CounterVec
	configReloads, certificateReloads               *prometheus.CounterVec
	callSeconds, upstreamSeconds                    *prometheus.HistogramVec
	configSuccess, configTime                       prometheus.Gauge
	certificateExpiry                               *prometheus.GaugeVec
}

// Sources are what gauges show. They are asked at each scrape.
type Sources struct {
	Breaker       func() v2client.BreakerState // of the core in force
	CallsInFlight func() int                   // translated ones
	NextBrownout  func() time.Time             // when the next one begins, or the present one began; zero: never
	Sunset        func() time.Time             // when v1 ends; zero: never
	Version       string                       // the adapter's
}

// Values of the label "certificate".
const (
	CertificateServer   = "server"   // of the listener for clients
	CertificateAdmin    = "admin"    // of the admin listener
	CertificateUpstream = "upstream" // the client certificate for ZITADEL, and its CAs
)

// New returns Metrics with all counters at zero, together with the usual metrics of the
// Go runtime and of the process.
func New(from Sources) *Metrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m := &Metrics{registry: registry}
	made := maker{promauto.With(registry)}
	m.calls = made.counters("v1adapter_calls_total",
		"Calls of v1 methods by method, protocol, way (v2: translated, v1: native) and gRPC code (HTTP status for REST answered by native v1).",
		"method", "protocol", "way", "code")
	m.callSeconds = made.histograms("v1adapter_call_duration_seconds",
		"Time from the headers of a call to the end of its response.", "method", "protocol", "way")
	m.upstreamSeconds = made.histograms("v1adapter_upstream_duration_seconds",
		"Time of each attempt at a call to ZITADEL on behalf of a translated call, by what was called.", "method")
	m.upstreamRetries = made.counters("v1adapter_upstream_retries_total",
		"Attempts at calls to ZITADEL that were not the first, by what was called.", "method")
	m.refusals = made.counters("v1adapter_refusals_total",
		"What the adapter itself refused, by reason: calls (breaker, shed, rate, brownout, sunset), requests (framing, headers, loop) and connections (tls, connections, proxy).",
		"reason")
	m.passedThrough = made.counters("v1adapter_passed_through_total",
		"Requests passed through to ZITADEL by HTTP status; 0 if the client disconnected before the response.", "status")
	m.deprecatedCalls = made.counters("v1adapter_deprecated_calls_total",
		"Calls of ZITADEL's deprecated APIs, translated or passed through, by API, method and outcome: ok, refused, failed, brownout, sunset.",
		"api", "method", "outcome")
	m.Panics = made.counters("v1adapter_panics_total",
		"Panics while handling requests. Each one is a bug: see the log.").WithLabelValues()
	m.shadows = made.counters("v1adapter_shadow_total",
		"Calls of native v1 that the adapter judged too, by method and result: agrees, undecided (only the write can know), differs, dropped.",
		"method", "result")
	m.shadowDifferences = made.counters("v1adapter_shadow_differences_total",
		"Calls of native v1 that the adapter would have answered otherwise, by native v1's error id and the adapter's.",
		"method", "native", "verdict")
	m.UsageUnnamed = made.counters("v1adapter_usage_unnamed_calls_total",
		"Calls whose callers the ledger of usage had no room to tell apart.").WithLabelValues()
	m.UsageFailures = made.counters("v1adapter_usage_write_failures_total",
		"Times that usage.store took nothing. Calls are kept in memory until it does.").WithLabelValues()
	m.breakerChanges = made.counters("v1adapter_breaker_changes_total",
		"State changes of the circuit breaker for v1 calls by new state: closed, open or half-open.", "state")
	m.configReloads = made.counters("v1adapter_config_reloads_total",
		"Reloads of the configuration by result: ok or error.", "result")
	m.configSuccess = made.NewGauge(prometheus.GaugeOpts{
		Name: "v1adapter_config_last_reload_successful", Help: "1 if the last reload of the configuration was accepted, else 0.",
	})
	m.configTime = made.NewGauge(prometheus.GaugeOpts{
		Name: "v1adapter_config_last_reload_success_timestamp_seconds", Help: "Unix time at which the current configuration was accepted.",
	})
	m.certificateReloads = made.counters("v1adapter_certificate_reloads_total",
		"Reloads of changed certificate files by certificate (server, admin, upstream) and result (ok, error). After an error the old certificate stays in use.",
		"certificate", "result")
	m.certificateExpiry = made.NewGaugeVec(prometheus.GaugeOpts{
		Name: "v1adapter_certificate_expiry_timestamp_seconds", Help: "Unix time at which the current certificate expires.",
	}, []string{"certificate"})
	made.show(from)
	m.begin()
	return m
}

// maker makes metrics, and registers them.
type maker struct{ promauto.Factory }

func (m maker) counters(name, help string, labels ...string) *prometheus.CounterVec {
	return m.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

// histograms have buckets for scrapers that do not know native histograms, from the half
// millisecond that the adapter itself may take to the default of upstream.timeout.
func (m maker) histograms(name, help string, labels ...string) *prometheus.HistogramVec {
	return m.NewHistogramVec(prometheus.HistogramOpts{
		Name: name, Help: help,
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		// Each bucket of the native histogram is a tenth wider than the one before.
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}, labels)
}

// show makes the gauges that ask the sources.
func (m maker) show(from Sources) {
	isOpen := map[v2client.BreakerState]float64{v2client.BreakerOpen: 1}
	unix := func(at time.Time) float64 { return float64(max(at.Unix(), 0)) } // zero is in year 1
	made := func(name, help string, value func() float64) {
		m.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	made("v1adapter_calls_in_flight", "Translated calls in progress, as limits.callsInFlight counts them.",
		func() float64 { return float64(from.CallsInFlight()) })
	made("v1adapter_breaker_open", "1 while the circuit breaker refuses v1 calls, else 0.",
		func() float64 { return isOpen[from.Breaker()] })
	made("v1adapter_brownout_next_timestamp_seconds",
		"Unix time at which the next brownout begins, or the present one began; 0 for none.",
		func() float64 { return unix(from.NextBrownout()) })
	made("v1adapter_sunset_timestamp_seconds", "Unix time at which v1 ends (deprecation.sunset); 0 for none.",
		func() float64 { return unix(from.Sunset()) })
	m.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "v1adapter_build_info", Help: "1, with the adapter's version and Go's.",
		ConstLabels: prometheus.Labels{"version": from.Version, "goversion": runtime.Version()},
	}, func() float64 { return 1 })
}

// begin gives counters a zero for each value that is known, so that the first event is an
// increase, and says that the configuration has just been accepted.
func (m *Metrics) begin() {
	for _, reason := range []string{
		adapter.RefusedByBreaker, adapter.RefusedByShedding, adapter.RefusedByRate, adapter.RefusedByBrownout, adapter.RefusedBySunset,
	} {
		m.refusals.WithLabelValues(reason)
	}
	for _, reason := range refusals.Reasons() {
		m.refusals.WithLabelValues(string(reason))
	}
	for _, state := range []v2client.BreakerState{v2client.BreakerClosed, v2client.BreakerHalfOpen, v2client.BreakerOpen} {
		m.breakerChanges.WithLabelValues(state.String())
	}
	for _, result := range []string{"ok", "error"} {
		m.configReloads.WithLabelValues(result)
		for _, certificate := range []string{CertificateServer, CertificateAdmin, CertificateUpstream} {
			m.certificateReloads.WithLabelValues(certificate, result)
		}
	}
	m.configSuccess.Set(1)
	m.configTime.SetToCurrentTime()
}

// Handler returns the handler of /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Call counts a v1 call and the calls to ZITADEL that it took, and how long they lasted.
func (m *Metrics) Call(call adapter.Event) {
	m.calls.WithLabelValues(call.Method, call.Protocol, call.Route, call.Code).Inc()
	m.callSeconds.WithLabelValues(call.Method, call.Protocol, call.Route).Observe(call.Duration.Seconds())
	if call.RefusedBy != "" {
		m.refusals.WithLabelValues(call.RefusedBy).Inc()
	}
	for _, attempt := range call.Upstream {
		m.upstreamSeconds.WithLabelValues(attempt.Method).Observe(attempt.Duration.Seconds())
		if attempt.Retry {
			m.upstreamRetries.WithLabelValues(attempt.Method).Inc()
		}
	}
}

// Counted counts a call of a deprecated API. The catalogue bounds the methods.
func (m *Metrics) Counted(call adapter.Event) {
	m.deprecatedCalls.WithLabelValues(call.API, call.Method, call.Outcome()).Inc()
}

// PassedThrough counts a request passed through to ZITADEL. httpStatus is 0 if the client
// disconnected before the response.
func (m *Metrics) PassedThrough(httpStatus int) {
	m.passedThrough.WithLabelValues(strconv.Itoa(httpStatus)).Inc()
}

// Shadowed counts a comparison with native v1. The ids in it are ZITADEL's.
func (m *Metrics) Shadowed(shadow adapter.Shadow) {
	m.shadows.WithLabelValues(shadow.Method, shadow.Result).Inc()
	if shadow.Result == adapter.ShadowDiffers {
		m.shadowDifferences.WithLabelValues(shadow.Method, shadow.Native, shadow.Verdict).Inc()
	}
}

// Refused counts what was refused before it was a call. Call counts calls.
func (m *Metrics) Refused(reason refusals.Reason) { m.refusals.WithLabelValues(string(reason)).Inc() }

// BreakerChanged counts a change of the breaker's state.
func (m *Metrics) BreakerChanged(state v2client.BreakerState) {
	m.breakerChanges.WithLabelValues(state.String()).Inc()
}

// ConfigReloaded records a reload of the configuration; err is nil if it was accepted.
func (m *Metrics) ConfigReloaded(err error) {
	m.configReloads.WithLabelValues(result(err)).Inc()
	if err != nil {
		m.configSuccess.Set(0)
		return
	}
	m.configSuccess.Set(1)
	m.configTime.SetToCurrentTime()
}

// CertificateReloaded records a reload of certificate files; err is nil if they were accepted.
func (m *Metrics) CertificateReloaded(certificate string, err error) {
	m.certificateReloads.WithLabelValues(certificate, result(err)).Inc()
}

// CertificateExpires records when the current certificate expires.
func (m *Metrics) CertificateExpires(certificate string, at time.Time) {
	m.certificateExpiry.WithLabelValues(certificate).Set(float64(at.Unix()))
}

func result(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}
