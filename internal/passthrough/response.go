package passthrough

import (
	"errors"
	"io"
	"net/http"
	"sync"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/listener"
	"zitadel-v1-adapter/internal/rpcstatus"
)

// interruptible is a body whose Close ends a Read that waits. net/http's HTTP/2 transport counts
// on that when the upstream resets a stream, and ReverseProxy takes it away: a client that keeps
// its side of the stream open would never hear of the reset.
type interruptible struct {
	io.Reader

	exchange *ingress.Exchange
}

func (i interruptible) Close() error { return i.exchange.InterruptBody() }

// response is the answer of ZITADEL on its way to the client. It keeps net/http from
// adding to it.
type response struct {
	*ingress.Exchange

	request    *http.Request
	host       string // under which ZITADEL is asked
	headOnly   bool
	fullDuplex bool
	isWhole    bool // it was not cut

	// For the log. One of them says why ZITADEL did not answer.
	code  connect.Code // of a request that failed; 0: see the answer
	cause error        // why it did
	rule  string       // which it broke: a section of an RFC, or a key of the configuration's
}

// refuse answers a request that does not go to ZITADEL, because of a rule.
func (w *response) refuse(rule string, refusal *rpcstatus.Status) {
	w.rule = rule
	rpcstatus.Write(w.Exchange, w.request, refusal)
}

// WriteHeader sends the headers.
func (w *response) WriteHeader(status int) {
	header := w.Header()
	switch {
	case status == http.StatusContinue && w.request.Header.Get("Expect") != "":
		return // net/http sends one when the upstream's makes the transport read the body
	case status < http.StatusOK && !w.request.ProtoAtLeast(1, 1):
		return // HTTP/1.0 knows no interim answers (RFC 9110 section 15.2)
	case status >= http.StatusOK:
		if _, ok := header["Content-Type"]; !ok {
			header["Content-Type"] = nil // or else net/http guesses one
		}
		w.headOnly = status == http.StatusNoContent || status == http.StatusNotModified || w.request.Method == http.MethodHead ||
			header["Grpc-Status"] != nil || header.Get("Content-Length") == "0"
		w.goFullDuplex()
	}
	w.Exchange.WriteHeader(status)
}

// goFullDuplex lets the answer begin before the request has ended, over HTTP/1.1. net/http would
// first read what is left of the body, away from the upstream. If the client still waits for a
// 100 (Continue) that will not come, net/http closes the connection, and says so.
func (w *response) goFullDuplex() {
	if w.request.ProtoMajor != 1 || listener.ConnOf(w.request.Context()) == nil {
		return
	}
	if body := w.Body(); remains(body) && (body.Begun || w.request.Header.Get("Expect") == "") {
		w.fullDuplex = http.NewResponseController(w.Exchange).EnableFullDuplex() == nil
	}
}

// remains reports whether the client has yet to send some of a body.
func remains(body ingress.BodyState) bool { return !body.Whole && !body.Broken }

// finish ends an exchange whose answer was faster than its request, which makes it the
// connection's last. net/http would read on for the end of the request, and panic when it came
// (it reads twice at once); so the end is made here, of whatever net/http has read already.
func (w *response) finish() {
	if !w.fullDuplex {
		return
	}
	body := w.Body()
	cut := body.Broken
	if remains(body) {
		_ = w.FlushError()
		listener.ConnOf(w.request.Context()).HangUp()
		_, err := io.Copy(io.Discard, w.request.Body)
		cut = err != nil && !errors.Is(err, io.ErrUnexpectedEOF)
	}
	if cut {
		// Nobody knows where this request ends: what follows must not be read as another.
		_ = w.Exchange.FlushError()
		panic(http.ErrAbortHandler) //nolint:forbidigo // net/http's way to close a connection
	}
}

// Flush is FlushError.
func (w *response) Flush() { _ = w.FlushError() } // a client that is gone needs no answer

// FlushError sends what is there. Headers that no body follows wait for the end, so that over
// HTTP/2 they are the end: a gRPC answer that is trailers only would otherwise have none.
func (w *response) FlushError() error {
	if w.headOnly {
		return nil
	}
	return w.Exchange.FlushError()
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
