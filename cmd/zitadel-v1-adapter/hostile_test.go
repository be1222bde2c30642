package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"
)

// hostileText is what an upstream says and a client calls itself to be obeyed by a terminal or a
// spreadsheet: a new title, a C1 control, letters in the other direction, a line of its own.
const (
	hostileText = "=1\x1b]0;owned\a\x1b[2J\u009b31m\u202e\u2066\u200b\u2028a\r\nok\tb"
	// hostileHeader is that which fits into a header.
	hostileHeader = "=1\u009b31m\x9b31m\u202e\u2066\u200b\u2028\tok"
)

// hostileUpstream answers as ZITADEL and as an adapter's admin listener would, with hostileText
// wherever there is a text: hostile VAR sets VAR to its address.
func hostileUpstream(ts *testscript.TestScript, _ bool, args []string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(answerHostilely)}
	ts.Defer(func() { _ = server.Close() })
	ts.Setenv(args[0], listener.Addr().String())
	go func() { _ = server.Serve(listener) }()
}

func answerHostilely(w http.ResponseWriter, r *http.Request) {
	write := func(status int, value any) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(value)
	}
	w.Header().Set("Server", hostileHeader)
	switch path := r.URL.Path; {
	case path == "/.well-known/openid-configuration":
		write(http.StatusOK, map[string]string{"issuer": "http://" + hostileText})
	case strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc"):
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		w.Header().Set("Grpc-Status", "16")
		w.Header().Set("Grpc-Message", url.PathEscape(hostileText))
	case strings.HasPrefix(path, "/management/"):
		w.Header().Set("Vary", hostileHeader)
		write(http.StatusUnauthorized, map[string]any{"code": 16, "message": hostileText})
	case path == "/healthz":
		_, _ = io.WriteString(w, hostileText)
	case path == "/usage":
		write(http.StatusOK, map[string]any{
			"ledger": "1",
			"rows":   []any{map[string]any{"day": hostileText, "caller": hostileText, "client": hostileText, "outcome": hostileText, "calls": 1, "last": time.Now()}},
			"shadow": []any{map[string]any{"method": hostileText, "result": hostileText, "native": hostileText, "verdict": hostileText}},
		})
	default:
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, hostileText)
	}
}

// hostileCalls calls v1 as a client that calls itself hostileText, for an organization of that
// name: hostilecalls ADDRESS.
func hostileCalls(ts *testscript.TestScript, _ bool, args []string) {
	both := new(http.Protocols)
	both.SetUnencryptedHTTP2(true)
	for contentType, path := range map[string]string{
		"application/json": "/management/v1/users/3001/password",
		"application/grpc": "/zitadel.management.v1.ManagementService/SetHumanPassword",
	} {
		transport := &http.Transport{}
		if contentType == "application/grpc" {
			transport.Protocols = both
		}
		request, err := http.NewRequest(http.MethodPost, "http://"+args[0]+path, strings.NewReader("\x00\x00\x00\x00\x00"))
		ts.Check(err)
		request.Header = http.Header{
			"Content-Type": {contentType}, "User-Agent": {hostileHeader}, "X-Zitadel-Orgid": {hostileHeader}, "Authorization": {"Bearer none"}, "Te": {"trailers"},
		}
		response, err := transport.RoundTrip(request)
		ts.Check(err)
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		transport.CloseIdleConnections()
	}
}

// harmless looks for what a terminal would obey in what was printed: harmless FILE...
func harmless(ts *testscript.TestScript, _ bool, args []string) {
	for _, file := range args {
		text := ts.ReadFile(file)
		for i, r := range text {
			visible := unicode.IsGraphic(r) || r == '\n' || r == '\t'
			if _, size := utf8.DecodeRuneInString(text[i:]); !visible || r == utf8.RuneError && size == 1 {
				ts.Fatalf("%s has %s in it:\n%+q", file, fmt.Sprintf("%+q", r), text)
			}
		}
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "ok\t") || line == "ok\n" {
				ts.Fatalf("%s has a line that others made:\n%q", file, text)
			}
		}
	}
}
