package adapter

import (
	"context"
	"net/http"
	"regexp"
	"strings"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/tracing"
)

// beginTrace makes the request's span, if there are traces, the call's. Its name is the method's,
// in all protocols, as in the log and in metrics: so one search finds all protocols. The route is
// an attribute.
func (c *call) beginTrace(ctx context.Context) {
	if !tracing.IsTraced(ctx) {
		return
	}
	span := trace.SpanFromContext(ctx)
	c.event.TraceID = span.SpanContext().TraceID().String()
	span.SetName(c.event.Method)
	if c.event.Protocol == protocolREST {
		span.SetAttributes(semconv.HTTPRoute(c.method.route()))
	} else { // gRPC-Web too
		span.SetAttributes(semconv.RPCSystemNameGRPC, semconv.RPCMethod(c.method.Procedure[1:]))
	}
}

// parameter is one of Echo's patterns.
var parameter = regexp.MustCompile(`:(\w+)`)

// route is the method's path over REST as OpenTelemetry and OpenAPI write patterns.
func (m *Method) route() string { return parameter.ReplaceAllString(m.Pattern, "{$1}") }

// endTrace tells the span what became of a call that was answered with this HTTP status. It is an
// error if the adapter or ZITADEL is to blame: by OpenTelemetry's conventions the codes that are
// HTTP 5xx, in RPC too.
func (e *Event) endTrace(ctx context.Context, httpStatus int) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(attribute.String("v1adapter.protocol", e.Protocol), attribute.String("v1adapter.way", e.Route),
		attribute.String("v1adapter.code", e.Code))
	if e.RefusedBy != "" {
		span.SetAttributes(attribute.String("v1adapter.refused_by", e.RefusedBy))
	}
	if e.ErrorID != "" {
		span.SetAttributes(attribute.String("zitadel.error_id", e.ErrorID))
	}
	failed := httpStatus == 0 || httpStatus >= http.StatusInternalServerError
	if code, known := codeOf(e.Code); known && e.Protocol != protocolREST {
		span.SetAttributes(semconv.RPCResponseStatusCode(strings.ToUpper(e.Code)))
		failed = code != 0 && rpcstatus.HTTPStatus(code) >= http.StatusInternalServerError
	}
	if failed {
		tracing.Fail(span, e.Code)
	}
}

// codeOf is the code that an Event.Code names; 0 is "ok". An HTTP status names none.
func codeOf(name string) (code connect.Code, known bool) {
	if name == "ok" {
		return 0, true
	}
	return code, code.UnmarshalText([]byte(name)) == nil
}
