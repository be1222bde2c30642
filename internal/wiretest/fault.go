package wiretest

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Fault handles a request incorrectly. answer makes the handler behind the proxy handle
// the request, and returns the bytes of its HTTP/1.1 response. After the Fault returns,
// the connection is closed, or reset if the Fault has called Reset.
type Fault func(conn *FaultyConn, answer func() []byte)

// FaultyConn is the connection of a request that a Fault handles.
type FaultyConn struct {
	net.Conn

	// Gone is closed when the client has closed the connection.
	Gone <-chan struct{}
}

// Reset makes closing the connection reset it (RST).
func (c *FaultyConn) Reset() { reset(c.Conn) }

// FaultProxy serves a handler over HTTP/1.1 on a TCP port, and handles the requests that
// Choose selects with a Fault. It is safe for concurrent use.
type FaultProxy struct {
	*faultListener
	FaultChoice[Fault]

	handler http.Handler
}

// NewFaultProxy returns a FaultProxy that serves until the test ends, at first without
// faults.
func NewFaultProxy(tb testing.TB, handler http.Handler) *FaultProxy {
	tb.Helper()
	p := &FaultProxy{handler: handler}
	p.faultListener = newFaultListener(tb, p.serve)
	return p
}

// FaultChoice selects the fault for each request; F is Fault or HTTP2Fault. It is safe for
// concurrent use.
type FaultChoice[F any] struct {
	choose atomic.Pointer[func(*http.Request) F]
}

// Choose sets the function that returns the fault for a request, or nil to answer it
// correctly. It is called concurrently. Default: no faults.
func (c *FaultChoice[F]) Choose(choose func(*http.Request) F) { c.choose.Store(&choose) }

func (c *FaultChoice[F]) of(r *http.Request) (fault F) {
	if choose := c.choose.Load(); choose != nil {
		fault = (*choose)(r)
	}
	return fault
}

// RandomFaults returns a function that returns a random name for one call in oneIn on
// average, and otherwise "". The sequence depends only on names and seed. The function is
// safe for concurrent use.
func RandomFaults(names []string, seed uint64, oneIn int) func() string {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // no secret
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(oneIn) > 0 {
			return ""
		}
		return names[random.IntN(len(names))]
	}
}

// serve answers the requests on one connection until a Fault has handled one.
func (p *FaultProxy) serve(conn net.Conn) {
	reader := bufio.NewReader(conn)
	for {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return
		}
		request.Body = io.NopCloser(bytes.NewReader(body))
		fault := p.of(request)
		if fault == nil {
			if _, err := conn.Write(p.answer(request)); err != nil {
				return
			}
			continue
		}
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_, _ = reader.ReadByte() // blocks until the client closes: net/http's client sends no second request yet
		}()
		fault(&FaultyConn{Conn: conn, Gone: gone}, func() []byte { return p.answer(request) })
		_ = conn.Close()
		<-gone
		return
	}
}

// answer returns the bytes of the handler's HTTP/1.1 response.
func (p *FaultProxy) answer(request *http.Request) []byte {
	recorder := httptest.NewRecorder()
	request.RequestURI = ""
	p.handler.ServeHTTP(recorder, request)
	response := recorder.Result()
	defer func() { _ = response.Body.Close() }()
	response.ContentLength = int64(recorder.Body.Len())
	var wire bytes.Buffer
	_ = response.Write(&wire) // into memory
	return wire.Bytes()
}

// truncated returns a response without the last byte of its body, with a Content-Length
// that matches.
func truncated(wire []byte) []byte {
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(wire)), nil) //nolint:bodyclose // in memory
	if err != nil {
		return nil
	}
	body, _ := io.ReadAll(response.Body) // from memory
	body = body[:max(len(body)-1, 0)]
	response.Body, response.ContentLength, response.Close = io.NopCloser(bytes.NewReader(body)), int64(len(body)), true
	var out bytes.Buffer
	_ = response.Write(&out) // into memory
	return out.Bytes()
}

// write makes ZITADEL handle the request, and answers with a text.
func write(text string) Fault {
	return func(conn *FaultyConn, answer func() []byte) {
		answer()
		_, _ = io.WriteString(conn, text)
	}
}

// long is write with many an x after the text, of which two are a field of protobuf: nothing is
// wrong but the size. The text is made when the fault happens.
func long(text string, many int) Fault {
	return func(conn *FaultyConn, answer func() []byte) { write(text+strings.Repeat("x", many))(conn, answer) }
}

// Faults returns the faults of an upstream over HTTP/1.1, by name. Those that answer make
// ZITADEL handle the request first, which is the harder case. Their complete responses
// contain Connection: close, because otherwise the client might send its next request on a
// connection that is being closed.
func Faults() map[string]Fault {
	page := func(status string) Fault {
		return write("HTTP/1.1 " + status + "\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: 27\r\n\r\n<html>load balancer</html>\n")
	}
	return map[string]Fault{
		"reset before it is handled":  func(conn *FaultyConn, _ func() []byte) { conn.Reset() },
		"closed before it is handled": func(*FaultyConn, func() []byte) {},
		"reset after it was handled": func(conn *FaultyConn, answer func() []byte) {
			answer()
			conn.Reset()
		},
		"reset in the middle of the answer": func(conn *FaultyConn, answer func() []byte) {
			wire := answer()
			_, _ = conn.Write(wire[:len(wire)-5])
			conn.Reset()
		},
		"closed in the middle of the answer": func(conn *FaultyConn, answer func() []byte) {
			wire := answer()
			_, _ = conn.Write(wire[:len(wire)-5])
		},
		"closed in the middle of the headers": func(conn *FaultyConn, answer func() []byte) { _, _ = conn.Write(answer()[:20]) },
		"hangs before the headers":            func(conn *FaultyConn, _ func() []byte) { <-conn.Gone },
		"hangs after it was handled": func(conn *FaultyConn, answer func() []byte) {
			answer()
			<-conn.Gone
		},
		"hangs after the headers": func(conn *FaultyConn, answer func() []byte) {
			head, _, _ := bytes.Cut(answer(), []byte("\r\n\r\n"))
			_, _ = conn.Write(append(head, "\r\n\r\n"...))
			<-conn.Gone
		},
		"hangs for 30 s": func(conn *FaultyConn, answer func() []byte) {
			wire := answer()
			select {
			case <-conn.Gone:
			case <-time.After(30 * time.Second):
				_, _ = conn.Write(wire)
			}
		},
		"hangs after every byte": func(conn *FaultyConn, answer func() []byte) {
			for _, octet := range answer() {
				if _, err := conn.Write([]byte{octet}); err != nil {
					return
				}
				select {
				case <-conn.Gone:
					return
				case <-time.After(time.Second):
				}
			}
		},
		"truncated message":   func(conn *FaultyConn, answer func() []byte) { _, _ = conn.Write(truncated(answer())) },
		"garbage":             write("\x00\x01\x02 garbage \xff\xfe\r\n\r\n"),
		"garbage as protobuf": write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/proto\r\nContent-Length: 4\r\n\r\n\xff\xff\xff\xff"),
		"wrong content type":  write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"),
		"HTML with 200":       page("200 OK"),
		"HTML with 500":       page("500 Internal Server Error"),
		"HTML with 502":       page("502 Bad Gateway"),
		"HTML with 503":       page("503 Service Unavailable"),
		"oversized answer":    long("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/proto\r\nContent-Length: 2097152\r\n\r\n", 2<<20),
		"endless headers":     long("HTTP/1.1 200 OK\r\nX: ", 1<<20),
	}
}
