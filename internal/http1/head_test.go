package http1_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// headers that net/http refuses, or changes: line ends could make a header or a request of a
// value, and spaces at the edges could be read in two ways.
var headers = []string{
	"X-A: b\nAuthorization: Bearer t\nUser-Agent: u\nX-A: c", "User-Agent: ", "Connection: x\nContent-Length: 9\nHost: y",
	"x-lower: a\nX-Space:  c \nX-Tab: \tc\t", "X-CR: a\rb", "X-CRLF: a\r\tb", "X-NUL: a\x00b", "X-DEL: a\x7fb", "X-High: \xff",
	"\xff: b", "X Space: b", "X-Colon:: b", ": b", "Transfer-Encoding: chunked\nTrailer: x", "X-Empty: ", "Connection: close",
}

// What reaches the peer is, byte by byte, what net/http's Transport sends.
func TestRequestsAreNetHTTPs(t *testing.T) {
	t.Parallel()
	for _, header := range append(headers, "X-LF: a%0Ab", "X-CRLF: a%0D%0AX-B: c", "X-Edge: %0A", "X-Edge: a%0D%0A") {
		for _, body := range []string{"", "body"} {
			compareRequests(t, http.MethodPost, "/a/b?c=d", "zitadel.example.com:8080", header, body, false)
		}
	}
	for _, method := range []string{"", "GET", "HEAD", "PUT", "DELETE", "x", "A B", "A\r\nB", "Ä"} {
		for _, host := range []string{"x", "[::1]:80", "A.example", "b ü", "a b", "a\nb", "[fe80::1%25en0]"} {
			compareRequests(t, method, "/%2F?", host, "", "body", true)
		}
	}
}

// FuzzWriteHead compares any requests.
func FuzzWriteHead(f *testing.F) {
	for _, header := range headers {
		f.Add("POST", "/a/b?c=d", "localhost", header, "body", false)
	}
	f.Add("DELETE", "//x", "A.example", "", "", true)
	f.Fuzz(func(t *testing.T, method, target, host, header, body string, last bool) {
		if len(header) > 4096 || len(target) > 4096 {
			t.Skip("net/http's server need not read it")
		}
		compareRequests(t, method, target, host, header, body, last)
	})
}

// compareRequests sends the same request through both. Values may have line ends as %0D, %0A.
func compareRequests(t *testing.T, method, target, host, header, body string, last bool) {
	t.Helper()
	to, err := url.ParseRequestURI(target)
	if err != nil || method == http.MethodConnect {
		return
	}
	to.Scheme, to.Host = "http", "upstream"
	lines := strings.NewReplacer("%0D", "\r", "%0A", "\n")
	send := func(client func(*peer) transport) (arrived string, failed bool) {
		request := &http.Request{Method: method, URL: to, Host: host, Header: http.Header{}, Close: last}
		if body != "" {
			request.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
			request.Body, _ = request.GetBody()
			request.ContentLength = int64(len(body))
		}
		for line := range strings.SplitSeq(header, "\n") {
			if name, value, ok := strings.Cut(line, ": "); ok {
				request.Header[name] = append(request.Header[name], lines.Replace(value))
			}
		}
		var raw bytes.Buffer
		p := newPeer(func(l *link) {
			request, err := http.ReadRequest(bufio.NewReader(io.TeeReader(l.stream, &raw)))
			if err != nil {
				raw.Reset()
				raw.WriteString(err.Error())
				return
			}
			_, _ = io.Copy(io.Discard, request.Body)
			_, _ = io.WriteString(l.stream, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
		})
		with := client(p)
		response, err := with.RoundTrip(request)
		if err == nil {
			_ = response.Body.Close()
		}
		with.CloseIdleConnections()
		p.serving.Wait()
		return raw.String(), err != nil
	}
	got, failed := send((*peer).oursAsTransport)
	want, wantFailed := send((*peer).netHTTPAsTransport)
	if failed && wantFailed { // ours may have dialed before it noticed, or the other way round
		return
	}
	if got != want || failed != wantFailed {
		t.Errorf("method %q, target %q, host %q, header %q: got %q, error: %v; net/http sends %q, error: %v",
			method, target, host, header, got, failed, want, wantFailed)
	}
}

// A request with a body in memory leaves in one piece, though net/http does not know the
// body's type: two would wake the peer twice.
func TestBodyInMemoryLeavesWithItsHead(t *testing.T) {
	t.Parallel()
	near, far, err := connected()
	if err != nil {
		t.Fatal(err)
	}
	counted := &counting{Conn: near}
	client := over(counted)
	request := postRequest("http://x")
	request.Body = struct{ io.ReadCloser }{request.Body}
	go func() { _, _ = io.WriteString(far, ok) }()
	response, err := client.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	_ = far.Close()
	if got := counted.writes.Load(); got != 1 {
		t.Errorf("got %d pieces, want 1", got)
	}
}

// counting is a connection that counts what is written.
type counting struct {
	net.Conn

	writes atomic.Int32
}

func (c *counting) Write(data []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(data)
}
