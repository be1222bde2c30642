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

// HTTP2Fault is Fault for a request over HTTP/2. Of a connection that has gone away,
// answer handles no further requests, and returns nil.
type HTTP2Fault func(stream *FaultyStream, answer func() *httptest.ResponseRecorder)

// FaultyStream is a request, and the connection on which it came, that goes wrong.
type FaultyStream struct {
	// Gone is closed when the client has given up the request, or the connection.
	Gone <-chan struct{}
	// Debug is what a GOAWAY says besides (RFC 9113 section 6.8).
	Debug string

	id   uint32
	gone func()
	conn *http2Conn
	body bytes.Buffer
	meta *http2.MetaHeadersFrame
	// whole says that the request has ended, one way or the other.
	whole bool
}

// givenUp is called when the client has reset the stream.
func (s *FaultyStream) givenUp() {
	if s == nil { // it has never begun
		return
	}
	s.gone()
	if !s.whole { // nobody will answer it
		s.whole = true
		s.conn.ended()
	}
}

// Reset ends the stream with an error.
func (s *FaultyStream) Reset(code http2.ErrCode) {
	s.conn.write(func(f *http2.Framer) error { return s.reset(f, code) })
}

// reset is called while frames are written. The client says nothing more of the stream.
func (s *FaultyStream) reset(f *http2.Framer, code http2.ErrCode) error {
	s.gone()
	return f.WriteRSTStream(s.id, code)
}

// GoAway says that no requests are taken any more, and this one either is the last
// that was, or was not. (If a later one was, this one is refused by itself: a GOAWAY
// would be a lie about the later one.)
func (s *FaultyStream) GoAway(handled bool) {
	s.conn.write(func(f *http2.Framer) error {
		last := s.conn.highest
		switch {
		case !handled && last > s.id:
			return s.reset(f, http2.ErrCodeRefusedStream)
		case s.conn.goneAway: // and what was said then holds
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

// Send sends so much of an answer: its headers, or also half of its body, or all of
// it but for the trailers, or all.
func (s *FaultyStream) Send(answer *httptest.ResponseRecorder, part AnswerPart) {
	if answer == nil { // the connection had gone away before
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
	s.conn.write(func(f *http2.Framer) error { return f.WriteData(s.id, part == AnswerUntrailed, body) })
	if part != AnswerWhole {
		return
	}
	s.conn.write(func(f *http2.Framer) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: s.conn.encode(fieldsOf(response.Trailer)), EndHeaders: true, EndStream: true})
	})
}

// AnswerPart is how much of an answer is sent.
type AnswerPart int

// The parts of an answer.
const (
	AnswerHeaders AnswerPart = iota
	AnswerHalf
	AnswerUntrailed
	AnswerWhole
)

func fieldsOf(header http.Header) []hpack.HeaderField {
	var fields []hpack.HeaderField
	for name, values := range header {
		if strings.HasPrefix(name, http.TrailerPrefix) { // is among the trailers
			continue
		}
		for _, value := range values {
			fields = append(fields, hpack.HeaderField{Name: strings.ToLower(name), Value: value})
		}
	}
	return fields
}

// HTTP2FaultProxy is FaultProxy over h2c.
type HTTP2FaultProxy struct {
	*faultListener
	FaultChoice[HTTP2Fault]

	handler http.Handler
}

// NewHTTP2FaultProxy serves until the test ends.
func NewHTTP2FaultProxy(tb testing.TB, handler http.Handler) *HTTP2FaultProxy {
	tb.Helper()
	p := &HTTP2FaultProxy{handler: handler}
	p.faultListener = newFaultListener(tb, p.serve)
	return p
}

// http2Conn is a connection, on which one frame is written at a time.
type http2Conn struct {
	net.Conn

	mu      sync.Mutex
	framer  *http2.Framer
	headers bytes.Buffer
	encoder *hpack.Encoder

	highest  uint32      // stream that was handled
	goneAway bool        // later ones are not
	open     int         // streams
	idle     *time.Timer // closes the connection when there has been no stream for some time
}

// idleFor is how long a connection may be without a stream. net/http may forget one that
// it must not use any more: if a request chose it before it had to be given up, and comes
// to it afterwards. Servers end those that nobody uses.
const idleFor = 5 * time.Second

// begun is called when a stream has.
func (c *http2Conn) begun() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open++; c.idle != nil {
		c.idle.Stop()
	}
}

// ended is called when a stream has. After a GOAWAY, the connection ends with the last
// (RFC 9113 section 6.8).
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
		c.idle = time.AfterFunc(idleFor, func() { _ = c.Close() })
		return
	}
	c.idle.Reset(idleFor)
}

// handle reports whether a stream is to be handled.
func (c *http2Conn) handle(id uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.goneAway && id > c.highest {
		return false
	}
	c.highest = max(c.highest, id)
	return true
}

// acknowledge answers the frames that are for the connection.
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
	_ = frame(c.framer) // a client that is gone needs no answer
}

// encode is called while a frame is written.
func (c *http2Conn) encode(fields []hpack.HeaderField) []byte {
	c.headers.Reset()
	for _, field := range fields {
		_ = c.encoder.WriteField(field) // into memory
	}
	return c.headers.Bytes()
}

// serve answers the requests of one connection, side by side.
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
			stream.givenUp()
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
			stream.whole = true
			answering.Go(func() {
				defer c.ended()
				p.answer(stream)
			})
		}
	}
}

// answer answers a request, or lets it go wrong.
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

// HTTP2Faults are the ways in which an upstream goes wrong over HTTP/2, by name, as
// Faults.
func HTTP2Faults() map[string]HTTP2Fault {
	afterwards := func(then func(*FaultyStream)) HTTP2Fault {
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
		"GOAWAY after it was handled": afterwards(func(stream *FaultyStream) {
			stream.GoAway(true)
			stream.Close()
		}),
		"GOAWAY, then the answer": func(stream *FaultyStream, answer func() *httptest.ResponseRecorder) {
			stream.GoAway(true)
			stream.Send(answer(), AnswerWhole)
		},
		"stream reset after it was handled": afterwards(func(stream *FaultyStream) { stream.Reset(http2.ErrCodeInternal) }),
		// net/http makes a request again after this one, handled or not (golang/go#47635).
		"protocol error after it was handled": afterwards(func(stream *FaultyStream) { stream.Reset(http2.ErrCodeProtocol) }),
		"closed after it was handled":         afterwards((*FaultyStream).Close),
		"told to be calm":                     afterwards(func(stream *FaultyStream) { stream.Reset(http2.ErrCodeEnhanceYourCalm) }),
		"hangs after it was handled":          afterwards(func(stream *FaultyStream) { <-stream.Gone }),
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
			stream.Send(answer(), AnswerUntrailed)
		},
		"garbage": afterwards(func(stream *FaultyStream) {
			stream.conn.write(func(*http2.Framer) error {
				_, err := stream.conn.Write([]byte("\x00\x00\x05\xff\x00\x00\x00\x00\x01\xff\xfe\xfd\xfc\xfb\x7f\xff\xff\x00 garbage"))
				return err
			})
			stream.Close()
		}),
		"HTML with 503": afterwards(func(stream *FaultyStream) {
			page := httptest.NewRecorder()
			page.Header().Set("Content-Type", "text/html")
			page.WriteHeader(http.StatusServiceUnavailable)
			_, _ = page.WriteString("<html>load balancer</html>")
			stream.Send(page, AnswerUntrailed)
		}),
	}
}
