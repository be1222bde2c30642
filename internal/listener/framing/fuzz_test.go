package framing

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"testing"
)

// FuzzWatch reads what a watch lets through with net/http's own parser, which must find
// no other requests than the watch, in the same order.
func FuzzWatch(f *testing.F) {
	for _, seed := range []string{
		"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n\n X: \rGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /a HTTP/1.1\r\nHost: x\r\ntransfer-encoding: Chunked \r\n\r\n1;a=b\r\nc\r\n0A\r\n0123456789\r\n0\r\nX-T: u\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\r\n",
		http2Preface,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		passed := bytes.Clone(data)
		var w watch
		var lines [][]byte // the request lines that the watch found, of requests with complete headers
		begin := 0
		for i := range passed {
			before := w.state
			w.inspect(passed[i : i+1])
			if w.state == opaque && before != opaque && bytes.HasSuffix(passed[:i+1], []byte(http2Preface)) {
				return // HTTP/2
			}
			if w.state == requestLine && before != requestLine {
				begin = i
				if before == start {
					begin = 0
				}
			}
			inHeaders := w.state == fieldName || w.state == lineStart || w.state == blankLine
			if (before == lineStart || before == blankLine) && !w.inTrailers && !inHeaders && w.state != opaque {
				line, _, _ := bytes.Cut(passed[begin:], []byte("\n"))
				lines = append(lines, bytes.TrimSuffix(line, []byte("\r")))
			}
		}
		reader := bufio.NewReader(bytes.NewReader(passed))
		for n := 0; ; n++ {
			for { // net/http's server skips line breaks after a POST
				if c, err := reader.Peek(1); err != nil || c[0] != '\r' && c[0] != '\n' {
					break
				}
				_, _ = reader.Discard(1)
			}
			request, err := http.ReadRequest(reader)
			if err != nil || request.ProtoMajor != 1 {
				return
			}
			// net/http's server rejects these, http.ReadRequest alone does not.
			for _, values := range request.Header {
				for _, value := range values {
					if bytes.ContainsFunc([]byte(value), func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7F }) {
						return
					}
				}
			}
			if n >= len(lines) {
				t.Fatalf("net/http found %s %s, want only %q, which the watch found", request.Method, request.RequestURI, lines)
			}
			if got := request.Method + " " + request.RequestURI + " " + request.Proto; got != string(lines[n]) {
				t.Fatalf("net/http found %q, want %q, which the watch found", got, lines[n])
			}
			if _, err := io.Copy(io.Discard, request.Body); err != nil {
				return
			}
		}
	})
}
