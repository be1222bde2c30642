package app

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/config"
)

// No text in the log is longer than maxTextBytes, whatever it is.
func TestLinesAreBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1<<20)
	for _, format := range []config.Format{config.FormatJSON, config.FormatText} {
		var out bytes.Buffer
		log := newLogger(&out, format, slog.LevelInfo)
		for _, attribute := range []slog.Attr{slog.String("a", long), slog.Any("a", errors.New(long)), slog.Any("a", []string{long})} {
			out.Reset()
			log.Warn(long, attribute, slog.Int("b", 1))
			if got := out.String(); len(got) > 3*maxTextBytes || !strings.Contains(got, "x…") || !strings.Contains(got, "b") {
				t.Errorf("%s, %v: got a line of %d bytes, want at most %d, and all attributes", format, attribute.Value.Kind(), len(got), 3*maxTextBytes)
			}
		}
	}
}
