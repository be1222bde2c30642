package adapter

import (
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"

	"connectrpc.com/connect"
)

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
