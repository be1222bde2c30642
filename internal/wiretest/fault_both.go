package wiretest

import (
	"io"
	"net"
	"net/http"
	"testing"

	"golang.org/x/net/http2"
)

// FaultProxies is a FaultProxy and an HTTP2FaultProxy at the same address.
type FaultProxies struct {
	*faultListener

	HTTP1 *FaultProxy
	HTTP2 *HTTP2FaultProxy
}

// NewFaultProxies returns FaultProxies that serve until the test ends, at first without
// faults.
func NewFaultProxies(tb testing.TB, handler http.Handler) *FaultProxies {
	tb.Helper()
	p := &FaultProxies{HTTP1: &FaultProxy{handler: handler}, HTTP2: &HTTP2FaultProxy{handler: handler}}
	p.faultListener = newFaultListener(tb, p.serve)
	return p
}

// serve detects HTTP/2 by its connection preface (RFC 9113 section 3.4).
func (p *FaultProxies) serve(conn net.Conn) {
	peeked := &peekedConn{Conn: conn, peeked: make([]byte, len("PRI"))}
	if _, err := io.ReadFull(conn, peeked.peeked); err != nil {
		return
	}
	if string(peeked.peeked) == http2.ClientPreface[:len("PRI")] {
		p.HTTP2.serve(peeked)
		return
	}
	p.HTTP1.serve(peeked)
}

// peekedConn is a connection whose first bytes have been read; Read returns them again.
type peekedConn struct {
	net.Conn

	peeked []byte
}

func (c *peekedConn) Read(into []byte) (int, error) {
	if len(c.peeked) == 0 {
		return c.Conn.Read(into)
	}
	n := copy(into, c.peeked)
	c.peeked = c.peeked[n:]
	return n, nil
}
