package adapter

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"zitadel-v1-adapter/internal/framing"
)

// requestBody notes how far its client has come with sending it.
type requestBody struct {
	io.ReadCloser

	controller  *http.ResponseController
	mu          sync.Mutex
	begun       bool
	whole       bool // or empty
	broken      bool
	interrupted bool
	ended       bool // the handler has returned
}

func (b *requestBody) Read(into []byte) (int, error) {
	b.mu.Lock()
	b.begun = true
	b.mu.Unlock()
	n, err := b.ReadCloser.Read(into)
	if err != nil {
		b.mu.Lock()
		b.whole = errors.Is(err, io.EOF)
		b.broken = !b.whole && !b.interrupted
		b.mu.Unlock()
	}
	return n, err
}

// failed reports whether the client did not send the body properly.
func (b *requestBody) failed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.broken
}

// remains reports whether the client has yet to send some of the body, and
// whether somebody has begun to read it.
func (b *requestBody) remains() (begun, remains bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.begun, !b.whole && !b.broken
}

// end must come before the handler returns: after that nothing may touch the
// request any more, and the transport may still be closing bodies.
func (b *requestBody) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
}

// interruptible is a body whose Close ends a Read that waits. net/http's HTTP/2
// transport counts on that when the upstream resets a stream, and ReverseProxy
// takes it away: a client that keeps its side of the stream open would never
// hear of the reset.
type interruptible struct {
	io.Reader

	body *requestBody
}

func (i interruptible) Close() error {
	i.body.mu.Lock()
	defer i.body.mu.Unlock()
	if i.body.ended {
		return nil
	}
	i.body.interrupted = true
	return i.body.controller.SetReadDeadline(time.Unix(1, 0))
}

// passedResponse is the answer to a request that passes through. It keeps
// net/http from adding to it.
type passedResponse struct {
	http.ResponseWriter

	// status is the final HTTP status, 0 before it is known.
	status     int
	headOnly   bool
	request    *http.Request
	body       *requestBody // nil if the request is not passed on
	fullDuplex bool
}

// WriteHeader sends the headers.
func (w *passedResponse) WriteHeader(status int) {
	if status < http.StatusOK && w.request != nil {
		if status == http.StatusContinue && w.request.Header.Get("Expect") != "" {
			return // net/http sends one when the upstream's makes the transport read the body
		}
		if !w.request.ProtoAtLeast(1, 1) {
			return // HTTP/1.0 knows no interim answers (RFC 9110 section 15.2)
		}
	}
	if status >= http.StatusOK {
		header := w.Header()
		if _, ok := header["Content-Type"]; !ok {
			header["Content-Type"] = nil // or else net/http guesses one
		}
		w.status = status
		w.headOnly = status == http.StatusNoContent || status == http.StatusNotModified ||
			header["Grpc-Status"] != nil || header.Get("Content-Length") == "0" ||
			w.request != nil && w.request.Method == http.MethodHead
		w.goFullDuplex()
	}
	w.ResponseWriter.WriteHeader(status)
}

// goFullDuplex lets the answer begin before the request has ended, over HTTP/1.1.
// Otherwise net/http would first read what is left of the body, away from the
// upstream. Not so if the client still waits for a 100 (Continue) that will not
// come: net/http then closes the connection, and says so.
func (w *passedResponse) goFullDuplex() {
	if w.body == nil || w.request.ProtoMajor != 1 || framing.FromContext(w.request.Context()) == nil {
		return
	}
	begun, remains := w.body.remains()
	if remains && (begun || w.request.Header.Get("Expect") == "") {
		w.fullDuplex = http.NewResponseController(w.ResponseWriter).EnableFullDuplex() == nil
	}
}

// finish ends an exchange whose answer was faster than its request, which makes
// it the connection's last. net/http would read on for the end of the request,
// and panic when it came (it has let go of the request, and then reads twice at
// once); so the end is made here, of whatever net/http has read already.
func (w *passedResponse) finish() {
	if !w.fullDuplex {
		return
	}
	cut := w.body.failed()
	if _, remains := w.body.remains(); remains {
		_ = w.FlushError()
		framing.FromContext(w.request.Context()).HangUp()
		_, err := io.Copy(io.Discard, w.body.ReadCloser)
		cut = err != nil && !errors.Is(err, io.ErrUnexpectedEOF)
	}
	if cut {
		// Nobody knows where this request ends: what follows must not be read as
		// another (net/http does not look any more, once the answer has begun).
		_ = http.NewResponseController(w.ResponseWriter).Flush()
		panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's way to close a connection
	}
}

// hangUp ends the reading from an HTTP/1.1 client whose request has not ended:
// net/http would wait for that before it cuts the connection.
func (w *passedResponse) hangUp() {
	if conn := framing.FromContext(w.request.Context()); conn != nil && w.request.ProtoMajor == 1 {
		conn.HangUp()
	}
}

// Hijack gives the connection to a WebSocket; ReverseProxy writes the 101 itself.
func (w *passedResponse) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.status = http.StatusSwitchingProtocols
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// FlushError sends what is there. Headers that no body follows wait for the end,
// so that over HTTP/2 they are the end: a gRPC answer that is trailers only would
// otherwise be one without trailers.
func (w *passedResponse) FlushError() error {
	if w.headOnly {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap is for http.ResponseController.
func (w *passedResponse) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// grpcStatus is the number in the answer's grpc-status, "" if it has none.
func (w *passedResponse) grpcStatus() string {
	for _, name := range []string{http.TrailerPrefix + "Grpc-Status", "Grpc-Status"} {
		if value := w.Header().Get(name); value != "" {
			return value
		}
	}
	return ""
}

// bufferPool lends ReverseProxy what it copies answers with.
type bufferPool struct{ pool sync.Pool }

func (b *bufferPool) Get() []byte {
	if buffer, ok := b.pool.Get().(*[]byte); ok {
		return *buffer
	}
	return make([]byte, 32<<10)
}

func (b *bufferPool) Put(buffer []byte) { b.pool.Put(&buffer) }
