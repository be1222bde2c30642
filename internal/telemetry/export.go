package telemetry

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"golang.org/x/time/rate"

	"zitadel-v1-adapter/internal/redact"
)

// sampledExporter logs a sample of what goes wrong. The SDK would tell a handler that the
// whole program shares.
type sampledExporter struct {
	sdktrace.SpanExporter

	log     *slog.Logger
	secrets *strings.Replacer
	sample  rate.Sometimes
	since   atomic.Int64 // failures since the last line
	spans   atomic.Int64 // lost since the last line
}

func newSampledExporter(to sdktrace.SpanExporter, log *slog.Logger) *sampledExporter {
	const interval = 10 * time.Second // a collector that is away must not fill the log
	return &sampledExporter{SpanExporter: to, log: log, secrets: headerValues(), sample: rate.Sometimes{Interval: interval}}
}

// headerValues replaces the values of the exporter's headers, which a collector may repeat
// when it refuses them.
func headerValues() *strings.Replacer {
	const shortest = 4 // a secret is longer; others would tear words apart
	var pairs []string
	for _, name := range variants("HEADERS") {
		for header := range strings.SplitSeq(variable(name), ",") {
			_, value, _ := strings.Cut(header, "=")
			decoded, _ := url.PathUnescape(value) // validated
			whole := []string{strings.TrimSpace(decoded), strings.TrimSpace(value)}
			// "Bearer s3cret" may come back without its first word.
			for _, part := range append(whole, strings.Fields(decoded+" "+value)...) {
				if len(part) >= shortest {
					pairs = append(pairs, part, "…")
				}
			}
		}
	}
	return strings.NewReplacer(pairs...)
}

// ExportSpans exports spans, or logs why not.
func (e *sampledExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := e.SpanExporter.ExportSpans(ctx, spans); err != nil {
		e.failed(err, len(spans))
	}
	return nil
}

// failed logs why spans were lost, if it is time for a line.
func (e *sampledExporter) failed(cause error, spans int) {
	e.since.Add(1)
	e.spans.Add(int64(spans))
	e.sample.Do(func() {
		e.log.Warn("spans not exported", "cause", redact.Shorten(redact.Quotes(e.secrets.Replace(cause.Error()))),
			"spans", e.spans.Swap(0), "others_not_logged", e.since.Swap(0)-1)
	})
}
