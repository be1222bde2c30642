package telemetry

import (
	"regexp"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Filter makes a processor that hands to next only what a span may tell: numbers, and names that
// this program or ZITADEL's API has. What otelhttp notes besides (paths, queries, hosts and
// headers of clients, addresses, the texts of errors) may be an id or a secret.
func Filter(next sdktrace.SpanProcessor) sdktrace.SpanProcessor { return filter{next} }

type filter struct{ sdktrace.SpanProcessor }

func (f filter) OnEnd(span sdktrace.ReadOnlySpan) { f.SpanProcessor.OnEnd(filtered{span}) }

// filtered is a span without what it may not tell.
type filtered struct{ sdktrace.ReadOnlySpan }

func (s filtered) Attributes() []attribute.KeyValue {
	return slices.DeleteFunc(slices.Clone(s.ReadOnlySpan.Attributes()), func(each attribute.KeyValue) bool {
		switch each.Key {
		case "http.request.method", "http.request.resend_count", "http.response.status_code", "http.route",
			"rpc.system.name", "rpc.method", "rpc.response.status_code", "error.type",
			"v1adapter.protocol", "v1adapter.way", "v1adapter.code", "v1adapter.refused_by":
			return false
		case "server.address", "server.port": // a client may name any
			return s.SpanKind() != trace.SpanKindClient
		case "zitadel.error_id": // an upstream that is not ZITADEL may send anything
			const most = 24 // bytes
			return len(each.Value.AsString()) > most || !errorID.MatchString(each.Value.AsString())
		}
		return true
	})
}

// errorID is what ZITADEL's look like, such as "AUTH-5mWD2".
var errorID = regexp.MustCompile(`^[A-Z]+-[0-9A-Za-z]+$`)

// Status is without its description, which is what an error says.
func (s filtered) Status() sdktrace.Status {
	return sdktrace.Status{Code: s.ReadOnlySpan.Status().Code}
}

// InstrumentationScope is the same for all, whoever began the span: what it tells is chosen here.
func (filtered) InstrumentationScope() instrumentation.Scope {
	return instrumentation.Scope{Name: serviceName, SchemaURL: semconv.SchemaURL}
}

// Events are none: they may hold messages.
func (filtered) Events() []sdktrace.Event { return nil }

// Links are none.
func (filtered) Links() []sdktrace.Link { return nil }
