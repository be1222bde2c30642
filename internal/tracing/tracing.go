// Package tracing makes OpenTelemetry spans of requests, in and out. It knows the trace API
// alone. What is done for a request finds the span, and who takes spans, in its context:
// without [Handler] there are none, and headers stay as they are.
//
// Spans hold more than may leave the program: see [Filter].
package tracing

import (
	"context"
	"net/http"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"zitadel-v1-adapter/internal/redact"
)

// Handler makes a span of each request to next, as part of the client's trace if its header
// names one. The adapter's own gRPC services are not traced: probes call them.
func Handler(next http.Handler, provider trace.TracerProvider) http.Handler {
	isTraced := func(r *http.Request) bool { return !strings.HasPrefix(r.URL.Path, "/grpc.") }
	return otelhttp.NewHandler(next, "", otelhttp.WithTracerProvider(provider), otelhttp.WithMeterProvider(noop.MeterProvider{}),
		otelhttp.WithPropagators(propagator{}), otelhttp.WithFilter(isTraced))
}

// NewTransport makes a span of each request that base sends for one that is traced.
func NewTransport(base http.RoundTripper) http.RoundTripper {
	return otelhttp.NewTransport(base, otelhttp.WithMeterProvider(noop.MeterProvider{}), otelhttp.WithPropagators(propagator{}),
		otelhttp.WithFilter(func(r *http.Request) bool { return IsTraced(r.Context()) }),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return spanName(r.Method) }))
}

// spanName is as otelhttp's for servers: a client may send any text as its method.
func spanName(method string) string {
	if known := redact.Method(method); known != redact.OtherMethod {
		return known
	}
	return "HTTP"
}

// Start begins the span of a call to ZITADEL, with this header, in the trace of a context; if
// there is none, the span takes everything, and keeps nothing.
func Start(ctx context.Context, name string, header http.Header) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !IsTraced(ctx) {
		return ctx, parent
	}
	ctx, span := parent.TracerProvider().Tracer("zitadel-v1-adapter").Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient)) //nolint:spancheck // the caller ends it
	propagator{}.Inject(ctx, propagation.HeaderCarrier(header))
	return ctx, span //nolint:spancheck // same
}

// IsTraced reports whether what is done in a context belongs to a trace.
func IsTraced(ctx context.Context) bool { return trace.SpanContextFromContext(ctx).IsValid() }

// ID is the id of a request's trace: its span's, or without one that of its traceparent header; "" is
// none.
func ID(r *http.Request) string {
	ctx := r.Context()
	if !IsTraced(ctx) && r.Header["Traceparent"] != nil {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
	}
	if !IsTraced(ctx) {
		return ""
	}
	return trace.SpanContextFromContext(ctx).TraceID().String()
}

// Fail notes that a span is an error, and why: by a code's name or an HTTP status.
func Fail(span trace.Span, kind string) {
	span.SetAttributes(semconv.ErrorTypeKey.String(kind))
	span.SetStatus(codes.Error, "")
}

// propagator is how traces go on from one program to the next. Baggage is not its concern:
// that header goes to ZITADEL as the client sent it.
type propagator struct{ propagation.TraceContext }

// Inject puts the span in place of what the client sent, whose Tracestate may belong to no trace.
func (p propagator) Inject(ctx context.Context, carrier propagation.TextMapCarrier) {
	if header, ok := carrier.(propagation.HeaderCarrier); ok {
		delete(header, "Tracestate")
	}
	p.TraceContext.Inject(ctx, carrier)
}
