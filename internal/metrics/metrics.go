// Package metrics counts, for Prometheus.
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

// Metrics are the metrics of one running adapter. They are safe for concurrent
// use. No label holds what a stranger may choose: none can make them grow.
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

// The certificates that may be reloaded.
const (
	CertificateServer   = "server"
	CertificateUpstream = "upstream"
)

// New makes Metrics at zero, with those of the Go runtime and the process
// beside them.
func New() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "v1adapter_calls_total",
			Help: "Calls of v1 methods by method, protocol, way (v2: translated, v1: native) and gRPC code (HTTP status for REST answered by native v1).",
		}, []string{"method", "protocol", "way", "code"}),
		callSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "v1adapter_call_duration_seconds",
			Help:    "Time from a call's headers to the end of its answer.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"method", "way"}),
		passedThrough: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "v1adapter_passed_through_total",
			Help: "Requests passed through to ZITADEL by HTTP status, 0 if the client went away before there was one.",
		}, []string{"status"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "v1adapter_panics_total", Help: "Panics in requests, each of which is a defect: see the log.",
		}),
		refusedConnections: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "v1adapter_connections_refused_total", Help: "Connections closed at once because their peer had limits.connectionsPerPeer already.",
		}),
		breakerChanges: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "v1adapter_breaker_changes_total", Help: "Changes of the breaker of v1 calls by its new state: closed, open or half-open.",
		}, []string{"state"}),
		breakerOpen: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "v1adapter_breaker_open", Help: "1 while the breaker refuses v1 calls, but for probes, else 0.",
		}),
		configReloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "v1adapter_config_reloads_total", Help: "Reloads of the configuration by result: ok or error.",
		}, []string{"result"}),
		configSuccess: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "v1adapter_config_last_reload_successful", Help: "1 if the last reload of the configuration was accepted, else 0.",
		}),
		configTime: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "v1adapter_config_last_reload_success_timestamp_seconds", Help: "When the configuration in use was accepted.",
		}),
		certificateReloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "v1adapter_certificate_reloads_total", Help: "Reloads of renewed certificate files by certificate (server, upstream) and result: ok or error, in which case the old one stays in use.",
		}, []string{"certificate", "result"}),
		certificateExpiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "v1adapter_certificate_expiry_timestamp_seconds", Help: "When the certificate in use expires.",
		}, []string{"certificate"}),
	}
	m.registry.MustRegister(m.calls, m.callSeconds, m.passedThrough, m.panics, m.refusedConnections, m.breakerChanges, m.breakerOpen, m.configReloads, m.configSuccess, m.configTime,
		m.certificateReloads, m.certificateExpiry,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.configSuccess.Set(1)
	m.configTime.SetToCurrentTime()
	return m
}

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Call counts a v1 call.
func (m *Metrics) Call(call adapter.Event) {
	m.calls.WithLabelValues(call.Method, call.Protocol, call.Route, call.Code).Inc()
	m.callSeconds.WithLabelValues(call.Method, call.Route).Observe(call.Duration.Seconds())
}

// PassedThrough counts a request that passed through.
func (m *Metrics) PassedThrough(httpStatus int) {
	m.passedThrough.WithLabelValues(strconv.Itoa(httpStatus)).Inc()
}

// Panicked counts a panic in a request.
func (m *Metrics) Panicked() { m.panics.Inc() }

// ConnectionRefused counts a connection over its peer's limit.
func (m *Metrics) ConnectionRefused() { m.refusedConnections.Inc() }

// BreakerChanged notes the breaker's new state.
func (m *Metrics) BreakerChanged(state v2client.BreakerState) {
	m.breakerChanges.WithLabelValues(state.String()).Inc()
	if state == v2client.BreakerClosed {
		m.breakerOpen.Set(0)
		return
	}
	m.breakerOpen.Set(1)
}

// BreakerReplaced notes that there is a new breaker, which is closed.
func (m *Metrics) BreakerReplaced() { m.breakerOpen.Set(0) }

// ConfigReloaded notes a reload of the configuration; err is nil if it was
// accepted.
func (m *Metrics) ConfigReloaded(err error) {
	m.configReloads.WithLabelValues(result(err)).Inc()
	if err != nil {
		m.configSuccess.Set(0)
		return
	}
	m.configSuccess.Set(1)
	m.configTime.SetToCurrentTime()
}

// CertificateReloaded notes a reload of renewed certificate files; err is nil if
// they were accepted.
func (m *Metrics) CertificateReloaded(certificate string, err error) {
	m.certificateReloads.WithLabelValues(certificate, result(err)).Inc()
}

// CertificateExpires notes when the certificate in use does.
func (m *Metrics) CertificateExpires(certificate string, at time.Time) {
	m.certificateExpiry.WithLabelValues(certificate).Set(float64(at.Unix()))
}

func result(err error) string {
	if err != nil {
		return "error"
	}
	return "ok"
}
