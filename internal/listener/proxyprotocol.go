package listener

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pires/go-proxyproto"

	"zitadel-v1-adapter/internal/refusals"
)

// proxyListener accepts connections that proxies begin with a header of the PROXY protocol,
// version 1 or 2, which says whose connection it is:
// https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt. Connections of all others are
// what they are: a header there is no HTTP and no TLS. It does not wait for headers.
type proxyListener struct {
	net.Listener

	isProxy func(netip.Addr) bool
	timeout time.Duration // for the header; 0: none
	refused *refusals.Recorder
}

func (l *proxyListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if peer, ok := addressOf(conn.RemoteAddr()); !ok || !l.isProxy(peer) {
		return conn, nil
	}
	const usual = 256 // bytes; longestLine has to fit
	c := &proxiedConn{Conn: conn, timeout: l.timeout, refused: l.refused, buffered: bufio.NewReaderSize(conn, usual)}
	c.header = sync.OnceValue(c.readHeader)
	return c, nil
}

// addressOf returns the IP address of a peer. ok is false if it has none.
func addressOf(peer net.Addr) (address netip.Addr, ok bool) {
	from, err := netip.ParseAddrPort(peer.String())
	return from.Addr().Unmap().WithZone(""), err == nil
}

// proxiedConn is a connection of a proxy. What needs its header first reads it: RemoteAddr,
// with which net/http begins on the connection's own goroutine, before it sets any deadline;
// or else Read.
type proxiedConn struct {
	net.Conn // the proxy's

	timeout  time.Duration
	refused  *refusals.Recorder
	admit    func(client net.Addr) (leave func(), ok bool) // nil: everyone is
	header   func() error                                  // readHeader, once
	client   net.Addr                                      // after a valid header
	buffered *bufio.Reader                                 // what came with the header; nil: no more
	leave    atomic.Pointer[func()]                        // ends what admit began
}

// readHeader reads the header. If the connection is to be closed, it tells those who count
// refusals, and returns io.EOF, so that nothing is answered and nobody tells them again.
func (c *proxiedConn) readHeader() error {
	if c.timeout > 0 { // net/http sets another one before it reads on
		_ = c.SetReadDeadline(time.Now().Add(c.timeout))
	}
	if _, err := c.buffered.Peek(1); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return io.EOF // it is gone without a word, as TCP probes are
	}
	header, err := readProxyHeader(c.buffered)
	client := c.Conn.RemoteAddr()
	if err == nil && !header.Command.IsLocal() { // UNKNOWN of version 1 is local too
		client = header.SourceAddr
		if _, ok := addressOf(client); !ok { // a Unix socket, which would pass for a peer on one of ours
			err = fmt.Errorf("%q is no IP address", client)
		}
	}
	if err != nil {
		c.refused.Add(refusals.Proxy, c.Conn.RemoteAddr().String(), "PROXY header: "+err.Error())
		return io.EOF
	}
	if c.admit != nil {
		leave, ok := c.admit(client)
		if !ok {
			return io.EOF
		}
		c.leave.Store(&leave)
	}
	c.client = client
	return nil
}

// longestLine is the size of the longest header of version 1, in bytes.
const longestLine = 107

// readProxyHeader reads a header of either version. A header of version 1 may come in pieces, for which
// the library does not wait: its whole line is buffered first.
func readProxyHeader(from *bufio.Reader) (*proxyproto.Header, error) {
	for n := 1; n <= longestLine; n++ {
		begun, err := from.Peek(n)
		if err != nil {
			return nil, err
		}
		if !bytes.HasPrefix(begun, proxyproto.SIGV1[:min(n, len(proxyproto.SIGV1))]) || begun[n-1] == '\n' {
			break
		}
	}
	return proxyproto.Read(from)
}

// allowLargeHeaders lets the library read all that version 2 allows: only headers of trusted proxies are read,
// and the library's usual 4 KiB are too few for a proxy that adds certificates.
var allowLargeHeaders = sync.OnceFunc(func() { proxyproto.MaxV2HeaderSize = math.MaxUint16 })

// Read reads what follows the header.
func (c *proxiedConn) Read(into []byte) (int, error) {
	if err := c.header(); err != nil {
		return 0, err
	}
	if c.buffered != nil && c.buffered.Buffered() > 0 {
		return c.buffered.Read(into)
	}
	c.buffered = nil
	return c.Conn.Read(into)
}

// RemoteAddr returns the address of the client that the header names, and the proxy's own
// if the header names none, as those of health checks, or is not valid.
func (c *proxiedConn) RemoteAddr() net.Addr {
	if c.header() != nil {
		return c.Conn.RemoteAddr()
	}
	return c.client
}

// Close closes the connection.
func (c *proxiedConn) Close() error {
	if leave := c.leave.Load(); leave != nil {
		(*leave)()
	}
	return c.Conn.Close()
}

// CloseWrite closes the sending side of the connection, if it has such a method.
func (c *proxiedConn) CloseWrite() error { return closeWrite(c.Conn) }
