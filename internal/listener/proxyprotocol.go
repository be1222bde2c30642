package listener

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pires/go-proxyproto"

	"zitadel-v1-adapter/internal/refusals"
)

// peerConn is a connection that knows whose it is: if it comes from a proxy, it begins with a
// header of the PROXY protocol, version 1 or 2, which names the client:
// https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt. What needs the peer first asks
// begin: RemoteAddr, with which net/http begins on the connection's own goroutine, before it
// sets any deadline; or else Read.
type peerConn struct {
	net.Conn

	from     *listening
	begin    func() error           // identify, once
	peer     net.Addr               // after begin
	buffered *bufio.Reader          // begins with the header; nil: not from a proxy
	leave    atomic.Pointer[func()] // ends what peers.admit began
}

func newPeerConn(conn net.Conn, from *listening) *peerConn {
	c := &peerConn{Conn: conn, from: from, peer: conn.RemoteAddr()}
	if address, ok := addressOf(c.peer); ok && from.IsProxy != nil && from.IsProxy(address) {
		const usual = 256 // bytes; longestLine has to fit
		c.buffered = bufio.NewReaderSize(conn, usual)
	}
	c.begin = sync.OnceValue(c.identify)
	return c
}

// identify reads the header, and counts the connection as its peer's. If the connection is to
// be closed, it tells those who count refusals, and returns io.EOF, so that nothing is answered
// and nobody tells them again.
func (c *peerConn) identify() error {
	if c.buffered != nil {
		if c.from.HeaderTimeout > 0 { // net/http sets another one before it reads on
			_ = c.SetReadDeadline(time.Now().Add(c.from.HeaderTimeout))
		}
		if _, err := c.buffered.Peek(1); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return io.EOF // it is gone without a word, as TCP probes are
		}
		client, err := readProxyHeader(c.buffered)
		if err != nil {
			c.from.Refusals.Add(refusals.Proxy, "server.proxyProtocol", c.peer.String(), "PROXY header: "+err.Error())
			return io.EOF
		}
		if client != nil {
			c.peer = client
		}
	}
	leave, ok := c.from.peers.admit(c.peer)
	if !ok {
		c.from.Refusals.Add(refusals.Connections, "limits.connectionsPerPeer", c.peer.String(), "the peer has as many as it may")
		return io.EOF
	}
	c.leave.Store(&leave)
	return nil
}

// longestLine is the size of the longest header of version 1, in bytes.
const longestLine = 107

// readProxyHeader reads a header of either version, and returns the client that it names; nil
// if it names none, as those of health checks. A header of version 1 may come in pieces, for
// which the library does not wait: its whole line is buffered first.
func readProxyHeader(from *bufio.Reader) (client net.Addr, err error) {
	for n := 1; n <= longestLine; n++ {
		begun, err := from.Peek(n)
		if err != nil {
			return nil, err
		}
		if !bytes.HasPrefix(begun, proxyproto.SIGV1[:min(n, len(proxyproto.SIGV1))]) || begun[n-1] == '\n' {
			break
		}
	}
	header, err := proxyproto.Read(from)
	if err != nil || header.Command.IsLocal() { // UNKNOWN of version 1 is local too
		return nil, err
	}
	if _, ok := addressOf(header.SourceAddr); !ok { // a Unix socket, which would pass for a peer on one of ours
		return nil, fmt.Errorf("%q is no IP address", header.SourceAddr)
	}
	return header.SourceAddr, nil
}

// allowLargeHeaders lets the library read all that version 2 allows: only headers of trusted proxies are read,
// and the library's usual 4 KiB are too few for a proxy that adds certificates.
var allowLargeHeaders = sync.OnceFunc(func() { proxyproto.MaxV2HeaderSize = math.MaxUint16 })

// Read reads what follows the header.
func (c *peerConn) Read(into []byte) (int, error) {
	if err := c.begin(); err != nil {
		return 0, err
	}
	if c.buffered != nil {
		return c.buffered.Read(into)
	}
	return c.Conn.Read(into)
}

// RemoteAddr returns the address of the client that the header names, and the connection's own
// if there is none.
func (c *peerConn) RemoteAddr() net.Addr {
	_ = c.begin()
	return c.peer
}

// Close closes the connection.
func (c *peerConn) Close() error {
	if leave := c.leave.Load(); leave != nil {
		(*leave)()
	}
	return c.Conn.Close()
}

// CloseWrite closes the sending side of the connection, if it has such a method.
func (c *peerConn) CloseWrite() error {
	if half, ok := c.Conn.(halfCloser); ok {
		return half.CloseWrite()
	}
	return nil
}
