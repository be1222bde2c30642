package passthrough

import (
	"context"
	"net/http"
	"strconv"

	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"zitadel-v1-adapter/internal/tracing"
)

// noteAnswer tells a request's span why it was answered badly: with this HTTP status, or not to
// the end. ZITADEL broke off then, or the client left.
func noteAnswer(ctx context.Context, httpStatus int, isWhole bool) {
	span := trace.SpanFromContext(ctx)
	switch {
	case !span.IsRecording():
	case !isWhole: // otelhttp notes nothing of a handler that panics
		if httpStatus != 0 {
			span.SetAttributes(semconv.HTTPResponseStatusCode(httpStatus))
		}
		tracing.Fail(span, "cut")
	case httpStatus >= http.StatusInternalServerError:
		tracing.Fail(span, strconv.Itoa(httpStatus))
	}
}
