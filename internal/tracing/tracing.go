// Package tracing makes OpenTelemetry spans of calls and requests. It knows the trace API
// alone; internal/telemetry exports what it makes.
//
// A Span takes numbers, and names that this program or ZITADEL's API has: there is no way
// to put a user id, an organization, a token, a password, a message or a header into one.
package tracing

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// The version of OpenTelemetry's semantic conventions that attributes follow. HTTP's are
// stable since v1.23; v1.38 is the last with RPC's attributes in the names that most
// backends know.
const schemaURL = "https://opentelemetry.io/schemas/1.38.0"

// Tracer begins spans. It is safe for concurrent use. A nil *Tracer begins none, and costs
// nothing.
type Tracer struct{ tracer trace.Tracer }

// New makes a Tracer whose spans go to provider.
func New(provider trace.TracerProvider) *Tracer {
	return &Tracer{provider.Tracer("zitadel-v1-adapter", trace.WithSchemaURL(schemaURL))}
}

// w3c is how traces go on from one program to the next. Baggage is not its concern: that
// header goes to ZITADEL as the client sent it.
var w3c propagation.TraceContext

// Serve begins the span of a request that came in at a time, as part of the client's trace
// if its header names one. The context is for what is done to answer it.
func (t *Tracer) Serve(ctx context.Context, header http.Header, name string, came time.Time) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	ctx = w3c.Extract(ctx, propagation.HeaderCarrier(header))
	return t.start(ctx, name, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(came))
}

// Call begins the span of a request to ZITADEL at a URL. The context is for that request.
func (t *Tracer) Call(ctx context.Context, name string, to *url.URL) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	ctx, span := t.start(ctx, name, trace.WithSpanKind(trace.SpanKindClient))
	span.span.SetAttributes(serverAddress.String(to.Hostname()))
	if port, err := strconv.Atoi(to.Port()); err == nil {
		span.span.SetAttributes(serverPort.Int(port))
	}
	return ctx, span
}

func (t *Tracer) start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, *Span) {
	ctx, span := t.tracer.Start(ctx, name, options...) //nolint:spancheck // Span.End ends it
	return ctx, &Span{span: span}                      //nolint:spancheck // same
}

// IsServed reports whether Serve has made a context.
func IsServed(ctx context.Context) bool {
	made := trace.SpanContextFromContext(ctx)
	return made.IsValid() && !made.IsRemote()
}

// Attributes.
const (
	httpMethod    attribute.Key = "http.request.method"
	httpResends   attribute.Key = "http.request.resend_count"
	httpStatus    attribute.Key = "http.response.status_code"
	httpRoute     attribute.Key = "http.route"
	serverAddress attribute.Key = "server.address"
	serverPort    attribute.Key = "server.port"
	rpcSystem     attribute.Key = "rpc.system"
	rpcService    attribute.Key = "rpc.service"
	rpcMethod     attribute.Key = "rpc.method"
	grpcCode      attribute.Key = "rpc.grpc.status_code"
	connectCode   attribute.Key = "rpc.connect_rpc.error_code"
	errorType     attribute.Key = "error.type"
	errorID       attribute.Key = "zitadel.error_id"
	protocol      attribute.Key = "v1adapter.protocol"
	way           attribute.Key = "v1adapter.way"
	code          attribute.Key = "v1adapter.code"
	refusedBy     attribute.Key = "v1adapter.refused_by"
)
