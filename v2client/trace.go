package v2client

import (
	"context"
	"net/http"
	"strings"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/tracing"
)

// The span of an attempt has the name by which metrics know what is called. With
// ProtocolAuto an attempt may be two requests: it tells of the last one.

// traced begins the span of an attempt, if there are traces.
func (c *call[Res]) traced(ctx context.Context) (context.Context, *tracing.Span) {
	if c.client.tracer == nil {
		return ctx, nil
	}
	ctx, span := c.client.tracer.Call(ctx, c.name, c.client.upstream.Base())
	span.Resent(c.traces)
	c.traces++
	return ctx, span
}

// traceRequest notes in an attempt's span what is sent, and has ZITADEL go on with it. The
// paths are this package's own, and hold no ids.
func traceRequest(span *tracing.Span, request *http.Request) {
	span.HTTPMethod(request.Method)
	switch contentType := request.Header.Get("Content-Type"); {
	case contentType == contentTypeProto:
		span.RPC(tracing.SystemConnect, request.URL.Path)
	case strings.HasPrefix(contentType, "application/grpc"):
		span.RPC(tracing.SystemGRPC, request.URL.Path)
	}
	span.Inject(request.Header)
}

// endSpan ends an attempt's span. What neither failed nor is healthy broke down.
func endSpan(span *tracing.Span, failure *Error, outcome health) {
	switch {
	case span == nil:
		return
	case failure != nil:
		span.Code(failure.Code)
		span.ErrorID(failure.ID())
		span.Fail(failure.Code.String())
	case outcome == healthy:
		span.Code(0)
	default:
		span.Fail(connect.CodeInternal.String())
	}
	span.End()
}
