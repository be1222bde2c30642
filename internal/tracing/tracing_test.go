package tracing_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"zitadel-v1-adapter/internal/tracing"
)

// Without traces, headers and contexts stay as they are, and nothing is allocated.
func TestNoTracerCostsNothing(t *testing.T) {
	var none *tracing.Tracer
	header, to := http.Header{"Traceparent": {"x"}}, new(url.URL)
	ctx := t.Context()
	allocations := testing.AllocsPerRun(100, func() {
		served, in := none.Serve(ctx, header, "x", time.Time{})
		called, out := none.Call(served, "x", to)
		out.HTTPMethod("GET")
		out.Resent(1)
		out.RPC(tracing.SystemGRPC, "/a/b")
		out.Code(1)
		out.ErrorID("AUTH-1")
		out.Inject(header)
		out.Fail("x")
		out.End()
		in.Route("x")
		in.HTTPStatus(200)
		in.V1("x", "x", "x", "x")
		in.End()
		if called != ctx || in.HasFailed() || in.TraceID() != "" || tracing.IsServed(ctx) {
			t.Error("got something of a tracer that is not there")
		}
	})
	if allocations > 0 || header.Get("Traceparent") != "x" {
		t.Errorf("got %v allocations and header %v, want none and the client's", allocations, header)
	}
}

// Only what looks like an id of ZITADEL's is noted as one.
func TestErrorIDs(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"COMMAND-G8dh3": true, "AUTHZ-cdgFk": true, "AUTH-1": true,
		"": false, "AUTH": false, "-": false, "AUTH-": false, "-x": false, "s3cret-t0ken": false, "AUTH-a b": false, "AUTH-a-b": false,
		"Bearer X-abc": false, "AUTH-ä": false, "AUTH-aaaaaaaaaaaaaaaaaaaaaaaaaaaa": false,
	} {
		kept := tracetest.NewInMemoryExporter()
		tracer := tracing.New(sdktrace.NewTracerProvider(sdktrace.WithSyncer(kept)))
		_, span := tracer.Serve(t.Context(), http.Header{}, "x", time.Now())
		span.ErrorID(id)
		span.End()
		attributes := kept.GetSpans()[0].Attributes
		if got := len(attributes) == 1 && attributes[0] == attribute.String("zitadel.error_id", id); got != want || len(attributes) > 1 {
			t.Errorf("%q: got %v, want it: %v", id, attributes, want)
		}
	}
}
