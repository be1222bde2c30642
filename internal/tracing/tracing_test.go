package tracing_test

import (
	"net/http"
	"testing"

	"zitadel-v1-adapter/internal/tracing"
)

// same is a http.RoundTripper that notes whether it got the request itself.
type same struct {
	want *http.Request
	got  bool
}

func (s *same) RoundTrip(request *http.Request) (*http.Response, error) {
	s.got = request == s.want
	return nil, http.ErrNotSupported
}

// Without traces, requests, headers and contexts stay as they are, and nothing is allocated.
func TestNoTracesCostNothing(t *testing.T) {
	ctx, header := t.Context(), http.Header{"Traceparent": {"x"}, "Tracestate": {"y"}}
	request := (&http.Request{Header: header}).WithContext(ctx)
	base := &same{want: request}
	transport := tracing.NewTransport(base)
	allocations := testing.AllocsPerRun(100, func() {
		called, span := tracing.Start(ctx, "x", header)
		span.End()
		_, _ = transport.RoundTrip(request)
		if called != ctx || span.IsRecording() || tracing.IsTraced(ctx) || !base.got {
			t.Error("got something of traces that are not there")
		}
	})
	if allocations > 0 || header.Get("Traceparent") != "x" || header.Get("Tracestate") != "y" {
		t.Errorf("got %v allocations and header %v, want none and the client's", allocations, header)
	}
}
