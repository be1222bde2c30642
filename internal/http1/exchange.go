package http1

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxBodyInMemory is the size in bytes of the largest body that is written before its
	// answer is read. A peer that answers early still reads that much, or its kernel does.
	maxBodyInMemory = 64 << 10
	// writeWait is how long an answered request may take to be written completely, if its
	// connection is to be used again. It is net/http's.
	writeWait = 50 * time.Millisecond
)

// exchange is a request and its answer, whose body it is.
type exchange struct {
	transport *Transport
	conn      *conn
	request   *http.Request
	stopWatch func() bool // stops watching the request's context; false: it has ended

	unanswered bool      // the connection ended before a byte of an answer
	answer     io.Reader // the answer's body, as it comes
	last       bool      // no other exchange may follow on the connection
	ended      atomic.Bool

	// If the request is written by another goroutine (see stream):
	sending    chan error            // receives the outcome; nil: the request has been written
	unsendable atomic.Pointer[error] // why the request itself could not be written
	mu         sync.Mutex
	hasHead    bool // the head of the answer has come
}

// run writes the request and reads the head of its answer. If it returns an error, the
// connection must be closed.
func (x *exchange) run() (*http.Response, error) {
	x.conn.headLeft = x.transport.maxHead()
	x.stopWatch = func() bool { return true }
	if ctx := x.request.Context(); ctx.Done() != nil {
		x.stopWatch = context.AfterFunc(ctx, x.conn.abort)
	}
	response, err := x.sendAndReceive()
	if err != nil {
		x.stopWatch()
		return nil, err
	}
	x.last = x.request.Close || response.Close || response.StatusCode < http.StatusOK
	if response.Body == http.NoBody {
		x.end(true)
		return response, nil
	}
	x.answer, response.Body = response.Body, x
	return response, nil
}

func (x *exchange) sendAndReceive() (*http.Response, error) {
	if err := x.send(); err != nil {
		return nil, err
	}
	response, err := x.readHead()
	if unsendable := x.unsendable.Load(); err != nil && unsendable != nil {
		x.unanswered = false // the connection was given up for that
		return nil, *unsendable
	}
	return response, err
}

// send writes the request, or begins to.
func (x *exchange) send() error {
	if hasBody(x.request) && !isInMemory(x.request) {
		x.sending = make(chan error, 1)
		go x.stream()
		return nil
	}
	if err := x.write(x.request, inOnePiece{x.conn.writer}); err != nil {
		return err
	}
	x.limitHead()
	return nil
}

// isInMemory reports whether a request's body is small and, as it can be read again, in memory.
func isInMemory(request *http.Request) bool {
	return request.GetBody != nil && request.ContentLength > 0 && request.ContentLength <= maxBodyInMemory
}

// inOnePiece is a buffer that net/http does not know as one: it would send the head by
// itself, before it reads the body.
type inOnePiece struct{ *bufio.Writer }

func (x *exchange) write(request *http.Request, to io.Writer) error {
	if err := request.Write(to); err != nil {
		return err
	}
	return x.conn.writer.Flush()
}

// stream writes a request whose body may take long, while its answer is waited for. If the
// request itself is why that fails, such as its body, there will be no answer; if the connection
// is, one may have come before.
func (x *exchange) stream() {
	body := &watchedBody{ReadCloser: x.request.Body}
	request := *x.request
	request.Body = body
	err := x.write(&request, x.conn.writer)
	switch {
	case err == nil:
		x.limitHead()
	case !x.conn.broken.Load():
		x.unsendable.Store(cmp.Or(body.failed.Load(), &err))
		x.conn.abort()
	}
	x.sending <- err
}

// limitHead limits the time for the head of the answer, unless it has come.
func (x *exchange) limitHead() {
	if x.transport.ResponseHeaderTimeout <= 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.hasHead {
		x.conn.limitRead(time.Now().Add(x.transport.ResponseHeaderTimeout))
	}
}

// readHead reads the head of the final answer. Interim answers count as in net/http: those
// that the caller looks at, by Got1xxResponse, are without limit, because the caller can end
// them; else they share the limit of the final answer's head.
func (x *exchange) readHead() (*http.Response, error) {
	if _, err := x.conn.reader.Peek(1); err != nil {
		x.unanswered = true
		return nil, err
	}
	trace := httptrace.ContextClientTrace(x.request.Context())
	for {
		response, err := http.ReadResponse(x.conn.reader, x.request)
		switch {
		case err != nil:
			return nil, err
		case response.StatusCode == http.StatusSwitchingProtocols:
			return nil, errors.New("the peer switched protocols without being asked to")
		case response.StatusCode < http.StatusContinue || response.StatusCode >= http.StatusOK:
			x.headCame()
			return response, nil
		case trace != nil && trace.Got1xxResponse != nil:
			if err := trace.Got1xxResponse(response.StatusCode, textproto.MIMEHeader(response.Header)); err != nil {
				return nil, err
			}
			x.conn.headLeft = x.transport.maxHead()
		}
	}
}

// headCame lifts the limits for the head.
func (x *exchange) headCame() {
	x.conn.headLeft = math.MaxInt64
	if x.transport.ResponseHeaderTimeout <= 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.hasHead = true
	x.conn.limitRead(time.Time{})
}

// Read reads the answer's body.
func (x *exchange) Read(into []byte) (int, error) {
	n, err := x.answer.Read(into)
	if err == nil {
		return n, nil
	}
	x.end(errors.Is(err, io.EOF))
	if ctx := x.request.Context(); !errors.Is(err, io.EOF) && ctx.Err() != nil {
		err = ctx.Err()
	}
	return n, err
}

// Close ends the exchange. An answer that was not read to its end costs the connection.
func (x *exchange) Close() error {
	x.end(false)
	return nil
}

// end is called when the answer is over, whole or not. The connection is kept if it can
// serve another exchange, as far as can be told by now.
func (x *exchange) end(whole bool) {
	if x.ended.Swap(true) {
		return
	}
	if x.stopWatch() && whole && !x.last && x.conn.socket.attempt != nil && x.conn.reader.Buffered() == 0 && x.isSent() {
		x.transport.put(x.conn)
		return
	}
	_ = x.conn.Close()
}

// isSent reports whether the request has been written completely, or is within writeWait.
func (x *exchange) isSent() bool {
	if x.sending == nil {
		return true
	}
	timer := time.NewTimer(writeWait)
	defer timer.Stop()
	select {
	case err := <-x.sending:
		return err == nil
	case <-timer.C:
		return false
	}
}

// watchedBody is a request's body that remembers why it failed: net/http hides that in an error
// of its own. net/http may read it on another goroutine.
type watchedBody struct {
	io.ReadCloser

	failed atomic.Pointer[error]
}

func (b *watchedBody) Read(into []byte) (int, error) {
	n, err := b.ReadCloser.Read(into)
	if err != nil && !errors.Is(err, io.EOF) {
		b.failed.CompareAndSwap(nil, &err)
	}
	return n, err
}
