package telemetry

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"zitadel-v1-adapter/internal/redact"
)

// sampleInterval is the time between two lines of the log: a collector that is away must not
// fill it.
const sampleInterval = 10 * time.Second

// sampledExporter logs a sample of what goes wrong. The SDK would tell a handler that the
// whole program shares.
type sampledExporter struct {
	sdktrace.SpanExporter

	log     *slog.Logger
	secrets *strings.Replacer

	mu    sync.Mutex
	next  time.Time // when a line may be logged again
	since int       // failures since the last line
	spans int       // lost since the last line
}

func newSampledExporter(to sdktrace.SpanExporter, log *slog.Logger) *sampledExporter {
	return &sampledExporter{SpanExporter: to, log: log, secrets: headerValues()}
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
			for _, form := range []string{decoded, value} {
				// "Bearer s3cret" may come back without its first word.
				for _, part := range append([]string{form}, strings.Fields(form)...) {
					if part = strings.TrimSpace(part); len(part) >= shortest {
						pairs = append(pairs, part, "…")
					}
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
	e.mu.Lock()
	now, others, lost := time.Now(), e.since, e.spans+spans
	logged := !now.Before(e.next)
	if logged {
		e.next, e.since, e.spans = now.Add(sampleInterval), 0, 0
	} else {
		e.since, e.spans = e.since+1, lost
	}
	e.mu.Unlock()
	if logged {
		e.log.Warn("spans not exported", "cause", redact.Shorten(redact.Quotes(e.secrets.Replace(cause.Error()))),
			"spans", lost, "others_not_logged", others)
	}
}
