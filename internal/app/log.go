package app

import (
	"context"
	"io"
	"log"
	"log/slog"

	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/redact"
)

func newLogger(out io.Writer, format config.Format, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == config.FormatText {
		return slog.New(bounded{slog.NewTextHandler(out, options)})
	}
	return slog.New(bounded{slog.NewJSONHandler(out, options)})
}

// maxTextBytes bounds each text in the log: a stack has room in it.
const maxTextBytes = 8 << 10

// bounded is a handler that cuts texts which are too long: whatever is logged, and
// whoever sent it, a line has a bound. Its loggers are used without With.
type bounded struct{ slog.Handler }

func (b bounded) Handle(ctx context.Context, record slog.Record) error {
	long := len(record.Message) > maxTextBytes
	record.Attrs(func(attribute slog.Attr) bool {
		long = long || isLong(attribute.Value)
		return !long
	})
	if !long {
		return b.Handler.Handle(ctx, record)
	}
	short := slog.NewRecord(record.Time, record.Level, cut(record.Message), record.PC)
	record.Attrs(func(attribute slog.Attr) bool {
		if isLong(attribute.Value) {
			attribute.Value = slog.StringValue(cut(attribute.Value.String()))
		}
		short.AddAttrs(attribute)
		return true
	})
	return b.Handler.Handle(ctx, short)
}

func isLong(value slog.Value) bool {
	kind := value.Kind() // any is an error, or a list of keys
	return (kind == slog.KindString || kind == slog.KindAny) && len(value.String()) > maxTextBytes
}

func cut(text string) string {
	if len(text) <= maxTextBytes {
		return text
	}
	return text[:maxTextBytes] + "…"
}

// redirectStandardLog takes over package log's logger, which is the only one that
// net/http's client knows: when an upstream sends more than its answer, it logs
// the rest.
func redirectStandardLog(to *slog.Logger) {
	own := redact.Logger(to, slog.LevelWarn)
	log.SetFlags(own.Flags())
	log.SetOutput(own.Writer())
}
