package telemetry_test

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"zitadel-v1-adapter/internal/telemetry"
	"zitadel-v1-adapter/internal/wiretest"
)

// exports are what a collector received.
type exports struct {
	mu       sync.Mutex
	requests []*collector.ExportTraceServiceRequest
	headers  []http.Header
}

func (e *exports) add(header http.Header, request *collector.ExportTraceServiceRequest) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.requests, e.headers = append(e.requests, request), append(e.headers, header)
}

// collect serves a collector, over OTLP/HTTP and OTLP/gRPC. It returns its URL.
func collect(t *testing.T) (*exports, string) {
	t.Helper()
	e := new(exports)
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/traces", func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			unpacked, err := gzip.NewReader(body)
			if err != nil {
				t.Error(err)
				return
			}
			body = unpacked
		}
		packed, err := io.ReadAll(body)
		request := new(collector.ExportTraceServiceRequest)
		if err != nil || r.Header.Get("Content-Type") != "application/x-protobuf" || proto.Unmarshal(packed, request) != nil {
			t.Errorf("got %q, %v: want protobuf", packed, err)
		}
		e.add(r.Header, request)
		w.Header().Set("Content-Type", "application/x-protobuf")
	})
	const export = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
	mux.Handle(export, connect.NewUnaryHandler(export,
		func(_ context.Context, r *connect.Request[collector.ExportTraceServiceRequest]) (*connect.Response[collector.ExportTraceServiceResponse], error) {
			e.add(r.Header(), r.Msg)
			return connect.NewResponse(new(collector.ExportTraceServiceResponse)), nil
		}))
	return e, "http://" + wiretest.Listen(t, mux)
}

// set sets variables, and no other OTEL_*: name, value, and so on.
func set(t *testing.T, variables ...string) {
	t.Helper()
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "")
		}
	}
	for i := 0; i < len(variables); i += 2 {
		t.Setenv(variables[i], variables[i+1])
	}
}

func start(t *testing.T) (*telemetry.Telemetry, *wiretest.Buffer) {
	t.Helper()
	log := new(wiretest.Buffer)
	traces, err := telemetry.New(t.Context(), "v1.2.3", slog.New(slog.NewJSONHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return traces, log
}

// record makes a span of a request.
func record(t *testing.T, traces *telemetry.Telemetry) {
	t.Helper()
	traces.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		trace.SpanFromContext(r.Context()).SetName("SetHumanPassword")
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/users/s3cret?s3cret", http.NoBody))
}

// Nothing is exported unless a variable says so.
func TestTracesAreOffByDefault(t *testing.T) {
	const endpoint, tracesEndpoint = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	for _, test := range []struct {
		variables []string
		want      bool
	}{
		{nil, false},
		{[]string{"OTEL_SERVICE_NAME", "x", "OTEL_TRACES_SAMPLER", "always_on"}, false},
		{[]string{"OTEL_TRACES_EXPORTER", "none", endpoint, "http://localhost:1"}, false},
		{[]string{"OTEL_SDK_DISABLED", "TRUE", endpoint, "http://localhost:1"}, false},
		{[]string{"OTEL_SDK_DISABLED", "true", "OTEL_TRACES_EXPORTER", "otlp"}, false},
		{[]string{endpoint, " "}, false},
		{[]string{endpoint, "http://localhost:1"}, true},
		{[]string{tracesEndpoint, "http://localhost:1/x"}, true},
		{[]string{"OTEL_TRACES_EXPORTER", "otlp"}, true},
		{[]string{"OTEL_SDK_DISABLED", "false", "OTEL_TRACES_EXPORTER", "otlp"}, true},
	} {
		t.Run(strings.Join(test.variables, " "), func(t *testing.T) {
			set(t, test.variables...)
			traces, _ := start(t)
			defer traces.Close()
			if got := traces != nil; got != test.want {
				t.Errorf("got traces: %v, want %v", got, test.want)
			}
			if next := http.NewServeMux(); !test.want && traces.Handler(next) != next {
				t.Error("got a handler around the one that is not traced, want that one")
			}
		})
	}
}

// Spans arrive over each protocol, with the resource and the headers that the variables name.
func TestSpansAreExported(t *testing.T) {
	for _, test := range []struct {
		protocol, service, want string
		more                    []string
	}{
		{"", "", "zitadel-v1-adapter", nil},
		{"http/protobuf", "", "by-attribute", []string{"OTEL_RESOURCE_ATTRIBUTES", "service.name=by-attribute", "OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"}},
		{"grpc", "mine", "mine", []string{"OTEL_RESOURCE_ATTRIBUTES", "service.name=by-attribute"}},
	} {
		t.Run(test.protocol, func(t *testing.T) {
			received, url := collect(t)
			set(t, append(test.more, "OTEL_EXPORTER_OTLP_ENDPOINT", url, "OTEL_EXPORTER_OTLP_PROTOCOL", test.protocol,
				"OTEL_SERVICE_NAME", test.service, "OTEL_EXPORTER_OTLP_HEADERS", "x-key=s3cret%20key")...)
			traces, log := start(t)
			record(t, traces)
			traces.Close()
			received.mu.Lock()
			defer received.mu.Unlock()
			if len(received.requests) != 1 || received.headers[0].Get("X-Key") != "s3cret key" || log.String() != "" {
				t.Fatalf("got %v with headers %v, and logged %s\nwant one request, with the header, and nothing logged", received.requests, received.headers, log)
			}
			spans := received.requests[0].GetResourceSpans()[0]
			resource := map[string]string{}
			for _, attribute := range spans.GetResource().GetAttributes() {
				resource[attribute.GetKey()] = attribute.GetValue().GetStringValue()
			}
			if resource["service.name"] != test.want || resource["service.version"] != "v1.2.3" || resource["telemetry.sdk.language"] != "go" {
				t.Errorf("got resource %v, want service.name %s and service.version v1.2.3", resource, test.want)
			}
			span := spans.GetScopeSpans()[0].GetSpans()[0]
			attributes := span.GetAttributes()
			if span.GetName() != "SetHumanPassword" || len(attributes) != 2 || attributes[0].GetValue().GetStringValue() != http.MethodPost || attributes[1].GetValue().GetIntValue() != http.StatusOK {
				t.Errorf("got span %v, want SetHumanPassword with its method and status", span)
			}
		})
	}
}

// The sampler is the one that the variables name.
func TestSamplerByVariable(t *testing.T) {
	for sampler, want := range map[string]int{"always_off": 0, "parentbased_traceidratio": 0, "ALWAYS_ON": 1} {
		received, url := collect(t)
		set(t, "OTEL_EXPORTER_OTLP_ENDPOINT", url, "OTEL_TRACES_SAMPLER", sampler, "OTEL_TRACES_SAMPLER_ARG", "0")
		traces, _ := start(t)
		record(t, traces)
		traces.Close()
		if got := len(received.requests); got != want {
			t.Errorf("%s: got %d exports, want %d", sampler, got, want)
		}
	}
}

// Mistakes that stop the start are found, and named by their variable. No value is repeated: it
// may be secret.
func TestMistakesAreNamed(t *testing.T) {
	const on, endpoint = "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT"
	for _, test := range []struct{ name, value string }{
		{on, "s3cret"},
		{endpoint, "s3cret:4318"},
		{endpoint, "http://user:s3cret@localhost"},
		{endpoint, "http://s3cret\x7f"},
		{endpoint, "s3cret://localhost"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/s3cret"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "s3cret"},
		{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "s3cret"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "s3cret"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "a=b,s3cret key=c"},
		{"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=s3cret%zz"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "a=s3cret%0a"},
		{"OTEL_RESOURCE_ATTRIBUTES", "s3cret"},
	} {
		t.Run(test.name+"="+test.value, func(t *testing.T) {
			set(t, on, "otlp", test.name, test.value)
			_, err := telemetry.New(t.Context(), "", slog.New(slog.DiscardHandler))
			if err == nil || !strings.Contains(err.Error(), test.name) || !strings.Contains(err.Error(), ": use ") || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("got %v, want an error with %s, what to do, and not the value", err, test.name)
			}
		})
	}
	set(t, on, "console", "OTEL_EXPORTER_OTLP_PROTOCOL", "x")
	if _, err := telemetry.New(t.Context(), "", slog.New(slog.DiscardHandler)); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("two mistakes: got %v, want a line for each", err)
	}
}

// A collector that is away, silent, or refuses, costs no call, and no more than two seconds at
// the end, where the SDK alone would wait for its exporter. The log says so, sampled, without the
// values of the exporter's headers.
func TestCollectorAway(t *testing.T) {
	const most = 8 * time.Second // on a machine that is busy; the exporter would take ten
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	refuses := wiretest.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, "no: %s, %q", r.Header.Get("Authorization"), r.Header)
	}))
	var ends sync.WaitGroup
	for name, test := range map[string]struct{ address, want string }{
		"away":    {wiretest.RefusingAddress(t), "connection refused"},
		"silent":  {silent.Addr().String(), "context deadline exceeded"},
		"refuses": {refuses, "401 Unauthorized"},
	} {
		for _, protocol := range []string{"http/protobuf", "grpc"} {
			name += " " + protocol
			set(t, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+test.address, "OTEL_EXPORTER_OTLP_PROTOCOL", protocol,
				"OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cret-k3y", "OTEL_BSP_SCHEDULE_DELAY", "1", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
			traces, log := start(t)
			begun := time.Now()
			for range 10_000 { // more than the queue takes
				record(t, traces)
			}
			if took := time.Since(begun); took > most {
				t.Errorf("%s: 10,000 spans took %v, want no waiting", name, took)
			}
			ends.Go(func() {
				begun := time.Now()
				traces.Close()
				if took := time.Since(begun); took > most {
					t.Errorf("%s: the end took %v, want 2s", name, took)
				}
				got := log.String()
				if !strings.Contains(got, `"level":"WARN","msg":"spans not exported","cause":"`) || strings.Contains(got, "s3cret") {
					t.Errorf("%s: the log: got %s\nwant that spans were not exported, without the key", name, got)
				}
				if protocol != "grpc" && !strings.Contains(got, test.want) {
					t.Errorf("%s: the log: got %s\nwant %q in it", name, got, test.want)
				}
			})
		}
	}
	ends.Wait()
}
