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
	"os"
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
	trace     *httptrace.ClientTrace
	stopWatch func() bool // stops watching the request's context; false: it has ended
	sending   chan error  // receives the outcome of stream; nil: the request has been written

	hasHead    atomic.Bool // the head of the answer has come
	unanswered bool        // the connection ended before a byte of an answer
	answer     io.Reader   // the answer's body, as it comes
	last       bool        // no other exchange may follow on the connection
	ended      atomic.Bool
}

// run writes the request and reads the head of its answer. If it returns an error, the
// connection must be closed.
func (x *exchange) run() (*http.Response, error) {
	x.trace = cmp.Or(httptrace.ContextClientTrace(x.request.Context()), new(httptrace.ClientTrace))
	x.conn.headLeft, x.conn.onWrite = x.transport.maxHead(), x.trace.WroteHeaders
	x.conn.written.Store(false)
	x.stopWatch = context.AfterFunc(x.request.Context(), x.conn.abort)
	err := x.send()
	var response *http.Response
	if err == nil {
		response, err = x.readHead()
	}
	if err != nil {
		x.stopWatch()
		return nil, cmp.Or(x.unsendable(), err)
	}
	x.last = x.request.Close || response.Close || response.StatusCode < http.StatusOK
	if response.Body == http.NoBody {
		x.end(true)
		return response, nil
	}
	x.answer, response.Body = response.Body, x
	return response, nil
}

// send writes the request, or begins to. A body that can be read again is in memory.
func (x *exchange) send() error {
	length := x.request.ContentLength
	if hasBody(x.request) && (x.request.GetBody == nil || length <= 0 || length > maxBodyInMemory) {
		x.sending = make(chan error, 1)
		go x.stream()
		return nil
	}
	return x.write(x.request.Body, inOnePiece{x.conn.writer})
}

// inOnePiece is a buffer that net/http does not know as one: it would send the head by
// itself, before it reads the body.
type inOnePiece struct{ *bufio.Writer }

func (x *exchange) write(body io.ReadCloser, to io.Writer) error {
	request := x.request.WithContext(context.Background()) // net/http would call WroteHeaders too early
	request.Body = body
	err := request.Write(to)
	if err == nil {
		err = x.conn.writer.Flush()
	}
	if limit := x.transport.Base.ResponseHeaderTimeout; err == nil && limit > 0 && !x.hasHead.Load() {
		_ = x.conn.SetReadDeadline(time.Now().Add(limit))
		if x.hasHead.Load() { // it came in the meantime
			_ = x.conn.SetReadDeadline(time.Time{})
		}
	}
	return err
}

// stream writes a request whose body may take long, while its answer is waited for. If that
// fails because of the connection, an answer may have come before; else there will be none.
func (x *exchange) stream() {
	body := &watchedBody{ReadCloser: x.request.Body}
	err := x.write(body, x.conn.writer)
	if failed := body.failed.Load(); failed != nil {
		err = *failed
	}
	x.sending <- err
	if err != nil && !x.conn.broken.Load() {
		x.conn.abort()
	}
}

// unsendable is why stream gave the connection up, or nil.
func (x *exchange) unsendable() error {
	if x.conn.broken.Load() {
		return nil
	}
	select {
	case err := <-x.sending:
		return err
	default:
		return nil
	}
}

// readHead reads the head of the final answer. Interim answers count as in net/http: those
// that the caller looks at, by Got1xxResponse, are without limit, because the caller can end
// them; else they share the limit of the final answer's head.
func (x *exchange) readHead() (*http.Response, error) {
	if _, err := x.conn.reader.Peek(1); err != nil {
		x.unanswered = !errors.Is(err, os.ErrDeadlineExceeded)
		return nil, err
	}
	for {
		response, err := http.ReadResponse(x.conn.reader, x.request)
		switch {
		case err != nil:
			return nil, err
		case response.StatusCode == http.StatusSwitchingProtocols:
			return nil, errors.New("the peer switched protocols without being asked to")
		case response.StatusCode < http.StatusContinue || response.StatusCode >= http.StatusOK:
			x.conn.headLeft = math.MaxInt64
			x.hasHead.Store(true)
			return response, x.conn.SetReadDeadline(time.Time{})
		case x.trace.Got1xxResponse != nil:
			if err := x.trace.Got1xxResponse(response.StatusCode, textproto.MIMEHeader(response.Header)); err != nil {
				return nil, err
			}
			x.conn.headLeft = x.transport.maxHead()
		}
	}
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
	if x.stopWatch() && whole && !x.last && x.conn.socket.raw != nil && x.conn.reader.Buffered() == 0 && x.isSent() {
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
	select {
	case err := <-x.sending:
		return err == nil
	case <-time.After(writeWait):
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
