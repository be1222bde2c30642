package wiretest

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// HTTP2Fault handles a request over HTTP/2 incorrectly, like Fault. If the stream is one
// that a GOAWAY has declared not handled, answer does not handle it and returns nil.
type HTTP2Fault func(stream *FaultyStream, answer func() *httptest.ResponseRecorder)

// FaultyStream is the HTTP/2 stream of a request that an HTTP2Fault handles.
type FaultyStream struct {
	// Gone is closed when the client has reset the stream or closed the connection.
	Gone <-chan struct{}
	// Debug is the debug data of a GOAWAY (RFC 9113 section 6.8). Default: none.
	Debug string

	id   uint32
	gone func()
	conn *http2Conn
	body bytes.Buffer
	meta *http2.MetaHeadersFrame
	// complete says that the client has sent the whole request, or reset the stream.
	complete bool
}

// resetByClient is called when the client has reset the stream.
func (s *FaultyStream) resetByClient() {
	if s == nil { // the stream never began
		return
	}
	s.gone()
	if !s.complete { // no goroutine answers it, which would call ended
		s.complete = true
		s.conn.ended()
	}
}

// Reset resets the stream with an error code.
func (s *FaultyStream) Reset(code http2.ErrCode) {
	s.conn.write(func(f *http2.Framer) error { return s.reset(f, code) })
}

// reset writes RST_STREAM. The client sends no more frames on the stream after that.
func (s *FaultyStream) reset(f *http2.Framer, code http2.ErrCode) error {
	s.gone()
	return f.WriteRSTStream(s.id, code)
}

// GoAway sends a GOAWAY that declares this stream the last one handled, or, if handled is
// false, not handled. If a later stream has already been handled, a GOAWAY could not
// declare this one not handled: then this stream is reset with REFUSED_STREAM instead.
func (s *FaultyStream) GoAway(handled bool) {
	s.conn.write(func(f *http2.Framer) error {
		last := s.conn.highest
		switch {
		case !handled && last > s.id:
			return s.reset(f, http2.ErrCodeRefusedStream)
		case s.conn.goneAway: // the earlier GOAWAY stays valid
			return nil
		case handled:
			last = max(last, s.id)
		}
		s.conn.goneAway, s.conn.highest = true, last
		return f.WriteGoAway(last, http2.ErrCodeNo, []byte(s.Debug))
	})
}

// Close closes the connection.
func (s *FaultyStream) Close() { _ = s.conn.Close() }

// Send sends a part of an answer. A nil answer, of a stream that is not handled, sends
// nothing.
func (s *FaultyStream) Send(answer *httptest.ResponseRecorder, part AnswerPart) {
	if answer == nil {
		return
	}
	response, body := answer.Result(), answer.Body.Bytes()
	defer func() { _ = response.Body.Close() }()
	fields := []hpack.HeaderField{{Name: ":status", Value: strconv.Itoa(response.StatusCode)}}
	s.conn.write(func(f *http2.Framer) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: s.conn.encode(append(fields, fieldsOf(response.Header)...)), EndHeaders: true})
	})
	if part == AnswerHeaders {
		return
	}
	if part == AnswerHalf {
		body = body[:len(body)/2]
	}
	s.conn.write(func(f *http2.Framer) error { return f.WriteData(s.id, part == AnswerWithoutTrailers, body) })
	if part != AnswerWhole {
		return
	}
	s.conn.write(func(f *http2.Framer) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: s.conn.encode(fieldsOf(response.Trailer)), EndHeaders: true, EndStream: true})
	})
}

// AnswerPart says how much of an answer Send sends.
type AnswerPart int

const (
	// AnswerHeaders sends the headers only.
	AnswerHeaders AnswerPart = iota
	// AnswerHalf sends the headers and the first half of the body.
	AnswerHalf
	// AnswerWithoutTrailers ends the stream after the body.
	AnswerWithoutTrailers
	// AnswerWhole sends the complete answer.
	AnswerWhole
)

func fieldsOf(header http.Header) []hpack.HeaderField {
	var fields []hpack.HeaderField
	for name, values := range header {
		if strings.HasPrefix(name, http.TrailerPrefix) { // sent with the trailers
			continue
		}
		for _, value := range values {
			fields = append(fields, hpack.HeaderField{Name: strings.ToLower(name), Value: value})
		}
	}
	return fields
}

// HTTP2FaultProxy is like FaultProxy, but over HTTP/2 in clear text (h2c).
type HTTP2FaultProxy struct {
	*faultListener
	FaultChoice[HTTP2Fault]

	handler http.Handler
}

// NewHTTP2FaultProxy returns an HTTP2FaultProxy that serves until the test ends, at first
// without faults.
func NewHTTP2FaultProxy(tb testing.TB, handler http.Handler) *HTTP2FaultProxy {
	tb.Helper()
	p := &HTTP2FaultProxy{handler: handler}
	p.faultListener = newFaultListener(tb, p.serve)
	return p
}

// http2Conn is an HTTP/2 connection. Its mutex is held while a frame is written.
type http2Conn struct {
	net.Conn

	mu      sync.Mutex
	framer  *http2.Framer
	headers bytes.Buffer
	encoder *hpack.Encoder

	highest  uint32      // the highest stream that was handled
	goneAway bool        // a GOAWAY was sent: higher streams are not handled
	open     int         // number of open streams
	idle     *time.Timer // closes the connection when it has been without a stream for idleTimeout
}

// idleTimeout closes connections without a stream, as servers do. net/http's client can
// lose track of a connection that it must not use any more, if a request selected it
// before and is sent on it afterwards; such a connection would stay open otherwise.
const idleTimeout = 5 * time.Second

// begun is called when a stream has begun.
func (c *http2Conn) begun() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open++; c.idle != nil {
		c.idle.Stop()
	}
}

// ended is called when a stream has ended. After a GOAWAY, it closes the connection with
// the last stream (RFC 9113 section 6.8).
func (c *http2Conn) ended() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open--; c.open > 0 {
		return
	}
	if c.goneAway {
		_ = c.Close()
		return
	}
	if c.idle == nil {
		c.idle = time.AfterFunc(idleTimeout, func() { _ = c.Close() })
		return
	}
	c.idle.Reset(idleTimeout)
}

// handle reports whether a stream must be handled: not after a GOAWAY that excludes it.
func (c *http2Conn) handle(id uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.goneAway && id > c.highest {
		return false
	}
	c.highest = max(c.highest, id)
	return true
}

// acknowledge answers SETTINGS and PING frames.
func (c *http2Conn) acknowledge(frame http2.Frame) {
	switch frame := frame.(type) {
	case *http2.SettingsFrame:
		if !frame.IsAck() {
			c.write(func(f *http2.Framer) error { return f.WriteSettingsAck() })
		}
	case *http2.PingFrame:
		if !frame.IsAck() {
			c.write(func(f *http2.Framer) error { return f.WritePing(true, frame.Data) })
		}
	}
}

func (c *http2Conn) write(frame func(*http2.Framer) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = frame(c.framer) // fails if the client has closed the connection
}

// encode encodes headers. It must be called with c.mu locked, by the function given to write.
func (c *http2Conn) encode(fields []hpack.HeaderField) []byte {
	c.headers.Reset()
	for _, field := range fields {
		_ = c.encoder.WriteField(field) // into memory
	}
	return c.headers.Bytes()
}

// serve answers the requests on one connection, concurrently.
func (p *HTTP2FaultProxy) serve(conn net.Conn) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil {
		return
	}
	c := &http2Conn{Conn: conn, framer: http2.NewFramer(conn, conn)}
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.encoder = hpack.NewEncoder(&c.headers)
	c.write(func(f *http2.Framer) error { return f.WriteSettings() })
	streams := map[uint32]*FaultyStream{}
	var answering sync.WaitGroup
	defer answering.Wait()
	defer func() {
		for _, stream := range streams {
			stream.gone()
		}
	}()
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return
		}
		stream := streams[frame.Header().StreamID]
		switch frame := frame.(type) {
		case *http2.RSTStreamFrame:
			stream.resetByClient()
		case *http2.MetaHeadersFrame:
			gone := make(chan struct{})
			stream = &FaultyStream{id: frame.StreamID, conn: c, meta: frame, Gone: gone, gone: sync.OnceFunc(func() { close(gone) })}
			streams[frame.StreamID] = stream
			c.begun()
		case *http2.DataFrame:
			stream.body.Write(frame.Data())
		default:
			c.acknowledge(frame)
		}
		if ends, ok := frame.(interface{ StreamEnded() bool }); ok && ends.StreamEnded() {
			stream.complete = true
			answering.Go(func() {
				defer c.ended()
				p.answer(stream)
			})
		}
	}
}

// answer answers a request, or lets a fault handle it.
func (p *HTTP2FaultProxy) answer(stream *FaultyStream) {
	request := &http.Request{
		Method: stream.meta.PseudoValue("method"), Host: stream.meta.PseudoValue("authority"),
		URL: &url.URL{Path: stream.meta.PseudoValue("path")}, Header: http.Header{},
		Proto: "HTTP/2.0", ProtoMajor: 2, Body: io.NopCloser(&stream.body),
	}
	for _, field := range stream.meta.RegularFields() {
		request.Header.Add(field.Name, field.Value)
	}
	answer := func() *httptest.ResponseRecorder {
		if !stream.conn.handle(stream.id) {
			return nil
		}
		recorder := httptest.NewRecorder()
		p.handler.ServeHTTP(recorder, request)
		return recorder
	}
	if fault := p.of(request); fault != nil {
		fault(stream, answer)
		return
	}
	stream.Send(answer(), AnswerWhole)
}

// HTTP2Faults returns the faults of an upstream over HTTP/2, by name. See Faults.
func HTTP2Faults() map[string]HTTP2Fault {
	afterHandling := func(then func(*FaultyStream)) HTTP2Fault {
		return func(stream *FaultyStream, answer func() *httptest.ResponseRecorder) {
			answer()
			then(stream)
		}
	}
	return map[string]HTTP2Fault{
		"refused stream": func(stream *FaultyStream, _ func() *httptest.ResponseRecorder) {
			stream.Reset(http2.ErrCodeRefusedStream)
		},
		"GOAWAY before it is handled": func(stream *FaultyStream, _ func() *httptest.ResponseRecorder) {
			stream.GoAway(false)
			<-stream.Gone
		},
		"GOAWAY before it is handled, then closed": func(stream *FaultyStream, _ func() *httptest.ResponseRecorder) {
			stream.GoAway(false)
			stream.Close()
		},
		"GOAWAY after it was handled": afterHandling(func(stream *FaultyStream) {
			stream.GoAway(true)
			stream.Close()
		}),
		"GOAWAY, then the answer": func(stream *FaultyStream, answer func() *httptest.ResponseRecorder) {
			stream.GoAway(true)
			stream.Send(answer(), AnswerWhole)
		},
		"stream reset after it was handled": afterHandling(func(stream *FaultyStream) { stream.Reset(http2.ErrCodeInternal) }),
		// After this one, net/http repeats a request, whether it was handled or not
		// (golang/go#47635).
		"protocol error after it was handled": afterHandling(func(stream *FaultyStream) { stream.Reset(http2.ErrCodeProtocol) }),
		"closed after it was handled":         afterHandling((*FaultyStream).Close),
		"throttled (ENHANCE_YOUR_CALM)":       afterHandling(func(stream *FaultyStream) { stream.Reset(http2.ErrCodeEnhanceYourCalm) }),
		"hangs after it was handled":          afterHandling(func(stream *FaultyStream) { <-stream.Gone }),
		"hangs after the headers": func(stream *FaultyStream, answer func() *httptest.ResponseRecorder) {
			stream.Send(answer(), AnswerHeaders)
			<-stream.Gone
		},
		"hangs for 30 s": func(stream *FaultyStream, answer func() *httptest.ResponseRecorder) {
			late := answer()
			select {
			case <-stream.Gone:
			case <-time.After(30 * time.Second):
				stream.Send(late, AnswerWhole)
			}
		},
		"closed in the middle of the message": func(stream *FaultyStream, answer func() *httptest.ResponseRecorder) {
			stream.Send(answer(), AnswerHalf)
			stream.Close()
		},
		"no trailers": func(stream *FaultyStream, answer func() *httptest.ResponseRecorder) {
			stream.Send(answer(), AnswerWithoutTrailers)
		},
		"garbage": afterHandling(func(stream *FaultyStream) {
			stream.conn.write(func(*http2.Framer) error {
				_, err := stream.conn.Write([]byte("\x00\x00\x05\xff\x00\x00\x00\x00\x01\xff\xfe\xfd\xfc\xfb\x7f\xff\xff\x00 garbage"))
				return err
			})
			stream.Close()
		}),
		"HTML with 503": afterHandling(func(stream *FaultyStream) {
			page := httptest.NewRecorder()
			page.Header().Set("Content-Type", "text/html")
			page.WriteHeader(http.StatusServiceUnavailable)
			_, _ = page.WriteString("<html>load balancer</html>")
			stream.Send(page, AnswerWithoutTrailers)
		}),
	}
}
