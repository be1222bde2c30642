// Package telemetry exports spans, as OpenTelemetry's standard variables OTEL_* say. Nothing
// in it is global but those variables.
package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"golang.org/x/net/http/httpguts"

	"zitadel-v1-adapter/internal/tracing"
)

// Telemetry makes spans, and exports them. Calls never wait for that: spans that cannot be
// exported in time are dropped. A nil *Telemetry makes none.
type Telemetry struct {
	provider *sdktrace.TracerProvider
	exporter *sampledExporter
}

const serviceName = "zitadel-v1-adapter"

// New makes what OTEL_* ask for; nil is nothing. It does not connect yet. The error has a
// line for each mistake, with the variable; values, which may be secret, are not repeated.
func New(ctx context.Context, version string, log *slog.Logger) (*Telemetry, error) {
	if !isWanted() {
		return nil, nil //nolint:nilnil // as said above
	}
	if err := validate(); err != nil {
		return nil, err
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", serviceName), attribute.String("service.version", version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, errors.New("OTEL_RESOURCE_ATTRIBUTES: use key=value, with commas between, and %XX for what is special")
	}
	to, err := newExporter(ctx)
	if err != nil {
		return nil, err
	}
	t := &Telemetry{exporter: newSampledExporter(to, log)}
	t.provider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(Filter(sdktrace.NewBatchSpanProcessor(t.exporter))), sdktrace.WithResource(about))
	return t, nil
}

// newExporter makes the SDK's exporter, which reads the variables itself.
func newExporter(ctx context.Context) (sdktrace.SpanExporter, error) {
	if protocol() == protocolGRPC {
		to, err := otlptracegrpc.New(ctx)
		if err != nil {
			return nil, errors.New("OTEL_EXPORTER_OTLP_ENDPOINT: use one that gRPC can dial, such as http://collector:4317")
		}
		return to, nil
	}
	to, err := otlptracehttp.New(ctx)
	if err != nil { // certificates for a server without TLS: all else is validated
		return nil, errors.New("OTEL_EXPORTER_OTLP_CERTIFICATE, OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: use them with an endpoint that begins with https://")
	}
	return to, nil
}

// Handler makes a span of each request to next.
func (t *Telemetry) Handler(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return tracing.Handler(next, t.provider)
}

// closeTimeout is how long spans that are still there may take to be exported at the end.
const closeTimeout = 2 * time.Second

// Close exports what is there, and gives up after closeTimeout.
func (t *Telemetry) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.exporter.failed(err, 0)
	}
}

// isWanted reports whether the variables ask for traces. The SDK's own default would be to
// send them to localhost.
func isWanted() bool {
	exporter := cmp.Or(variable("OTEL_TRACES_EXPORTER"), exporterVariable("ENDPOINT"))
	return exporter != "" && exporter != "none" && !strings.EqualFold(variable("OTEL_SDK_DISABLED"), "true")
}

// variable is a variable's value as the SDK reads it: one that is blank is not set.
func variable(name string) string { return strings.TrimSpace(os.Getenv(name)) }

// protocolGRPC is the one that is not over plain HTTP.
const protocolGRPC = "grpc"

// protocol is how spans are sent.
func protocol() string { return cmp.Or(exporterVariable("PROTOCOL"), "http/protobuf") }

// exporterVariable is the value of an option of the exporter's.
func exporterVariable(option string) string {
	names := variants(option)
	return cmp.Or(variable(names[0]), variable(names[1]))
}

// variants are the variables of an option of the exporter's, the one for traces first.
func variants(option string) []string {
	return []string{"OTEL_EXPORTER_OTLP_TRACES_" + option, "OTEL_EXPORTER_OTLP_" + option}
}

// validate finds the mistakes in variables of which the SDK would write the value, which may be
// secret, to standard error, and in those that [New] reads. The SDK reports the others.
func validate() error {
	var mistakes []error
	for _, check := range []struct {
		names []string
		valid func(value string) bool
		want  string // what would be right
	}{
		{[]string{"OTEL_TRACES_EXPORTER"}, regexp.MustCompile("^(otlp|none)$").MatchString, "otlp or none"},
		{variants("PROTOCOL"), regexp.MustCompile("^(http/protobuf|http/json|grpc)$").MatchString, "http/protobuf, http/json or grpc"},
		{variants("ENDPOINT"), isEndpoint, "a URL such as http://collector:4318, without a password"},
		{variants("HEADERS"), areHeaders, "name=value, with commas between, and %XX for what is special in a value"},
	} {
		for _, name := range check.names {
			if value := variable(name); value != "" && !check.valid(value) {
				mistakes = append(mistakes, fmt.Errorf("%s: use %s", name, check.want))
			}
		}
	}
	return errors.Join(mistakes...)
}

// isEndpoint takes what gRPC takes too, such as "collector:4317" or "dns:///collector:4317",
// only for gRPC. Passwords in it would be dropped.
func isEndpoint(value string) bool {
	endpoint, err := url.Parse(value)
	if err != nil || endpoint.User != nil {
		return false
	}
	return protocol() == protocolGRPC || (endpoint.Scheme == "http" || endpoint.Scheme == "https") && endpoint.Host != ""
}

func areHeaders(value string) bool {
	for header := range strings.SplitSeq(value, ",") {
		name, value, found := strings.Cut(header, "=")
		decoded, err := url.PathUnescape(value)
		if !found || err != nil || !httpguts.ValidHeaderFieldName(strings.TrimSpace(name)) || !httpguts.ValidHeaderFieldValue(decoded) {
			return false
		}
	}
	return true
}
