// Package redact keeps out of the log what errors quote: an upstream may send back
// what it was sent, passwords and tokens included.
package redact

import (
	"context"
	"log"
	"log/slog"
	"strings"
)

// Quotes returns an error's text without what it quotes. net/http, connect-go and
// protobuf quote what others sent, as %q does, and repeat nothing else of it but reason
// phrases, which v2client replaces.
func Quotes(text string) string {
	var kept strings.Builder
	for {
		before, after, found := strings.Cut(text, `"`)
		kept.WriteString(before)
		if !found {
			return kept.String()
		}
		kept.WriteString(`"…"`)
		text = afterQuote(after)
	}
}

// afterQuote returns what comes after the end of a quote.
func afterQuote(text string) string {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return text[i+1:]
		}
	}
	return ""
}

// Logger is for packages that log lines: they go to a structured log, at one level and
// without their quotes.
func Logger(to *slog.Logger, level slog.Level) *log.Logger {
	return log.New(lines{to, level}, "", 0)
}

type lines struct {
	log   *slog.Logger
	level slog.Level
}

func (l lines) Write(line []byte) (int, error) {
	l.log.Log(context.Background(), l.level, Quotes(strings.TrimSuffix(string(line), "\n")))
	return len(line), nil
}
