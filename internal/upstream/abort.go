package upstream

import (
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// abortableConn is a TCP connection that Close resets (RST) if data was sent on it
// and nothing has been received since. A normal close would keep the local port in
// TIME-WAIT for a minute (RFC 9293 section 3.6.1), so that one client which cancels
// a few hundred calls a second could use up all local ports towards the upstream.
// TestCloseResetsOnlyUnansweredConnections proves which connections are reset.
type abortableConn struct {
	*net.TCPConn

	unanswered atomic.Bool
	// graceful makes Close always close normally, so that everything sent arrives
	// although the peer may never answer it.
	graceful atomic.Bool
}

// maxCloseNotify is the length in bytes of the longest TLS close_notify alert with an
// AEAD cipher suite (RFC 8446 section 5.2, RFC 5246 section 6.2.3.3).
//
// crypto/tls writes close_notify just before it closes the connection. If that write
// counted as unanswered data, every idle TLS connection would end with a reset, which
// upstreams and load balancers log and count as an error;
// TestIdleTLSConnectionsAreNotReset proves that none does. The length is the only way
// to recognize the alert, because TLS 1.3 sends it as a record of type "application
// data". No request is this short. With a cipher suite that is not an AEAD, the alert
// is longer and the connection is reset, at no other cost.
//
// Write is the only place that needs the rule: a request's headers always go through
// Write, even if its body goes through ReadFrom.
const maxCloseNotify = 31

func (c *abortableConn) Write(data []byte) (int, error) {
	if len(data) > maxCloseNotify {
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
	if c.unanswered.Load() && !c.graceful.Load() {
		_ = c.SetLinger(0) // fails only if the connection is already closed
	}
	return c.TCPConn.Close()
}

// withConn returns a copy of the request that stores the connection it is sent on in
// the returned pointer. The pointer is nil before that, and if the connection is not
// an abortableConn.
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

// upgrade sends a request with an Upgrade header. If the upstream switches protocols,
// the connection is closed normally from then on: in another protocol, the last
// message may need no answer, and a reset could lose it.
func (t *Transport) upgrade(inUse *pools, request *http.Request) (*http.Response, error) {
	request, used := withConn(request)
	response, err := t.next(inUse).RoundTrip(request)
	if conn := used.Load(); conn != nil && err == nil && response.StatusCode == http.StatusSwitchingProtocols {
		conn.graceful.Store(true)
	}
	return response, err
}
