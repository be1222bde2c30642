package app

import (
	"io"
	"log"
	"log/slog"

	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/redact"
)

// newLogger makes the log. Whatever is logged, and whoever sent it, a line has a bound.
func newLogger(out io.Writer, format config.Format, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: bounded}
	if format == config.FormatText {
		return slog.New(slog.NewTextHandler(out, options))
	}
	return slog.New(slog.NewJSONHandler(out, options))
}

// maxTextBytes bounds each text in the log: a stack has room in it.
const maxTextBytes = 8 << 10

// bounded cuts a text that is too long; of any kind are errors and lists of keys.
func bounded(_ []string, attribute slog.Attr) slog.Attr {
	if kind := attribute.Value.Kind(); kind != slog.KindString && kind != slog.KindAny {
		return attribute
	}
	if text := attribute.Value.String(); len(text) > maxTextBytes {
		attribute.Value = slog.StringValue(text[:maxTextBytes] + "…")
	}
	return attribute
}

// redirectStandardLog takes over package log's logger, which is the only one that
// net/http's client knows: when an upstream sends more than its answer, it logs
// the rest.
func redirectStandardLog(to *slog.Logger) {
	own := redact.Logger(to, slog.LevelWarn)
	log.SetFlags(own.Flags())
	log.SetOutput(own.Writer())
}
