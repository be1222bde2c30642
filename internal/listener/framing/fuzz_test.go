package framing

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
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
		"POST / HTTP/1.1\r\nHost: x\r\nX-A: b\nContent-Length: 5\r\n\r\nGET / HTTP/1.1\r\n\r\n",
		http2Preface,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var inBulk watch
		good := inBulk.inspect(data)
		passed := bytes.Clone(data)
		var w watch
		var lines [][]byte // the request lines that the watch found, of requests with complete headers
		begin := 0
		for i := range passed {
			before := w.state
			if w.inspect(passed[i:i+1]) == 0 {
				passed = append(passed[:i], poisoned...)
				break
			}
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
			if before == blankLine && !w.inTrailers && !inHeaders && w.state != opaque {
				line, _, _ := bytes.Cut(passed[begin:], []byte("\n"))
				lines = append(lines, bytes.TrimSuffix(line, []byte("\r")))
			}
		}
		if want := len(passed) - len(poisoned); good < len(data) && good > want || good == len(data) && w.state != inBulk.state {
			t.Fatalf("in bulk, the watch stopped at %d in state %d; byte by byte, at %d of %d in state %d", good, inBulk.state, want, len(data), w.state)
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

// What the checks cost for a request of 1.3 KB, as browsers and gateways send.
func BenchmarkWatch(b *testing.B) {
	request := []byte("POST /management/v1/users/400850336480234534/password/_initialize HTTP/1.1\r\n" +
		"Host: zitadel.example.com\r\nAccept: application/json\r\nAccept-Encoding: gzip, deflate, br\r\n" +
		"Authorization: Bearer " + strings.Repeat("x", 700) + "\r\nContent-Type: application/json\r\nContent-Length: 29\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36\r\n" +
		"X-Forwarded-For: 203.0.113.7\r\nX-Request-Id: 7c9e6679-7425-40de-944b-e07fc1f90ae7\r\nX-Zitadel-Orgid: 400849858564525094\r\n" +
		"Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n" +
		`{"password":"Sup3rPassw0rd!"}`)
	b.SetBytes(int64(len(request)))
	var w watch
	for b.Loop() {
		if w.inspect(request) != len(request) {
			b.Fatal("refused")
		}
	}
}
