package framing_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"zitadel-v1-adapter/internal/listener/framing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// handled is a handler that records the requests it could read completely.
type handled struct {
	mu       sync.Mutex
	requests []string // method, target and body
}

func (h *handled) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	h.requests = append(h.requests, r.Method+" "+r.RequestURI+" "+string(body))
	h.mu.Unlock()
}

// exchange sends bytes, in segments of at most segment bytes, to a net/http server that
// uses this package. It returns the requests that the server handled, and its answer.
func exchange(tb testing.TB, sent []byte, segment int) (requests []string, answer []byte) {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	h := &handled{}
	server := &http.Server{Handler: h, Protocols: protocols, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(framing.NewListener(listener, nil)) }()
	defer func() { _ = server.Close(); <-done }()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for len(sent) > 0 {
		n := min(segment, len(sent))
		if _, err := conn.Write(sent[:n]); err != nil { // the server has rejected the request and closed the connection
			break
		}
		sent = sent[n:]
	}
	_ = conn.(*net.TCPConn).CloseWrite()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	answer, err = io.ReadAll(conn)
	if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
		tb.Fatalf("the server did not close the connection within 10s; got %q", answer)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.requests), answer
}

// Ambiguous requests are rejected, however the network splits them into segments, and
// so is everything that follows on the connection.
func TestAmbiguousRequestsAreRejected(t *testing.T) {
	t.Parallel()
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, sent := range map[string]string{
		"length and coding":               "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"coding and length":               "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
		"two lengths":                     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 35\r\n\r\n",
		"the same length twice":           "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\ncontent-length: 0\r\n\r\n",
		"a list of lengths":               "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0, 0\r\n\r\n",
		"signed length":                   "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +0\r\n\r\n",
		"hexadecimal length":              "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x0\r\n\r\n",
		"huge length":                     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551616\r\n\r\n",
		"empty length":                    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\n",
		"two codings":                     "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"a list of codings":               "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"unknown coding":                  "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"coding cut short":                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunk\r\n\r\n0\r\n\r\n",
		"coding in HTTP/1.0":              "POST / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"folded line":                     "GET / HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\r\n",
		"folded line, tab":                "GET / HTTP/1.1\r\nHost: x\r\nX-A: b\r\n\tc\r\n\r\n",
		"folded coding":                   "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
		"folded first line":               "GET / HTTP/1.1\r\n Host: x\r\n\r\n",
		"line of spaces only":             "GET / HTTP/1.1\r\nHost: x\r\n \r\n\r\n",
		"space in a name":                 "GET / HTTP/1.1\r\nHost: x\r\nX A: b\r\n\r\n",
		"space after a name":              "POST / HTTP/1.1\r\nHost: x\r\nContent-Length : 0\r\n\r\n",
		"tab after a name":                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
		"line without colon":              "GET / HTTP/1.1\r\nHost: x\r\nX-A\r\n\r\n",
		"bare LF after a request line":    "GET / HTTP/1.1\nHost: x\r\n\r\n",
		"bare LF after a value":           "POST / HTTP/1.1\r\nHost: x\r\nX-A: b\nContent-Length: 5\r\n\r\n",
		"bare LF after a length":          "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\nX-A: b\r\n\r\n",
		"bare LF after a coding":          "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\n\r\n0\r\n\r\n",
		"bare LF at the end of headers":   "GET / HTTP/1.1\r\nHost: x\r\n\n",
		"bare LFs alone":                  "GET / HTTP/1.1\nHost: x\n\n",
		"bare LF in a trailer":            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\n\r\n",
		"CR in a length":                  "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r \r\n\r\n",
		"NUL in a value":                  "GET / HTTP/1.1\r\nHost: x\r\nX-A: \x00\r\n\r\n",
		"CR in a value":                   "GET / HTTP/1.1\r\nHost: x\r\nX-A: b\rContent-Length: 5\r\n\r\n",
		"CR at the end":                   "GET / HTTP/1.1\r\nHost: x\r\n\rX-A: b\r\n\r\n",
		"no Host":                         "GET / HTTP/1.1\r\n\r\n",
		"two Hosts":                       "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"chunk without size":              "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
		"chunk size is not a number":      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
		"signed chunk size":               "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
		"huge chunk size":                 "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000001\r\na\r\n0\r\n\r\n",
		"space after a chunk size":        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n",
		"bare LF after a chunk size":      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
		"bare LF in a chunk extension":    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n",
		"chunk longer than its size":      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
		"chunk without its end":           "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na0\r\n\r\n",
		"folded trailer":                  "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\n c\r\n\r\n",
		"preface with LF instead of CRLF": "PRI * HTTP/2.0\n\n",
		"preface after a request":         "POST / HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"HTTP/2.0 in a request line":      "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
		"space before the version's end":  "GET / HTTP/1.0 \r\nHost: x\r\n\r\n",
	} {
		for _, segment := range []int{1, 7, len(sent) + len(smuggled)} {
			requests, answer := exchange(t, []byte(sent+smuggled), segment)
			if len(requests) > 0 || !bytes.HasPrefix(answer, []byte("HTTP/1.1 4")) && !bytes.HasPrefix(answer, []byte("HTTP/1.1 50")) {
				t.Errorf("%s, segments of %d: handled %q, answered %.60q; want nothing handled and status 4xx or 50x", name, segment, requests, answer)
			}
		}
	}
}

// Valid requests are handled completely, one after the other.
func TestValidRequestsPass(t *testing.T) {
	t.Parallel()
	const getB = "GET /b HTTP/1.1\r\nHost: x\r\n\r\n"
	for sent, want := range map[string][]string{
		"GET /a HTTP/1.1\r\nHost: x\r\n\r\n" + getB: {"GET /a ", "GET /b "},
		"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length:  6\t\r\n\r\n\n X: \r\r\n\r\n" + getB: {
			"POST /a \n X: \r", "GET /b ",
		},
		"POST /a HTTP/1.1\r\nHost: x\r\ntransfer-encoding: Chunked \r\n\r\n" +
			"1;a=\"b\"\r\nc\r\n0A\r\n0123456789\r\n0\r\nX-T: u\r\n\r\n" + getB: {
			"POST /a c0123456789", "GET /b ",
		},
		"POST /a HTTP/1.0\r\nHost: x\r\nContent-Length: 1\r\n\r\nc": {"POST /a c"},
		"P /a HTTP/1.1\r\nHost: x\r\n\r\nPR /b HTTP/1.1\r\nHost: x\r\n\r\nPRINT /c HTTP/1.1\r\nHost: x\r\n\r\n": {
			"P /a ", "PR /b ", "PRINT /c ",
		},
		"PRINT /a HTTP/1.1\r\nHost: x\r\nX-Content-Length: a b\r\nTransfer-Encoding-X: \r\n\r\n": {"PRINT /a "},
	} {
		for _, segment := range []int{1, 3, len(sent)} {
			if requests, answer := exchange(t, []byte(sent), segment); !slices.Equal(requests, want) {
				t.Errorf("%q, segments of %d: handled %q, want %q; answered %.60q", sent, segment, requests, want, answer)
			}
		}
	}
}

// HTTP/2 with prior knowledge, and a connection that was hijacked, are not checked.
func TestOtherProtocolsAreNotChecked(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Protocols: protocols,
		ConnState: func(conn net.Conn, state http.ConnState) {
			if watched, ok := conn.(*framing.Conn); ok && state == http.StateHijacked {
				watched.Unwatch()
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor == 2 {
				_, _ = io.Copy(w, r.Body)
				return
			}
			conn, buffered, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = conn.Close() }()
			_, _ = io.WriteString(conn, "hijacked\n")
			_, _ = io.Copy(conn, io.LimitReader(buffered, 10))
		}),
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(framing.NewListener(listener, nil)) }()
	defer func() { _ = server.Close(); <-done }()

	onlyHTTP2 := new(http.Protocols)
	onlyHTTP2.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: onlyHTTP2}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Post("http://"+listener.Addr().String(), "", strings.NewReader("a\r\n b"))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if response.ProtoMajor != 2 || string(body) != "a\r\n b" {
		t.Errorf("got HTTP/%d %q, want HTTP/2 %q", response.ProtoMajor, body, "a\r\n b")
	}

	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReader(conn)
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	if line, err := reader.ReadString('\n'); line != "hijacked\n" {
		t.Fatalf("got %q, %v, want %q", line, err, "hijacked\n")
	}
	const sent = "A: b\n c: d"
	_, _ = io.WriteString(conn, sent)
	if echo, err := io.ReadAll(reader); string(echo) != sent {
		t.Errorf("got %q, %v, want %q", echo, err, sent)
	}
}

// countedConn counts what is read, and has it all at once.
type countedConn struct {
	net.Conn

	sent  *bytes.Reader
	reads int
}

func (c *countedConn) Read(into []byte) (int, error) {
	c.reads++
	return c.sent.Read(into)
}

// Over HTTP/2, of which net/http reads each frame in two pieces, all that has come is read at once.
func TestFramesAreReadAtOnce(t *testing.T) {
	t.Parallel()
	const preface, frames = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 20
	counted := &countedConn{sent: bytes.NewReader([]byte(preface + strings.Repeat("frame header", frames)))}
	conn := &framing.Conn{Conn: counted}
	read := func(size int) string {
		piece := make([]byte, size)
		if _, err := io.ReadFull(conn, piece); err != nil {
			t.Fatal(err)
		}
		return string(piece)
	}
	if got := read(len(preface)); got != preface {
		t.Errorf("got preface %q", got)
	}
	for range frames {
		if got := read(len("frame ")) + read(len("header")); got != "frame header" {
			t.Errorf("got frame %q", got)
		}
	}
	if counted.reads != 2 {
		t.Errorf("read %d times, want once for the preface, and once for the frames", counted.reads)
	}
}
