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
	registry           *prometheus.Registry
	calls              *prometheus.CounterVec
	callSeconds        *prometheus.HistogramVec
	upstreamSeconds    *prometheus.HistogramVec
	upstreamRetries    *prometheus.CounterVec
	refusals           *prometheus.CounterVec
	passedThrough      *prometheus.CounterVec
	panics             prometheus.Counter
	shadows            *prometheus.CounterVec
	shadowDifferences  *prometheus.CounterVec
	usageUnnamed       prometheus.Counter
	usageFailures      prometheus.Counter
	breakerChanges     *prometheus.CounterVec
	configReloads      *prometheus.CounterVec
	configSuccess      prometheus.Gauge
	configTime         prometheus.Gauge
	certificateReloads *prometheus.CounterVec
	certificateExpiry  *prometheus.GaugeVec
}

// Sources are what gauges show. They are asked at each scrape.
type Sources struct {
	// Breaker is the state of the breaker in force.
	Breaker func() v2client.BreakerState
	// CallsInFlight is the number of translated calls in progress.
	CallsInFlight func() int
	// NextBrownout is when the next brownout begins, or the present one began, and Sunset
	// when v1 ends; zero is never.
	NextBrownout, Sunset func() time.Time
	// Version is the adapter's.
	Version string
}

// Values of the label "certificate".
const (
	// CertificateServer is the certificate of the listener for clients.
	CertificateServer = "server"
	// CertificateAdmin is the certificate of the admin listener.
	CertificateAdmin = "admin"
	// CertificateUpstream is the client certificate for ZITADEL, and its CAs.
	CertificateUpstream = "upstream"
)

// New returns Metrics with all counters at zero, together with the usual metrics of the
// Go runtime and of the process.
func New(from Sources) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	made := promauto.With(m.registry)
	m.calls = made.NewCounterVec(prometheus.CounterOpts{
		Name: "v1adapter_calls_total",
		Help: "Calls of v1 methods by method, protocol, way (v2: translated, v1: native) and gRPC code " +
			"(HTTP status for REST answered by native v1).",
	}, []string{"method", "protocol", "way", "code"})
	m.callSeconds = made.NewHistogramVec(histogram("v1adapter_call_duration_seconds",
		"Time from the headers of a call to the end of its response."), []string{"method", "protocol", "way"})
	m.upstreamSeconds = made.NewHistogramVec(histogram("v1adapter_upstream_duration_seconds",
		"Time of each attempt at a call to ZITADEL on behalf of a translated call, by what was called."), []string{"method"})
	m.upstreamRetries = made.NewCounterVec(prometheus.CounterOpts{
		Name: "v1adapter_upstream_retries_total", Help: "Attempts at calls to ZITADEL that were not the first, by what was called.",
	}, []string{"method"})
	made.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "v1adapter_calls_in_flight", Help: "Translated calls in progress, as limits.callsInFlight counts them.",
	}, func() float64 { return float64(from.CallsInFlight()) })
	m.refusals = made.NewCounterVec(prometheus.CounterOpts{
		Name: "v1adapter_refusals_total",
		Help: "What the adapter itself refused, by reason: calls (breaker, shed, rate, brownout, sunset), requests (framing, headers, loop) and connections (tls, connections, proxy).",
	}, []string{"reason"})
	for _, reason := range []string{
		adapter.RefusedByBreaker, adapter.RefusedByShedding, adapter.RefusedByRate, adapter.RefusedByBrownout, adapter.RefusedBySunset,
	} {
		m.refusals.WithLabelValues(reason)
	}
	for _, reason := range refusals.Reasons() {
		m.refusals.WithLabelValues(string(reason))
	}
	m.passedThrough = made.NewCounterVec(prometheus.CounterOpts{
		Name: "v1adapter_passed_through_total",
		Help: "Requests passed through to ZITADEL by HTTP status; 0 if the client disconnected before the response.",
	}, []string{"status"})
	m.panics = made.NewCounter(prometheus.CounterOpts{
		Name: "v1adapter_panics_total", Help: "Panics while handling requests. Each one is a bug: see the log.",
	})
	m.breakerChanges = made.NewCounterVec(prometheus.CounterOpts{
		Name: "v1adapter_breaker_changes_total", Help: "State changes of the circuit breaker for v1 calls by new state: closed, open or half-open.",
	}, []string{"state"})
	for _, state := range []v2client.BreakerState{v2client.BreakerClosed, v2client.BreakerHalfOpen, v2client.BreakerOpen} {
		m.breakerChanges.WithLabelValues(state.String())
	}
	made.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "v1adapter_breaker_open", Help: "1 while the circuit breaker refuses v1 calls, else 0.",
	}, func() float64 {
		if from.Breaker() == v2client.BreakerOpen {
			return 1
		}
		return 0
	})
	m.registerMigration(made, from)
	m.registerReloads(made)
	made.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "v1adapter_build_info", Help: "1, with the adapter's version and Go's.",
		ConstLabels: prometheus.Labels{"version": from.Version, "goversion": runtime.Version()},
	}, func() float64 { return 1 })
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// registerMigration makes the metrics of the way to v1's end.
func (m *Metrics) registerMigration(made promauto.Factory, from Sources) {
	m.shadows = made.NewCounterVec(prometheus.CounterOpts{
		Name: "v1adapter_shadow_total",
		Help: "Calls of native v1 that the adapter judged too, by method and result: agrees, undecided (only the write can know), differs, dropped.",
	}, []string{"method", "result"})
	m.shadowDifferences = made.NewCounterVec(prometheus.CounterOpts{
		Name: "v1adapter_shadow_differences_total", Help: "Calls of native v1 that the adapter would have answered otherwise, by native v1's error id and the adapter's.",
	}, []string{"method", "native", "verdict"})
	m.usageUnnamed = made.NewCounter(prometheus.CounterOpts{
		Name: "v1adapter_usage_unnamed_calls_total", Help: "Calls whose callers the ledger of usage had no room to tell apart.",
	})
	m.usageFailures = made.NewCounter(prometheus.CounterOpts{
		Name: "v1adapter_usage_write_failures_total", Help: "Times that usage.store took nothing. Calls are kept in memory until it does.",
	})
	for name, each := range map[string]struct {
		help string
		at   func() time.Time
	}{
		"v1adapter_brownout_next_timestamp_seconds": {"Unix time at which the next brownout begins, or the present one began; 0 for none.", from.NextBrownout},
		"v1adapter_sunset_timestamp_seconds":        {"Unix time at which v1 ends (deprecation.sunset); 0 for none.", from.Sunset},
	} {
		made.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: each.help}, func() float64 {
			if at := each.at(); !at.IsZero() {
				return float64(at.Unix())
			}
			return 0
		})
	}
}

// registerReloads makes the metrics of what is loaded again while the adapter runs.
func (m *Metrics) registerReloads(made promauto.Factory) {
	m.configReloads = made.NewCounterVec(prometheus.CounterOpts{
		Name: "v1adapter_config_reloads_total", Help: "Reloads of the configuration by result: ok or error.",
	}, []string{"result"})
	m.configSuccess = made.NewGauge(prometheus.GaugeOpts{
		Name: "v1adapter_config_last_reload_successful", Help: "1 if the last reload of the configuration was accepted, else 0.",
	})
	m.configTime = made.NewGauge(prometheus.GaugeOpts{
		Name: "v1adapter_config_last_reload_success_timestamp_seconds", Help: "Unix time at which the current configuration was accepted.",
	})
	m.certificateReloads = made.NewCounterVec(prometheus.CounterOpts{
		Name: "v1adapter_certificate_reloads_total",
		Help: "Reloads of changed certificate files by certificate (server, admin, upstream) and result (ok, error). " +
			"After an error the old certificate stays in use.",
	}, []string{"certificate", "result"})
	m.certificateExpiry = made.NewGaugeVec(prometheus.GaugeOpts{
		Name: "v1adapter_certificate_expiry_timestamp_seconds", Help: "Unix time at which the current certificate expires.",
	}, []string{"certificate"})
	for _, result := range []string{"ok", "error"} { // at zero, so that the first one is an increase
		m.configReloads.WithLabelValues(result)
		for _, certificate := range []string{CertificateServer, CertificateAdmin, CertificateUpstream} {
			m.certificateReloads.WithLabelValues(certificate, result)
		}
	}
	m.configSuccess.Set(1)
	m.configTime.SetToCurrentTime()
}

// histogram has buckets for scrapers that do not know native histograms, from the half
// millisecond that the adapter itself may take to the default of upstream.timeout.
func histogram(name, help string) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help,
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		// Each bucket of the native histogram is a tenth wider than the one before.
		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}
}

// Handler returns the handler of /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Call counts a v1 call and the calls to ZITADEL that it took, and records how long they
// lasted.
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

// UsageUnnamed counts a call whose caller the ledger had no room for.
func (m *Metrics) UsageUnnamed() { m.usageUnnamed.Inc() }

// UsageFailed counts a time that usage.store took nothing.
func (m *Metrics) UsageFailed() { m.usageFailures.Inc() }

// Panicked counts a panic while handling a request.
func (m *Metrics) Panicked() { m.panics.Inc() }

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

// CertificateReloaded records a reload of certificate files; certificate is one of the
// constants above, err is nil if the files were accepted.
func (m *Metrics) CertificateReloaded(certificate string, err error) {
	m.certificateReloads.WithLabelValues(certificate, result(err)).Inc()
}

// CertificateExpires records when the current certificate expires; certificate is one of
// the constants above.
func (m *Metrics) CertificateExpires(certificate string, at time.Time) {
	m.certificateExpiry.WithLabelValues(certificate).Set(float64(at.Unix()))
}

func result(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}
