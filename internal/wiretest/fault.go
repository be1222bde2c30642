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

// Fault is what becomes of a request instead of its answer. answer makes ZITADEL
// handle the request, and returns what it would have answered, as it would stand
// on the wire. The connection is closed, and by reset if the Fault wants it so,
// when the Fault returns.
type Fault func(conn *FaultyConn, answer func() []byte)

// FaultyConn is a connection that goes wrong.
type FaultyConn struct {
	net.Conn

	// Gone is closed when the other side is.
	Gone <-chan struct{}
}

// Reset makes the end of the connection a reset.
func (c *FaultyConn) Reset() { reset(c.Conn) }

// FaultProxy stands before a handler, over HTTP/1.1 on real sockets, and lets
// requests go wrong. It is safe for concurrent use.
type FaultProxy struct {
	*faultListener
	FaultChoice[Fault]

	handler http.Handler
}

// NewFaultProxy serves until the test ends.
func NewFaultProxy(tb testing.TB, handler http.Handler) *FaultProxy {
	tb.Helper()
	p := &FaultProxy{handler: handler}
	p.faultListener = newFaultListener(tb, p.serve)
	return p
}

// FaultChoice is what becomes of requests: F is Fault or HTTP2Fault. It is safe for
// concurrent use.
type FaultChoice[F any] struct {
	choose atomic.Pointer[func(*http.Request) F]
}

// Choose says, for requests from now on, which go wrong, and how; nil means that
// a request does not.
func (c *FaultChoice[F]) Choose(choose func(*http.Request) F) { c.choose.Store(&choose) }

func (c *FaultChoice[F]) of(r *http.Request) (fault F) {
	if choose := c.choose.Load(); choose != nil {
		fault = (*choose)(r)
	}
	return fault
}

// RandomFaults names a fault for one request in so many, and "" for the others: the
// same for the same seed. It is safe for concurrent use.
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

// serve answers the requests of one connection until one goes wrong.
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
			_, _ = reader.ReadByte() // net/http's client sends nothing more
		}()
		fault(&FaultyConn{Conn: conn, Gone: gone}, func() []byte { return p.answer(request) })
		_ = conn.Close()
		<-gone
		return
	}
}

// answer is the handler's answer as it would stand on the wire.
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

// truncated is an answer whose body is a byte too short, and whose length is right.
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

// Faults are the ways in which an upstream goes wrong, by name. Those that answer
// let ZITADEL handle the request first, which is the worse case. Whole answers say
// that the connection ends: one that does not say so may meet the next request.
func Faults() map[string]Fault {
	write := func(text string) Fault {
		return func(conn *FaultyConn, answer func() []byte) {
			answer()
			_, _ = io.WriteString(conn, text)
		}
	}
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
		"HTML with 403":       page("403 Forbidden"),
		"HTML with 502":       page("502 Bad Gateway"),
		"HTML with 503":       page("503 Service Unavailable"),
		"oversized answer":    write("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/proto\r\nContent-Length: 2097152\r\n\r\n" + strings.Repeat("\x00", 2097152)),
		"endless headers":     write("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20)),
	}
}
