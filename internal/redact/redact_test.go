package redact_test

import (
	"bytes"
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/redact"
)

func TestQuotesRemovesQuotedStrings(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                   "",
		"connection refused":                 "connection refused",
		`malformed HTTP response "s3cret"`:   `malformed HTTP response "…"`,
		`got ["1" "s3cret"], expecting "2".`: `got ["…" "…"], expecting "…".`,
		`a \ b "\"s3cret\\" c`:               `a \ b "…" c`,
		`cut "s3cret\`:                       `cut "…"`,
		`cut "s3cret`:                        `cut "…"`,
		`"`:                                  `"…"`,
	} {
		if got := redact.Quotes(text); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

// A method that is no name of net/http's is nobody's business, in any spelling.
func TestMethodIsAKnownOne(t *testing.T) {
	t.Parallel()
	for method, want := range map[string]string{
		"GET": "GET", "HEAD": "HEAD", "POST": "POST", "PUT": "PUT", "PATCH": "PATCH", "DELETE": "DELETE", "CONNECT": "CONNECT",
		"OPTIONS": "OPTIONS", "TRACE": "TRACE", "": redact.OtherMethod, "get": redact.OtherMethod, "s3cret": redact.OtherMethod,
	} {
		if got := redact.Method(method); got != want {
			t.Errorf("%q: got %q, want %q", method, got, want)
		}
	}
}

// Whatever was quoted with %q is removed completely, and nothing else is.
func FuzzQuotes(f *testing.F) {
	f.Add("before ", `s3"cr\et`, " after")
	f.Fuzz(func(t *testing.T, before, quoted, after string) {
		if strings.ContainsAny(before+after, `"`) {
			t.Skip()
		}
		if got, want := redact.Quotes(before+strconv.Quote(quoted)+after), before+`"…"`+after; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

func TestLoggerRemovesQuotedStrings(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	handler := slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, attribute slog.Attr) slog.Attr {
		if attribute.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return attribute
	}})
	redact.Logger(slog.New(handler), slog.LevelWarn).Printf("Unsolicited response starting with %q", "s3cret")
	if got, want := out.String(), "level=WARN msg=\"Unsolicited response starting with \\\"…\\\"\"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
