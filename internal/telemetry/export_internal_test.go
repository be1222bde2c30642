package telemetry

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// failing cannot export, and says what it was sent.
type failing struct{ sdktrace.SpanExporter }

func (failing) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error {
	return errors.New(`key s3cret, s3cret%20key, s3cret key and "quoted" ` + strings.Repeat("x", 300_000))
}

// The log has a short line in ten seconds, which counts what it does not have, and holds no
// header's value in any form.
func TestFailuresAreSampled(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=b, x-key = s3cret%20key")
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		exporter := newSampledExporter(failing{}, slog.New(slog.NewTextHandler(&log, nil)))
		for range 1000 {
			if err := exporter.ExportSpans(t.Context(), make([]sdktrace.ReadOnlySpan, 3)); err != nil {
				t.Errorf("got %v, want nothing for the SDK's handler", err)
			}
		}
		time.Sleep(10 * time.Second)
		_ = exporter.ExportSpans(t.Context(), make([]sdktrace.ReadOnlySpan, 3))
		got := log.String()
		if strings.Count(got, "\n") != 2 || len(got) > 1000 || strings.Contains(got, "s3cret") || strings.Contains(got, "quoted") {
			t.Errorf("got %d bytes: %s\nwant 2 short lines, and nothing secret", len(got), got)
		}
		if !strings.Contains(got, "spans=3 others_not_logged=0") || !strings.Contains(got, "spans=3000 others_not_logged=999") {
			t.Errorf("got %s\nwant the numbers of failures and of spans", got)
		}
	})
}
