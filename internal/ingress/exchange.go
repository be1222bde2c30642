package ingress

import (
	"bufio"
	"cmp"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"
)

// Exchange is one request and its answer. It is the http.ResponseWriter of its request and the
// reader of its body, and knows how far both have come. The client has writeTimeout for each
// piece of the answer: one that takes nothing holds up a call, or over HTTP/2 many.
type Exchange struct {
	// Method is the method of a deprecated API that the request calls, for the log; "" is none, or
	// not known.
	Method string
	// HasLine says that the request has a line in the log as a call, and needs no other.
	HasLine bool

	writer       http.ResponseWriter
	controller   *http.ResponseController
	writeTimeout time.Duration // 0 is for ever
	http2        bool
	writeUntil   time.Time // the deadline that was set last

	// Of the answer; only the handler's goroutine looks at it.
	status int
	keep   int // most of kept, the beginning of the body
	kept   []byte

	from    io.ReadCloser
	reading sync.Mutex // passthrough may return while its transport still reads
	mu      sync.Mutex // guards all below
	body    BodyState
	limited bool // there is a read deadline
	ended   bool // the handler has returned
}

// BodyState is how far a request's body has come.
type BodyState struct {
	Begun  bool // somebody has begun to read it
	Whole  bool // it has ended properly, or there is none
	Broken bool // the client did not send it properly

	interrupted bool
}

// newExchange makes the Exchange of a request, and a copy of it whose header may be changed.
func newExchange(w http.ResponseWriter, r *http.Request, writeTimeout time.Duration) (*Exchange, *http.Request) {
	x := &Exchange{writer: w, controller: http.NewResponseController(w), writeTimeout: writeTimeout, http2: r.ProtoMajor == 2, from: r.Body}
	x.body.Whole = r.ContentLength == 0
	request := *r
	request.Header = maps.Clone(r.Header)
	request.Body = bodyReader{x}
	return x, &request
}

// ExchangeOf is the Exchange that w is, or one made for w and r where no Handler has made it.
func ExchangeOf(w http.ResponseWriter, r *http.Request) (*Exchange, *http.Request) {
	if x, ok := w.(*Exchange); ok {
		return x, r
	}
	return newExchange(w, r, 0)
}

// Status is the answer's final HTTP status; 0 before it has begun, 101 of a hijacked connection.
func (x *Exchange) Status() int { return x.status }

// Header is the answer's.
func (x *Exchange) Header() http.Header { return x.writer.Header() }

// WriteHeader says what the headers are. net/http sends them with what follows, or at the end.
func (x *Exchange) WriteHeader(status int) {
	if status >= http.StatusOK {
		x.status = status
	}
	x.writer.WriteHeader(status)
}

func (x *Exchange) Write(data []byte) (int, error) {
	room := max(0, x.keep-len(x.kept))
	x.kept = append(x.kept, data[:min(len(data), room)]...)
	x.beginWrite()
	defer x.endWrite()
	return x.writer.Write(data)
}

// Keep keeps at least that many first bytes of the answer's body for Kept.
func (x *Exchange) Keep(bytes int) { x.keep = max(x.keep, bytes) }

// Kept is what was kept of the answer's body.
func (x *Exchange) Kept() []byte { return x.kept }

// Flush sends what is there. connect-go looks for it.
func (x *Exchange) Flush() { _ = x.FlushError() } // a client that is gone needs no answer

// FlushError is Flush for http.ResponseController.
func (x *Exchange) FlushError() error {
	x.beginWrite()
	defer x.endWrite()
	return x.controller.Flush()
}

// beginWrite begins the time for taking what is written now.
func (x *Exchange) beginWrite() {
	x.status = cmp.Or(x.status, http.StatusOK)
	const nearly = 16 // over HTTP/1.1 a sixteenth of the time may be missing: to set it costs more than a small write
	until := time.Now().Add(x.writeTimeout)
	if x.writeTimeout > 0 && (x.http2 || until.Sub(x.writeUntil) > x.writeTimeout/nearly) {
		x.writeUntil = until
		_ = x.controller.SetWriteDeadline(until) // fails only for writers that are not net/http's
	}
}

// endWrite ends it: over HTTP/2, time that is up ends an answer even when nothing is being written.
func (x *Exchange) endWrite() {
	if x.writeTimeout > 0 && x.http2 {
		_ = x.controller.SetWriteDeadline(time.Time{})
	}
}

// Hijack gives the connection away, and with it all limits.
func (x *Exchange) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	x.status = http.StatusSwitchingProtocols
	x.endWrite()
	return x.controller.Hijack()
}

// Unwrap is for http.ResponseController.
func (x *Exchange) Unwrap() http.ResponseWriter { return x.writer }

// LimitBody gives the request's body this time to end. Reads after it fail with
// os.ErrDeadlineExceeded.
func (x *Exchange) LimitBody(timeout time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.body.Whole || x.ended { // or else nobody might read that it has ended
		return
	}
	x.limited = true
	_ = x.controller.SetReadDeadline(time.Now().Add(timeout)) // fails only for writers that are not net/http's
}

// Body tells how far the client has come with the request's body.
func (x *Exchange) Body() BodyState {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.body
}

// InterruptBody ends a read of the body that waits for the client.
func (x *Exchange) InterruptBody() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ended {
		return nil
	}
	x.body.interrupted = true
	return x.controller.SetReadDeadline(time.Unix(1, 0))
}

// end is called when the handler returns. A transport may still be reading, but nothing may touch
// the request any more. What net/http has left to write of the answer has its time too.
func (x *Exchange) end() {
	if x.status != http.StatusSwitchingProtocols {
		x.beginWrite()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.ended = true
}

// bodyReader is an exchange as its request's body. Its read deadline ends with it: net/http reads
// on to see whether the client goes away, and a deadline would then end the call.
type bodyReader struct{ x *Exchange }

func (b bodyReader) Read(into []byte) (int, error) {
	x := b.x
	x.reading.Lock()
	defer x.reading.Unlock()
	x.mu.Lock()
	x.body.Begun = true
	x.mu.Unlock()
	n, err := x.from.Read(into)
	if err == nil {
		return n, nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.body.Whole = errors.Is(err, io.EOF)
	x.body.Broken = !x.body.Whole && !x.body.interrupted
	if x.body.Whole && x.limited && !x.ended {
		_ = x.controller.SetReadDeadline(time.Time{}) // as in LimitBody
	}
	return n, err
}

func (b bodyReader) Close() error { return b.x.from.Close() }
