package upstream

import (
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// abortableConn is reset when it is closed before what was sent is answered. Closed in
// the usual way it would keep its local port for a minute (TIME-WAIT, RFC 9293 section
// 3.6.1): by giving up a few hundred calls a second, one client could use up all ports
// towards an upstream.
type abortableConn struct {
	*net.TCPConn

	unanswered atomic.Bool
	// whole says that what was sent must arrive, although nothing comes back.
	whole atomic.Bool
}

// maxGoodbye is the length of the longest last word of TLS, its close_notify alert, with
// any AEAD cipher suite (RFC 8446 section 5.2, RFC 5246 section 6.2.3.3); after others the
// connection is reset, which is no harm either. No request that goes upstream is as short.
// (Bodies may come by ReadFrom, which does not matter: their headers have come by Write.)
const maxGoodbye = 31

func (c *abortableConn) Write(data []byte) (int, error) {
	if len(data) > maxGoodbye {
		c.unanswered.Store(true)
	}
	return c.TCPConn.Write(data)
}

func (c *abortableConn) Read(into []byte) (int, error) {
	n, err := c.TCPConn.Read(into)
	if n > 0 {
		c.unanswered.Store(false)
	}
	return n, err
}

func (c *abortableConn) Close() error {
	if c.unanswered.Load() && !c.whole.Load() {
		_ = c.SetLinger(0) // fails only if it is closed already
	}
	return c.TCPConn.Close()
}

// withConn makes a request whose connection, once it has one, is known, and nil if that
// is not abortable.
func withConn(request *http.Request) (*http.Request, *atomic.Pointer[abortableConn]) {
	used := new(atomic.Pointer[abortableConn])
	return request.WithContext(httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
		GotConn: func(got httptrace.GotConnInfo) {
			conn := got.Conn
			for secured, ok := conn.(interface{ NetConn() net.Conn }); ok; secured, ok = conn.(interface{ NetConn() net.Conn }) {
				conn = secured.NetConn()
			}
			abortable, _ := conn.(*abortableConn)
			used.Store(abortable)
		},
	})), used
}

// upgrade sends a request that asks for another protocol. If that is spoken from then on,
// the connection is closed in the usual way: there, the last word may have no answer.
func (t *Transport) upgrade(inUse *pools, request *http.Request) (*http.Response, error) {
	request, used := withConn(request)
	response, err := t.spread(inUse, request)
	if conn := used.Load(); conn != nil && err == nil && response.StatusCode == http.StatusSwitchingProtocols {
		conn.whole.Store(true)
	}
	return response, err
}
