package adapter

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"
)

// Limits bound what v1 calls may take of the adapter. What passes through is not
// limited: ZITADEL has limits of its own.
type Limits struct {
	// CallsInFlight is how many calls may be under way at once; 0 means any
	// number. Further ones are refused at once with code 14, HTTP 503 and
	// Retry-After: it is this adapter that has too much to do, not the caller who
	// asked for too much, and another replica may do it.
	CallsInFlight int
	// BodyTimeout is how long a request may take from its headers to the end of
	// its body. Above 0.
	BodyTimeout time.Duration
}

func (l Limits) validate() error {
	if l.CallsInFlight < 0 {
		return fmt.Errorf("limits.callsInFlight: %d: use a number such as 1000, or 0 for any number", l.CallsInFlight)
	}
	if l.BodyTimeout <= 0 {
		return fmt.Errorf("limits.bodyTimeout: %v: use a duration above 0, such as 30s", l.BodyTimeout)
	}
	return nil
}

// overloaded is the status of a call that is one too many.
func overloaded() *status {
	s := newStatus(connect.CodeUnavailable, "too many calls at once, try again later")
	s.retryAfter = time.Second
	return s
}

// slots counts calls under way.
type slots struct {
	taken atomic.Int64
	most  int64 // 0: any number
}

func (s *slots) take() bool {
	if s.taken.Add(1) > s.most && s.most > 0 {
		s.taken.Add(-1)
		return false
	}
	return true
}

func (s *slots) free() { s.taken.Add(-1) }

// limitBody gives a request's body its time.
func limitBody(w http.ResponseWriter, r *http.Request, timeout time.Duration) {
	body := &timedBody{ReadCloser: r.Body, controller: http.NewResponseController(w)}
	if body.controller.SetReadDeadline(time.Now().Add(timeout)) == nil { // fails only for writers that are not net/http's
		r.Body = body
	}
}

// timedBody has a read deadline until it ends. After that, a deadline would end
// the call: net/http reads on to see whether the client goes away.
type timedBody struct {
	io.ReadCloser

	controller *http.ResponseController
}

func (b *timedBody) Read(into []byte) (int, error) {
	n, err := b.ReadCloser.Read(into)
	if errors.Is(err, io.EOF) {
		_ = b.controller.SetReadDeadline(time.Time{}) // worked before
	}
	return n, err
}

// lateBody is the status of a call whose body did not arrive in time, nil if err
// says something else.
func lateBody(err error) *status {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return newStatus(connect.CodeDeadlineExceeded, "the request's body did not arrive in time")
	}
	return nil
}
