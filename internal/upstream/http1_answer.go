package upstream

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
)

// HTTP1AnswerError is the error of a request over HTTP/2 to a server that speaks only
// HTTP/1.1, which did not handle it: a proxy in front of ZITADEL, as a rule. net/http says
// that a frame is too large.
type HTTP1AnswerError struct {
	// Status is the HTTP status of its answer; 0 if it has none.
	Status int
}

func (e *HTTP1AnswerError) Error() string {
	return fmt.Sprintf("answered HTTP %d over HTTP/1.1: it does not speak HTTP/2", e.Status)
}

// http2Conn is a connection in clear text on which HTTP/2 is spoken with prior knowledge.
type http2Conn struct {
	net.Conn

	begun bool          // something was read
	http1 *atomic.Int32 // the status of what answered last, if that was over HTTP/1.1; else 0
}

// Read implements [net.Conn].
func (c *http2Conn) Read(into []byte) (int, error) {
	n, err := c.Conn.Read(into)
	if c.begun || n == 0 {
		return n, err
	}
	c.begun = true
	if line, ok := bytes.CutPrefix(into[:n], []byte("HTTP/1.")); ok {
		const status = len("1 ")
		code, _ := strconv.Atoi(string(line[min(status, len(line)):min(status+len("404"), len(line))]))
		c.http1.Store(int32(code)) //nolint:gosec // three digits
		return 0, &HTTP1AnswerError{Status: code}
	}
	c.http1.Store(0)
	return n, err
}
