package wiretest

import (
	"io"
	"net"
	"net/http"
	"testing"

	"golang.org/x/net/http2"
)

// FaultProxies are a FaultProxy and an HTTP2FaultProxy at one address.
type FaultProxies struct {
	*faultListener

	HTTP1 *FaultProxy
	HTTP2 *HTTP2FaultProxy
}

// NewFaultProxies serves until the test ends.
func NewFaultProxies(tb testing.TB, handler http.Handler) *FaultProxies {
	tb.Helper()
	p := &FaultProxies{HTTP1: &FaultProxy{handler: handler}, HTTP2: &HTTP2FaultProxy{handler: handler}}
	p.faultListener = newFaultListener(tb, p.serve)
	return p
}

// serve looks whether a connection begins as HTTP/2 does (RFC 9113 section 3.4).
func (p *FaultProxies) serve(conn net.Conn) {
	begins := &begunConn{Conn: conn, begin: make([]byte, len("PRI"))}
	if _, err := io.ReadFull(conn, begins.begin); err != nil {
		return
	}
	if string(begins.begin) == http2.ClientPreface[:len("PRI")] {
		p.HTTP2.serve(begins)
		return
	}
	p.HTTP1.serve(begins)
}

// begunConn is a connection of which a beginning has been read, and is read again.
type begunConn struct {
	net.Conn

	begin []byte
}

func (c *begunConn) Read(into []byte) (int, error) {
	if len(c.begin) == 0 {
		return c.Conn.Read(into)
	}
	n := copy(into, c.begin)
	c.begin = c.begin[n:]
	return n, nil
}
