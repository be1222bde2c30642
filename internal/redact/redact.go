// Package redact removes from log texts what could contain secrets. Error texts quote what
// an upstream sent, and an upstream may send back what it was sent: passwords and tokens.
package redact

import (
	"context"
	"log"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
)

// quote is a quoted string, or the beginning of one whose end was cut off.
var quote = regexp.MustCompile(`(?s)"(\\.|[^"\\])*("|\\?$)`)

// Quotes replaces each quoted string in an error text by "…". net/http, connect-go and
// protobuf quote received text in the format of %q. The only received text that they do
// not quote is the reason phrase of an HTTP status, which v2client replaces.
func Quotes(text string) string { return quote.ReplaceAllLiteralString(text, `"…"`) }

// Shorten cuts text sent by a client to 200 bytes and appends "…", so that a client cannot
// fill the log. No id that ZITADEL assigns is longer.
func Shorten(text string) string {
	const maxBytes = 200
	if len(text) > maxBytes {
		return text[:maxBytes] + "…"
	}
	return text
}

// OtherMethod stands for every HTTP method that net/http has no constant for.
const OtherMethod = "(other)"

// Method returns a request's HTTP method if net/http has a constant for it, else OtherMethod: a client
// may send any text as its method, also one that is a secret.
func Method(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	}
	return OtherMethod
}

// Logger returns a logger for packages that log text lines. It writes each line to a
// structured log, at a fixed level and without quoted strings (see Quotes).
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
