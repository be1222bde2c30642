package adapter

import (
	"bufio"
	"net"
	"net/http"
	"time"
)

// answer notes whether an answer has begun: until then it can be another one. It
// gives the client so much time to take what is written: one that takes nothing holds
// up a call, and over HTTP/2 could hold up as many as it likes.
type answer struct {
	http.ResponseWriter

	begun    bool
	timeout  time.Duration
	streamed bool // the time is each piece's, not that of the whole
	hijacked bool
}

// WriteHeader sends the headers.
func (a *answer) WriteHeader(status int) {
	if status >= http.StatusOK {
		defer a.limit()()
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(data []byte) (int, error) {
	defer a.limit()()
	return a.ResponseWriter.Write(data)
}

// Flush sends what is there. connect-go looks for it.
func (a *answer) Flush() { _ = a.FlushError() } // a client that is gone needs no answer

// FlushError is Flush for http.ResponseController.
func (a *answer) FlushError() error {
	defer a.limit()()
	return http.NewResponseController(a.ResponseWriter).Flush()
}

// limit begins the time for taking what is written now. What it returns ends that, if
// more may be written later: over HTTP/2, time that is up ends an answer even when
// nothing is being written.
func (a *answer) limit() (taken func()) {
	if a.begun && !a.streamed {
		return func() {}
	}
	a.begun = true
	controller := http.NewResponseController(a.ResponseWriter)
	_ = controller.SetWriteDeadline(time.Now().Add(a.timeout)) // fails only for writers that are not net/http's
	if !a.streamed {
		return func() {}
	}
	return func() { _ = controller.SetWriteDeadline(time.Time{}) }
}

// finish is called when the handler returns: what is left is for net/http to write, and
// has its time too.
func (a *answer) finish() {
	if a.streamed && !a.hijacked {
		a.limit()
	}
}

// Hijack gives the connection away, and with it all limits.
func (a *answer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	a.begun, a.hijacked = true, true
	return http.NewResponseController(a.ResponseWriter).Hijack()
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
