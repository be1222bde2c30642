package adapter

import (
	"net/http"
	"strings"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/tracing"
)

// traced begins the span of a call, if there are traces; the request is then the one to
// answer. The span's name is the method's, in all protocols, as in the log and in metrics, so
// that a search for a method finds all its calls. The route is an attribute.
func (a *Adapter) traced(event *Event, m *Method, r *http.Request) *http.Request {
	if a.config.Tracer == nil {
		return r
	}
	ctx, span := a.config.Tracer.Serve(r.Context(), r.Header, event.Method, event.Started)
	event.span, event.TraceID = span, span.TraceID()
	span.HTTPMethod(r.Method)
	if event.Protocol == protocolREST {
		span.Route(m.route())
	} else {
		span.RPC(tracing.SystemGRPC, m.Procedure)
	}
	return r.WithContext(ctx)
}

// route is the method's path over REST as OpenTelemetry and OpenAPI write patterns.
func (m *Method) route() string {
	parts := strings.Split(m.Pattern, "/")
	for i, part := range parts {
		if name, isParameter := strings.CutPrefix(part, ":"); isParameter {
			parts[i] = "{" + name + "}"
		}
	}
	return strings.Join(parts, "/")
}

// endSpan ends the span of a call that was answered with this HTTP status. It is an error
// if the adapter or ZITADEL is to blame: by OpenTelemetry's conventions the codes that are
// HTTP 5xx, in RPC too.
func (e *Event) endSpan(httpStatus int) {
	span := e.span
	span.HTTPStatus(httpStatus)
	span.V1(e.Protocol, e.Route, e.Code, e.RefusedBy)
	span.ErrorID(e.ErrorID)
	code, known := codeOf(e.Code)
	if known {
		span.Code(code)
	}
	failed := httpStatus == 0 || httpStatus >= http.StatusInternalServerError
	if known && e.Protocol != protocolREST {
		failed = code != 0 && rpcstatus.HTTPStatus(code) >= http.StatusInternalServerError
	}
	if failed {
		span.Fail(e.Code)
	}
	span.End()
}

// codeOf is the code that an Event.Code names; 0 is "ok". An HTTP status names none.
func codeOf(name string) (code connect.Code, known bool) {
	if name == "ok" {
		return 0, true
	}
	return code, code.UnmarshalText([]byte(name)) == nil
}
