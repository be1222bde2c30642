package adapter_test

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"zitadel-v1-adapter/internal/telemetry"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
)

// The trace that the tests' clients are in.
const (
	clientTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	clientSpan   = "00f067aa0ba902b7"
	clientParent = "00-" + clientTrace + "-" + clientSpan + "-01"
)

// newTraced starts a stack with traces, kept in memory.
func newTraced(tb testing.TB, sampler sdktrace.Sampler, options ...option) (*stack, *tracetest.InMemoryExporter) {
	tb.Helper()
	kept := tracetest.NewInMemoryExporter()
	harmless := telemetry.Filter(sdktrace.NewSimpleSpanProcessor(kept))
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(harmless), sdktrace.WithSampler(sampler))
	s := newStack(tb, append(options, func(c *stackConfig) { c.spans = provider })...)
	return s, kept
}

// spansOf are the spans of all calls that were answered, the outermost first, since it was
// last called. It checks that they are one trace, and that all of them are the first one's
// children or, with the span before them as their parent, grandchildren.
func spansOf(t *testing.T, s *stack, kept *tracetest.InMemoryExporter) tracetest.SpanStubs {
	t.Helper()
	s.settle()
	spans := kept.GetSpans()
	kept.Reset()
	slices.SortStableFunc(spans, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	for i, span := range spans {
		if i > 0 && (span.Parent.SpanID() != spans[0].SpanContext.SpanID() || span.SpanContext.TraceID() != spans[0].SpanContext.TraceID()) {
			t.Errorf("%s: got parent %v, want the first span, %v", span.Name, span.Parent.SpanID(), spans[0].SpanContext.SpanID())
		}
		if span.EndTime.Before(span.StartTime) || len(span.Events) > 0 || len(span.Links) > 0 || span.Status.Description != "" {
			t.Errorf("%s: got %+v, want an end, and neither events, links nor a description", span.Name, span)
		}
	}
	return spans
}

// told is all that a span tells, on a line: kind, name, attributes by name, status.
func told(span tracetest.SpanStub) string {
	attributes := make([]string, len(span.Attributes))
	for i, attribute := range span.Attributes {
		attributes[i] = string(attribute.Key) + "=" + attribute.Value.String()
	}
	slices.Sort(attributes)
	return fmt.Sprintf("%v %s [%s] %v", span.SpanKind, span.Name, strings.Join(attributes, " "), span.Status.Code)
}

func checkTold(t *testing.T, what string, spans tracetest.SpanStubs, want []string) {
	t.Helper()
	got := make([]string, 0, len(spans))
	port, goType := regexp.MustCompile(`server\.port=\d+`), regexp.MustCompile(`error\.type=\*?[a-z0-9/]+\.\w+`)
	for _, span := range spans {
		got = append(got, goType.ReplaceAllString(port.ReplaceAllString(told(span), "server.port=PORT"), "error.type=TYPE"))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What a span of each call to ZITADEL tells, over Connect, when all is well.
const (
	toZITADEL      = "server.address=127.0.0.1 server.port=PORT"
	spanPermission = "client permissions [http.request.method=POST http.response.status_code=200 " + toZITADEL + "] Unset"
	spanMe         = "client me [http.request.method=GET http.response.status_code=200 " + toZITADEL + "] Unset"
	spanUser       = "client GetUserByID [http.request.method=POST http.response.status_code=200 rpc.method=zitadel.user.v2.UserService/GetUserByID " +
		"rpc.response.status_code=OK rpc.system.name=connectrpc " + toZITADEL + "] Unset"
	spanWrite = "client SetPassword [http.request.method=POST http.response.status_code=200 rpc.method=zitadel.user.v2.UserService/SetPassword " +
		"rpc.response.status_code=OK rpc.system.name=connectrpc " + toZITADEL + "] Unset"
)

// A success and two refusals in each protocol: every span, with every attribute.
func TestSpansOfCalls(t *testing.T) {
	t.Parallel()
	server := func(protocol, code string, httpStatus int, id string) string {
		if id != "" {
			id = " zitadel.error_id=" + id
		}
		if protocol == "rest" {
			return fmt.Sprintf("server SetHumanInitialPassword [http.request.method=POST http.response.status_code=%d "+
				"http.route=/management/v1/users/{user_id}/password/_initialize v1adapter.code=%s v1adapter.protocol=rest v1adapter.way=v2%s] Unset",
				httpStatus, code, id)
		}
		return fmt.Sprintf("server SetHumanInitialPassword [http.request.method=POST http.response.status_code=200 "+
			"rpc.method=zitadel.management.v1.ManagementService/SetHumanInitialPassword rpc.response.status_code=%s rpc.system.name=grpc "+
			"v1adapter.code=%s v1adapter.protocol=%s v1adapter.way=v2%s] Unset", strings.ToUpper(code), code, protocol, id)
	}
	for name, protocol := range map[string]string{"REST": "rest", "gRPC": "grpc", "gRPC-Web": "grpc-web"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, kept := newTraced(t, sdktrace.AlwaysSample())
			call := v1Protocols[name]
			call(t, s.address, userA, "pat-org-owner-a")
			checkTold(t, "first success", spansOf(t, s, kept), []string{
				server(protocol, "ok", 200, ""), spanPermission, spanMe, spanUser, spanWrite,
			})
			call(t, s.address, userA, "pat-org-owner-a")
			checkTold(t, "second success", spansOf(t, s, kept), []string{server(protocol, "ok", 200, ""), spanWrite})
			call(t, s.address, "1", "pat-org-owner-a")
			checkTold(t, "a user who is not there", spansOf(t, s, kept), []string{
				server(protocol, "failed_precondition", 400, "COMMAND-G8dh3"),
				"client GetUserByID [error.type=not_found http.request.method=POST http.response.status_code=404 " +
					"rpc.method=zitadel.user.v2.UserService/GetUserByID rpc.response.status_code=NOT_FOUND rpc.system.name=connectrpc " + toZITADEL + " zitadel.error_id=QUERY-Dfbg2] Error",
				spanPermission,
			})
			call(t, s.address, userA, "not-a-token")
			checkTold(t, "a bad token", spansOf(t, s, kept), []string{
				server(protocol, "unauthenticated", 401, "AUTH-7fs1e"),
				"client permissions [error.type=unauthenticated http.request.method=POST http.response.status_code=401 " + toZITADEL + " zitadel.error_id=AUTH-7fs1e] Error",
			})
		})
	}
}

// A client's trace goes on: its span is the call's parent, and each request to ZITADEL names
// the span of that very attempt, over either upstream protocol. What else the client said of
// its trace goes with it.
func TestTraceGoesOnToZITADEL(t *testing.T) {
	t.Parallel()
	bothUpstreams(t, func(t *testing.T, protocol v2client.Protocol) {
		t.Helper()
		s, kept := newTraced(t, sdktrace.ParentBased(sdktrace.AlwaysSample()), func(c *stackConfig) { c.protocol = protocol })
		call := aCall()
		call.Headers["Traceparent"], call.Headers["Tracestate"], call.Headers["Baggage"] = clientParent, "vendor=1", "a=b;c, d=e"
		bodyOf(t, sendRaw(t, s.address, call))
		spans := spansOf(t, s, kept)
		if len(spans) != 5 || spans[0].SpanContext.TraceID().String() != clientTrace || spans[0].Parent.SpanID().String() != clientSpan || !spans[0].Parent.IsRemote() {
			t.Fatalf("got %d spans, the first %+v\nwant 5, the first one the client's child", len(spans), spans[0])
		}
		for i, request := range s.upstream.takeRequests(t) {
			want := "00-" + clientTrace + "-" + spans[i+1].SpanContext.SpanID().String() + "-01 vendor=1 a=b;c, d=e"
			if got := strings.Join([]string{request.Header.Get("Traceparent"), request.Header.Get("Tracestate"), request.Header.Get("Baggage")}, " "); got != want {
				t.Errorf("%s: got %q, want %q", request.URL.Path, got, want)
			}
		}
		if !strings.Contains(s.logged(), `"trace_id":"`+clientTrace+`"`) {
			t.Errorf("the log: got %s\nwant the client's trace", s.logged())
		}
		write := told(spans[4])
		if protocol == v2client.ProtocolGRPC && !strings.Contains(write, "rpc.method=zitadel.user.v2.UserService/SetPassword rpc.response.status_code=OK rpc.system.name=grpc") {
			t.Errorf("got %s, want a gRPC call", write)
		}
	})
}

// A call without a trace, or with one that cannot be read, begins one. Its id is in the log.
func TestCallsBeginTraces(t *testing.T) {
	t.Parallel()
	s, kept := newTraced(t, sdktrace.AlwaysSample())
	for _, parent := range []string{"", "00-" + strings.Repeat("0", 32) + "-" + clientSpan + "-01", "s3cret"} {
		call := aCall()
		call.Headers["Traceparent"], call.Headers["Tracestate"] = parent, "vendor=1"
		bodyOf(t, sendRaw(t, s.address, call))
		spans := spansOf(t, s, kept)
		id := spans[0].SpanContext.TraceID().String()
		if spans[0].Parent.IsValid() || id == clientTrace || !strings.Contains(s.logged(), `"trace_id":"`+id+`"`) {
			t.Errorf("traceparent %q: got %v, want a trace of its own, in the log %s", parent, spans[0].Parent, s.logged())
		}
		if state, ok := s.upstream.last(t).Header["Tracestate"]; ok {
			t.Errorf("traceparent %q: got tracestate %q upstream, want none", parent, state)
		}
	}
}

// Where the client or the sampler does not want a trace, nothing is exported, and ZITADEL is
// told the same.
func TestSampledOutCallsTellZITADEL(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sampler sdktrace.Sampler
		parent  string
	}{
		"sampler": {sdktrace.NeverSample(), clientParent},
		"client":  {sdktrace.ParentBased(sdktrace.AlwaysSample()), strings.TrimSuffix(clientParent, "1") + "0"},
	} {
		s, kept := newTraced(t, test.sampler, func(c *stackConfig) { c.passes = true })
		for _, path := range []string{userAPath, "/oidc/v1/keys"} {
			call := aCall()
			call.Path, call.Headers["Traceparent"] = path, test.parent
			bodyOf(t, sendRaw(t, s.address, call))
			got := s.upstream.last(t).Header.Get("Traceparent")
			if !strings.HasPrefix(got, "00-"+clientTrace+"-") || !strings.HasSuffix(got, "-00") || strings.Contains(got, clientSpan) {
				t.Errorf("%s: %s: got traceparent %q upstream, want one of a span in the client's trace, not sampled", name, path, got)
			}
		}
		if spans := spansOf(t, s, kept); len(spans) > 0 || !strings.Contains(s.logged(), `"trace_id":"`+clientTrace+`"`) {
			t.Errorf("%s: got %v, want no spans, and the trace in the log", name, spans)
		}
	}
}

// What passes through has a span of its own, and one of what goes to ZITADEL, without its
// path; a v1 call that native v1 answers has the call's.
func TestSpansOfWhatPassesThrough(t *testing.T) {
	t.Parallel()
	native := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Upstream-Trace", r.Header.Get("Traceparent")+" "+r.Header.Get("Tracestate"))
		switch {
		case r.URL.Path == "/refused":
			panic(http.ErrAbortHandler)
		case r.URL.Path == "/cut":
			w.Header()["Content-Type"] = r.Header["Content-Type"]
			_, _ = w.Write([]byte("half"))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case strings.HasPrefix(r.URL.Path, "/zitadel."):
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", "7")
		case !strings.HasPrefix(r.URL.Path, "/users/"):
			w.WriteHeader(http.StatusTeapot)
		}
	})
	s, kept := newTraced(t, sdktrace.AlwaysSample(), func(c *stackConfig) { c.native, c.rollout = native, 0 })
	const ok, teapot, grpc = "http.response.status_code=200 ", "http.response.status_code=418 ", "application/grpc"
	for _, test := range []struct {
		method, path, contentType string
		want                      []string
	}{
		{"GET", "/users/" + userA + "?code=s3cret", "", []string{
			"server GET [http.request.method=GET http.response.status_code=200] Unset",
			"client GET [http.request.method=GET " + ok + toZITADEL + "] Unset",
		}},
		{"S3CRET", "/users/" + userA, "", []string{
			"server HTTP [http.request.method=_OTHER http.response.status_code=200] Unset",
			"client HTTP [http.request.method=_OTHER " + ok + toZITADEL + "] Unset",
		}},
		{"DELETE", "/teapot", "", []string{
			"server DELETE [http.request.method=DELETE http.response.status_code=418] Unset",
			"client DELETE [error.type=418 http.request.method=DELETE " + teapot + toZITADEL + "] Error",
		}},
		{"GET", "/refused", "", []string{
			"server GET [error.type=503 http.request.method=GET http.response.status_code=503] Error",
			"client GET [error.type=TYPE http.request.method=GET " + toZITADEL + "] Error",
		}},
		{"GET", "/cut", "", []string{
			"server GET [error.type=cut http.request.method=GET http.response.status_code=200] Error",
			"client GET [error.type=TYPE http.request.method=GET " + ok + toZITADEL + "] Error",
		}},
		{"POST", "/cut", grpc, []string{ // whose end says code 14
			"server POST [error.type=cut http.request.method=POST http.response.status_code=200] Error",
			"client POST [error.type=TYPE http.request.method=POST " + ok + toZITADEL + "] Error",
		}},
		{"POST", userAPath, "", []string{
			"server SetHumanInitialPassword [http.request.method=POST " + teapot + "http.route=/management/v1/users/{user_id}/password/_initialize " +
				"v1adapter.code=418 v1adapter.protocol=rest v1adapter.way=v1] Unset",
			"client POST [error.type=418 http.request.method=POST " + teapot + toZITADEL + "] Error",
		}},
		{"GET", userAPath, "", []string{ // no call
			"server GET [http.request.method=GET http.response.status_code=418] Unset",
			"client GET [error.type=418 http.request.method=GET " + teapot + toZITADEL + "] Error",
		}},
		{"POST", procedure, grpc, []string{
			"server SetHumanInitialPassword [http.request.method=POST " + ok + "rpc.method=zitadel.management.v1.ManagementService/SetHumanInitialPassword " +
				"rpc.response.status_code=PERMISSION_DENIED rpc.system.name=grpc v1adapter.code=permission_denied v1adapter.protocol=grpc v1adapter.way=v1] Unset",
			"client POST [http.request.method=POST " + ok + toZITADEL + "] Unset",
		}},
	} {
		request, err := http.NewRequestWithContext(t.Context(), test.method, "http://"+s.address+test.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header = http.Header{"Traceparent": {clientParent}, "Tracestate": {"vendor=1"}, "Content-Type": {test.contentType}}
		response, err := newTransport(t, test.contentType == grpc).RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body) // one breaks off
		_ = response.Body.Close()
		spans := spansOf(t, s, kept)
		checkTold(t, test.method+" "+test.path, spans, test.want)
		want := "00-" + clientTrace + "-" + spans[len(spans)-1].SpanContext.SpanID().String() + "-01 vendor=1"
		if got := response.Header.Get("Upstream-Trace"); got != want && test.path != "/refused" {
			t.Errorf("%s: got %q upstream, want %q", test.path, got, want)
		}
		if parent := spans[0].Parent.SpanID().String(); parent != clientSpan {
			t.Errorf("%s: got parent %q, want the client's", test.path, parent)
		}
	}
}

// With traces too, a request's trailers, which come after its body, pass through.
func TestTrailersPassWithTraces(t *testing.T) {
	t.Parallel()
	native := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %v %s", body, err, r.Trailer.Get("X-Last"))
	})
	s, _ := newTraced(t, sdktrace.AlwaysSample(), func(c *stackConfig) { c.native = native })
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.address+"/passes", io.MultiReader(strings.NewReader("body")))
	if err != nil {
		t.Fatal(err)
	}
	request.Trailer = http.Header{"X-Last": {"last"}}
	response, err := newTransport(t, false).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	if got := bodyOf(t, response); got != "body <nil> last" {
		t.Errorf("got %q upstream, want the body and its trailer", got)
	}
}

// An attempt that failed and the one after it have a span each. A call that ZITADEL did not
// answer is an error, in each protocol.
func TestSpansOfFailures(t *testing.T) {
	t.Parallel()
	s, kept := newTraced(t, sdktrace.AlwaysSample(), func(c *stackConfig) {
		c.upstream, c.retry = wiretest.Reset(t), v2client.RetryConfig{Attempts: 2, BaseDelay: time.Millisecond, MaxDelay: time.Millisecond, Budget: 1}
	})
	const failed = "client permissions [error.type=unavailable http.request.method=POST %s" + toZITADEL + "] Error"
	for name, call := range v1Protocols {
		call(t, s.address, userA, "pat-org-owner-a")
		spans := spansOf(t, s, kept)
		checkTold(t, name, spans[1:], []string{fmt.Sprintf(failed, ""), fmt.Sprintf(failed, "http.request.resend_count=1 ")})
		if first := told(spans[0]); !strings.HasPrefix(first, "server SetHumanInitialPassword [error.type=unavailable ") || !strings.HasSuffix(first, "] Error") {
			t.Errorf("%s: got %s, want an error", name, first)
		}
	}
}
