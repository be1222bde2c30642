package app

import (
	"io"
	"log"
	"log/slog"

	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/redact"
)

func newLogger(out io.Writer, format string, level slog.Leveler) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == config.FormatText {
		return slog.New(slog.NewTextHandler(out, options))
	}
	return slog.New(slog.NewJSONHandler(out, options))
}

// redirectStandardLog takes over package log's logger, which is the only one that
// net/http's client knows: when an upstream sends more than its answer, it logs
// the rest.
func redirectStandardLog(to *slog.Logger) {
	own := redact.Logger(to, slog.LevelWarn)
	log.SetFlags(own.Flags())
	log.SetOutput(own.Writer())
}
