package upstream

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
)

// NotHTTP2Error is the error of a request over HTTP/2 to a server that does not speak it: a
// proxy in front of ZITADEL, as a rule. net/http says that a frame is too large.
type NotHTTP2Error struct {
	// Status is the status of its answer over HTTP/1.1. It did not handle the request then.
	// 0 is any other answer.
	Status int
}

func (e *NotHTTP2Error) Error() string {
	if e.Status == 0 {
		return "answered, but not over HTTP/2"
	}
	return fmt.Sprintf("answered HTTP %d over HTTP/1.1: it does not speak HTTP/2", e.Status)
}

// http2Conn is a connection in clear text on which HTTP/2 is spoken with prior knowledge.
type http2Conn struct {
	net.Conn

	begun    bool                           // something was read
	notHTTP2 *atomic.Pointer[NotHTTP2Error] // what the upstream answered last if that was not HTTP/2; else nil
}

// Read implements [net.Conn]. A server's first frame is SETTINGS (RFC 9113 section 3.4).
func (c *http2Conn) Read(into []byte) (int, error) {
	n, err := c.Conn.Read(into)
	const frameType, settings = 3, 4
	if c.begun || n <= frameType {
		return n, err
	}
	c.begun = true
	if into[frameType] == settings {
		c.notHTTP2.Store(nil)
		return n, err
	}
	answer := new(NotHTTP2Error)
	if line, ok := bytes.CutPrefix(into[:n], []byte("HTTP/1.")); ok {
		const begin, end = len("1 "), len("1 404")
		answer.Status, _ = strconv.Atoi(string(line[min(begin, len(line)):min(end, len(line))]))
	}
	c.notHTTP2.Store(answer)
	return 0, answer
}
