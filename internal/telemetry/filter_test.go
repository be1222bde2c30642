package telemetry_test

import (
	"errors"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"zitadel-v1-adapter/internal/telemetry"
)

// filtered are the attributes of a span that had some, and all that an error says.
func filtered(t *testing.T, kind trace.SpanKind, attributes ...attribute.KeyValue) []attribute.KeyValue {
	t.Helper()
	kept := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(telemetry.Filter(sdktrace.NewSimpleSpanProcessor(kept))))
	_, span := provider.Tracer("x").Start(t.Context(), "x", trace.WithSpanKind(kind), trace.WithAttributes(attributes...),
		trace.WithLinks(trace.Link{Attributes: attributes}))
	span.RecordError(errors.New("s3cret"), trace.WithStackTrace(true))
	span.SetStatus(codes.Error, "s3cret")
	span.End()
	got := kept.GetSpans()[0]
	if got.Status != (sdktrace.Status{Code: codes.Error}) || len(got.Events) > 0 || len(got.Links) > 0 {
		t.Errorf("got %+v, want an error, and neither description, events nor links", got)
	}
	return got.Attributes
}

// What is not on the list stays here, whatever it is: what otelhttp knows of a request may be an
// id or a secret.
func TestOnlyListedAttributesLeave(t *testing.T) {
	t.Parallel()
	for kind, want := range map[trace.SpanKind]int{trace.SpanKindServer: 1, trace.SpanKindClient: 3} {
		got := filtered(t, kind,
			attribute.String("url.path", "/s3cret"), attribute.String("url.query", "s3cret"), attribute.String("url.full", "s3cret"),
			attribute.String("user_agent.original", "s3cret"), attribute.String("client.address", "s3cret"), attribute.String("enduser.id", "s3cret"),
			attribute.String("http.request.method_original", "s3cret"), attribute.String("network.peer.address", "s3cret"),
			attribute.String("server.address", "zitadel"), attribute.Int("server.port", 443), attribute.Int("http.response.status_code", 200))
		if len(got) != want {
			t.Errorf("%v: got %v, want %d of them", kind, got, want)
		}
	}
}

// Only what looks like an id of ZITADEL's is noted as one.
func TestErrorIDs(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"COMMAND-G8dh3": true, "AUTHZ-cdgFk": true, "AUTH-1": true,
		"": false, "AUTH": false, "-": false, "AUTH-": false, "-x": false, "s3cret-t0ken": false, "AUTH-a b": false, "AUTH-a-b": false,
		"Bearer X-abc": false, "AUTH-ä": false, "AUTH-a\n": false, "AUTH-aaaaaaaaaaaaaaaaaaaaaaaaaaaa": false,
	} {
		if got := filtered(t, trace.SpanKindServer, attribute.String("zitadel.error_id", id)); (len(got) == 1) != want {
			t.Errorf("%q: got %v, want it: %v", id, got, want)
		}
	}
}
