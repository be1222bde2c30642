package adapter

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"

	"connectrpc.com/connect"
)

// answer notes whether an answer has begun: until then it can be another one.
type answer struct {
	http.ResponseWriter

	begun bool
}

// WriteHeader sends the headers.
func (a *answer) WriteHeader(status int) {
	a.begun = a.begun || status >= http.StatusOK
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(data []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(data)
}

// Flush sends what is there. connect-go looks for it.
func (a *answer) Flush() {
	a.begun = true
	_ = http.NewResponseController(a.ResponseWriter).Flush() // a client that is gone needs no answer
}

// Hijack gives the connection away.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	a.begun = true
	return http.NewResponseController(a.ResponseWriter).Hijack()
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// recoverPanic, deferred, lets a panic cost no more than its own call: code 13 in
// the caller's protocol, or the end of the connection if an answer has begun. The
// log gets the stack, but of the panic's value only its type, unless it is the Go
// runtime's: nobody knows what else is in it.
//
// contentType is the request's, which may have been changed since.
func (f *facade) recoverPanic(w *answer, r *http.Request, contentType string) {
	value := recover()
	switch value {
	case nil:
		return
	case http.ErrAbortHandler: // net/http's way to cut an answer
		panic(value) //nolint:forbidigo // same
	}
	kind := fmt.Sprintf("%T", value)
	if fault, ok := value.(runtime.Error); ok {
		kind += ": " + fault.Error()
	}
	f.journal.log.ErrorContext(r.Context(), "panic", "cause", kind, "stack", string(debug.Stack()))
	if f.onPanic != nil {
		f.onPanic()
	}
	if w.begun {
		panic(http.ErrAbortHandler) //nolint:forbidigo // same
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	f.errors.write(w, r, newStatus(connect.CodeInternal, "internal error"))
}
