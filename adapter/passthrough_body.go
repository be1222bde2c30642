package adapter

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// requestBody notes whether its client failed to send it.
type requestBody struct {
	io.ReadCloser

	controller  *http.ResponseController
	mu          sync.Mutex
	broken      bool
	interrupted bool
}

func (b *requestBody) Read(into []byte) (int, error) {
	n, err := b.ReadCloser.Read(into)
	if err != nil && !errors.Is(err, io.EOF) {
		b.mu.Lock()
		b.broken = !b.interrupted
		b.mu.Unlock()
	}
	return n, err
}

func (b *requestBody) failed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.broken
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
	i.body.interrupted = true
	i.body.mu.Unlock()
	return i.body.controller.SetReadDeadline(time.Unix(1, 0))
}

// passedResponse is the answer to a request that passes through. It keeps
// net/http from adding to it.
type passedResponse struct {
	http.ResponseWriter

	// status is the final HTTP status, 0 before it is known.
	status       int
	trailersOnly bool
}

// WriteHeader sends the headers.
func (w *passedResponse) WriteHeader(status int) {
	if status >= http.StatusOK || status == http.StatusSwitchingProtocols {
		header := w.Header()
		if _, ok := header["Content-Type"]; !ok {
			header["Content-Type"] = nil // or else net/http guesses one
		}
		w.status, w.trailersOnly = status, header["Grpc-Status"] != nil
	}
	w.ResponseWriter.WriteHeader(status)
}

// FlushError sends what is there. The headers of a gRPC answer that is trailers
// only must be its end too, so they wait for it.
func (w *passedResponse) FlushError() error {
	if w.trailersOnly {
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
