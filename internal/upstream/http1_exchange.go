package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// exchange writes a request and reads the head of its answer. If it returns an error, the
// connection must be closed.
func (p *http1Pool) exchange(conn *http1Conn, request *http.Request) (*http.Response, error) {
	ctx := request.Context()
	conn.headLeft = p.maxHeaderBytes
	release := func() bool { return true }
	if ctx.Done() != nil {
		release = context.AfterFunc(ctx, conn.onCancel)
	}
	x := &http1Exchange{pool: p, conn: conn, request: request, release: release}
	if err := x.send(); err != nil {
		release()
		return nil, err
	}
	response, err := x.readHead()
	if err != nil {
		release()
		if x.body != nil && x.body.failure() != nil {
			err = x.body.failure()
		}
		return nil, err
	}
	x.close = request.Close || response.Close
	if response.Body == http.NoBody {
		x.end(true)
		return response, nil
	}
	x.answer = response.Body
	response.Body = x
	return response, nil
}

// http1Exchange is a request and its answer, whose body it is.
type http1Exchange struct {
	pool    *http1Pool
	conn    *http1Conn
	request *http.Request
	release func() bool // ends the watch for the context's end; false: it has ended
	answer  io.Reader
	close   bool // the connection is not used again
	ended   atomic.Bool

	// Of a request that is written on another goroutine, because its body may take long:
	body    *notedBody
	sending chan error // its end; nil: the request is written
	mu      sync.Mutex
	hasHead bool
}

// send writes the request, or begins to.
func (x *http1Exchange) send() error {
	request := x.request
	if hasBody(request) && !isInMemory(request) {
		x.body = &notedBody{ReadCloser: request.Body}
		streamed := *request
		streamed.Body = x.body
		x.sending = make(chan error, 1)
		go x.stream(&streamed)
		return nil
	}
	if err := x.writeWhole(request); err != nil {
		return err
	}
	if x.pool.headerTimeout > 0 {
		x.conn.limitRead(time.Now().Add(x.pool.headerTimeout))
	}
	return nil
}

// isInMemory reports whether a request's body is, because it can be read again.
func isInMemory(request *http.Request) bool {
	return request.GetBody != nil && request.ContentLength > 0 && request.ContentLength <= maxBodyInMemory
}

// writeWhole writes a request without a body, or with one that is in memory, in one piece if
// that is short. net/http writes a body that it does not know to be in memory apart from the head.
func (x *http1Exchange) writeWhole(request *http.Request) error {
	if !writeHead(x.conn.writer, request) {
		return x.write(request)
	}
	if hasBody(request) {
		defer closeBody(request)
		written, err := io.Copy(x.conn.writer, request.Body)
		if err != nil {
			return err
		}
		if written != request.ContentLength {
			return fmt.Errorf("a body of %d bytes has a Content-Length of %d", written, request.ContentLength)
		}
	}
	return x.conn.writer.Flush()
}

func (x *http1Exchange) write(request *http.Request) error {
	if err := request.Write(x.conn.writer); err != nil {
		return err
	}
	return x.conn.writer.Flush()
}

// stream writes a request whose body may take long, while its answer is waited for. If the
// body fails, there will be none; if the connection does, one may have come before that.
func (x *http1Exchange) stream(request *http.Request) {
	err := x.write(request)
	if err != nil && x.body.failure() != nil {
		x.conn.abort()
	}
	if err == nil && x.pool.headerTimeout > 0 {
		x.mu.Lock()
		if !x.hasHead {
			x.conn.limitRead(time.Now().Add(x.pool.headerTimeout))
		}
		x.mu.Unlock()
	}
	x.sending <- err
}

// readHead reads the head of the final answer.
func (x *http1Exchange) readHead() (*http.Response, error) {
	conn := x.conn
	for range maxInterim + 1 {
		response, err := http.ReadResponse(conn.reader, x.request)
		if err != nil {
			return nil, err
		}
		if response.StatusCode >= http.StatusOK || response.StatusCode < http.StatusContinue {
			conn.headLeft = math.MaxInt64
			x.mu.Lock()
			x.hasHead = true
			x.mu.Unlock()
			if x.pool.headerTimeout > 0 {
				conn.limitRead(time.Time{})
			}
			return response, nil
		}
		if response.StatusCode == http.StatusSwitchingProtocols {
			return nil, errors.New("the upstream switched protocols, and was not asked to")
		}
		if trace := httptrace.ContextClientTrace(x.request.Context()); trace != nil && trace.Got1xxResponse != nil {
			if err := trace.Got1xxResponse(response.StatusCode, map[string][]string(response.Header)); err != nil {
				return nil, err
			}
		}
	}
	return nil, fmt.Errorf("the upstream sent more than %d interim answers", maxInterim)
}

// Read reads the answer's body.
func (x *http1Exchange) Read(into []byte) (int, error) {
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
func (x *http1Exchange) Close() error {
	x.end(false)
	return nil
}

// end is called when the answer is over, whole or not. The connection is kept if nothing is
// left of this exchange on it.
func (x *http1Exchange) end(whole bool) {
	if x.ended.Swap(true) {
		return
	}
	if x.release() && whole && !x.close && x.isSent() && x.conn.reader.Buffered() == 0 {
		x.pool.put(x.conn)
		return
	}
	_ = x.conn.Close()
}

// isSent reports whether the request was written completely, or nearly was.
func (x *http1Exchange) isSent() bool {
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

// notedBody is a request's body that remembers why it failed.
type notedBody struct {
	io.ReadCloser

	failed atomic.Pointer[error]
}

func (b *notedBody) Read(into []byte) (int, error) {
	n, err := b.ReadCloser.Read(into)
	if err != nil && !errors.Is(err, io.EOF) {
		b.failed.CompareAndSwap(nil, &err)
	}
	return n, err
}

func (b *notedBody) failure() error {
	if failed := b.failed.Load(); failed != nil {
		return *failed
	}
	return nil
}
