// Package metrics exports Prometheus metrics about a running adapter.
package metrics

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/v2client"
)

// Metrics holds the metrics of one running adapter. It is safe for concurrent use. No
// label contains text chosen by a client, so clients cannot increase the number of time
// series.
type Metrics struct {
	registry           *prometheus.Registry
	calls              *prometheus.CounterVec
	callSeconds        *prometheus.HistogramVec
	passedThrough      *prometheus.CounterVec
	panics             prometheus.Counter
	refusedConnections prometheus.Counter
	breakerChanges     *prometheus.CounterVec
	breakerOpen        prometheus.Gauge
	configReloads      *prometheus.CounterVec
	configSuccess      prometheus.Gauge
	configTime         prometheus.Gauge
	certificateReloads *prometheus.CounterVec
	certificateExpiry  *prometheus.GaugeVec
}

// Values of the label "certificate".
const (
	// CertificateServer is the certificate of the listener for clients.
	CertificateServer = "server"
	// CertificateUpstream is the client certificate for ZITADEL, and its CAs.
	CertificateUpstream = "upstream"
)

// New returns Metrics with all counters at zero, together with the usual metrics of the
// Go runtime and of the process.
func New() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "v1adapter_calls_total",
			Help: "Calls of v1 methods by method, protocol, way (v2: translated, v1: native) and gRPC code " +
				"(HTTP status for REST answered by native v1).",
		}, []string{"method", "protocol", "way", "code"}),
		callSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "v1adapter_call_duration_seconds",
			Help:    "Time from the headers of a call to the end of its response.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"method", "way"}),
		passedThrough: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "v1adapter_passed_through_total",
			Help: "Requests passed through to ZITADEL by HTTP status; 0 if the client disconnected before the response.",
		}, []string{"status"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "v1adapter_panics_total", Help: "Panics while handling requests. Each one is a bug: see the log.",
		}),
		refusedConnections: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "v1adapter_connections_refused_total", Help: "Connections closed because their peer already had limits.connectionsPerPeer connections.",
		}),
		breakerChanges: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "v1adapter_breaker_changes_total", Help: "State changes of the circuit breaker for v1 calls by new state: closed, open or half-open.",
		}, []string{"state"}),
		breakerOpen: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "v1adapter_breaker_open", Help: "1 while the circuit breaker rejects v1 calls (open, or half-open except for probes), else 0.",
		}),
		configReloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "v1adapter_config_reloads_total", Help: "Reloads of the configuration by result: ok or error.",
		}, []string{"result"}),
		configSuccess: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "v1adapter_config_last_reload_successful", Help: "1 if the last reload of the configuration was accepted, else 0.",
		}),
		configTime: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "v1adapter_config_last_reload_success_timestamp_seconds", Help: "Unix time at which the current configuration was accepted.",
		}),
		certificateReloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "v1adapter_certificate_reloads_total",
			Help: "Reloads of changed certificate files by certificate (server, upstream) and result (ok, error). " +
				"After an error the old certificate stays in use.",
		}, []string{"certificate", "result"}),
		certificateExpiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "v1adapter_certificate_expiry_timestamp_seconds", Help: "Unix time at which the current certificate expires.",
		}, []string{"certificate"}),
	}
	m.registry.MustRegister(m.calls, m.callSeconds, m.passedThrough, m.panics, m.refusedConnections,
		m.breakerChanges, m.breakerOpen,
		m.configReloads, m.configSuccess, m.configTime, m.certificateReloads, m.certificateExpiry,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.configSuccess.Set(1)
	m.configTime.SetToCurrentTime()
	return m
}

// Handler returns the handler of /metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Call counts a v1 call and records its duration.
func (m *Metrics) Call(call adapter.Event) {
	m.calls.WithLabelValues(call.Method, call.Protocol, call.Route, call.Code).Inc()
	m.callSeconds.WithLabelValues(call.Method, call.Route).Observe(call.Duration.Seconds())
}

// PassedThrough counts a request passed through to ZITADEL. httpStatus is 0 if the client
// disconnected before the response.
func (m *Metrics) PassedThrough(httpStatus int) {
	m.passedThrough.WithLabelValues(strconv.Itoa(httpStatus)).Inc()
}

// Panicked counts a panic while handling a request.
func (m *Metrics) Panicked() { m.panics.Inc() }

// ConnectionRefused counts a connection closed because of its peer's limit.
func (m *Metrics) ConnectionRefused() { m.refusedConnections.Inc() }

// BreakerChanged records a new state of the circuit breaker.
func (m *Metrics) BreakerChanged(state v2client.BreakerState) {
	m.breakerChanges.WithLabelValues(state.String()).Inc()
	if state == v2client.BreakerClosed {
		m.breakerOpen.Set(0)
		return
	}
	m.breakerOpen.Set(1)
}

// BreakerReplaced records that a reload has made a new circuit breaker, which is closed.
func (m *Metrics) BreakerReplaced() { m.breakerOpen.Set(0) }

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
