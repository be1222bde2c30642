package reference_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// call is a request of a client, as it is on the wire.
type call struct {
	http2 bool
	// method, target and host; over HTTP/2 they are pseudo headers. Without hasHost there is
	// no Host.
	method, target, host string
	hasHost              bool
	// headers are in order. Over HTTP/2 names are sent in lower case.
	headers [][2]string
	body    []byte
	// framing says how an HTTP/1.1 body is delimited; lineEnd ends the lines of its head.
	framing framing
	lineEnd string
	// trailers follow a chunked body, or the DATA frames of HTTP/2.
	trailers [][2]string
	// pieces is the number of DATA frames, or of chunks of a chunked body.
	pieces int
	// keepAlive leaves Connection: close out.
	keepAlive bool
}

type framing string

const (
	byLength     framing = "length"
	chunked      framing = "chunked"
	lengthTwice  framing = "length twice"
	lengthsApart framing = "two lengths that differ"
	both         framing = "length beside chunked"
	unframed     framing = "none"
	http10       framing = "HTTP/1.0"
)

// set replaces all values of a header.
func (c *call) set(name string, values ...string) {
	c.remove(name)
	for _, value := range values {
		c.headers = append(c.headers, [2]string{name, value})
	}
}

func (c *call) remove(name string) {
	c.headers = slices.DeleteFunc(slices.Clone(c.headers), func(header [2]string) bool { return strings.EqualFold(header[0], name) })
}

func (c *call) get(name string) string {
	for _, header := range c.headers {
		if strings.EqualFold(header[0], name) {
			return header[1]
		}
	}
	return ""
}

// split returns the body in the call's pieces, none longer than a DATA frame may be.
func (c *call) split() [][]byte {
	const frameBytes = 16 << 10
	count := max(1, min(c.pieces, len(c.body)), (len(c.body)+frameBytes-1)/frameBytes)
	var pieces [][]byte
	for i := range count {
		if piece := c.body[i*len(c.body)/count : (i+1)*len(c.body)/count]; len(piece) > 0 {
			pieces = append(pieces, piece)
		}
	}
	return pieces
}

// http1 returns the bytes of the call over HTTP/1.1.
func (c *call) http1() []byte {
	var out bytes.Buffer
	line := func(format string, arguments ...any) {
		fmt.Fprintf(&out, format, arguments...)
		out.WriteString(c.lineEnd)
	}
	version := "1.1"
	if c.framing == http10 {
		version = "1.0"
	}
	line("%s %s HTTP/%s", c.method, c.target, version)
	if c.hasHost {
		line("Host: %s", c.host)
	}
	if !c.keepAlive {
		line("Connection: close")
	}
	for _, header := range c.headers {
		line("%s: %s", header[0], header[1])
	}
	switch c.framing {
	case byLength, http10:
		line("Content-Length: %d", len(c.body))
	case lengthTwice:
		line("Content-Length: %d", len(c.body))
		line("Content-Length: %d", len(c.body))
	case lengthsApart:
		line("Content-Length: %d", len(c.body))
		line("Content-Length: %d", len(c.body)+1)
	case both:
		line("Content-Length: %d", len(c.body)+3)
		line("Transfer-Encoding: chunked")
	case chunked:
		line("Transfer-Encoding: chunked")
	case unframed:
	}
	line("")
	if c.framing != chunked && c.framing != both {
		out.Write(c.body)
		return out.Bytes()
	}
	for _, piece := range c.split() {
		line("%x", len(piece))
		out.Write(piece)
		line("")
	}
	line("0")
	for _, trailer := range c.trailers {
		line("%s: %s", trailer[0], trailer[1])
	}
	line("")
	return out.Bytes()
}

// fields are the headers of the call over HTTP/2.
func (c *call) fields() [][2]string {
	fields := [][2]string{{":method", c.method}, {":scheme", "http"}, {":path", c.target}}
	if c.hasHost {
		fields = append(fields, [2]string{":authority", c.host})
	}
	for _, header := range c.headers {
		fields = append(fields, [2]string{strings.ToLower(header[0]), header[1]})
	}
	return fields
}

// String shows the call in a line.
func (c *call) String() string {
	if !c.http2 {
		return fmt.Sprintf("%q", c.http1())
	}
	return fmt.Sprintf("HTTP/2 %q %q (%d frames) %q", c.fields(), c.body, max(c.pieces, 1), c.trailers)
}

// frame is a message in gRPC's form.
func frame(flag byte, message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(message))), message...)
}
