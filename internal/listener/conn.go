package listener

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"zitadel-v1-adapter/internal/refusals"
)

// listening's connections are *Conns. Accept waits neither for PROXY headers nor for TLS
// handshakes: those are read on a connection's own goroutine.
type listening struct {
	net.Listener
	Config

	tls   *tls.Config // nil: plain text
	peers peers
}

func (l *listening) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	var conn halfCloser = newPeerConn(accepted, l)
	if l.tls != nil {
		conn = newTLSConn(conn, l)
	}
	return &Conn{halfCloser: conn, refused: l.Refusals}, nil
}

// halfCloser is a connection whose sending side can be closed, if that is possible.
type halfCloser interface {
	net.Conn

	CloseWrite() error
}

// Conn is a client's connection, decrypted, as net/http reads from it. It deliberately has no
// ConnectionState method: net/http would take it for TLS and then not detect HTTP/2 by the
// connection preface.
type Conn struct {
	halfCloser

	refused *refusals.Recorder
	hungUp  atomic.Bool // HangUp was called
	closing atomic.Bool // Close was called after HangUp
}

type connKey struct{}

// ConnOf returns the connection on which a request came, by the request's context; nil if it
// did not come by a Server.
func ConnOf(ctx context.Context) *Conn {
	conn, _ := ctx.Value(connKey{}).(*Conn)
	return conn
}

// Read reads from the connection. After HangUp it returns io.EOF.
func (c *Conn) Read(into []byte) (int, error) {
	if c.hungUp.Load() {
		return 0, io.EOF
	}
	n, err := c.halfCloser.Read(into)
	if c.hungUp.Load() {
		return 0, io.EOF
	}
	return n, err
}

// Write writes to the connection. It records net/http's own refusals, which no handler sees.
func (c *Conn) Write(data []byte) (int, error) {
	if at := len("HTTP/1.1 "); len(data) <= at || data[at] != '4' && data[at] != '5' { // spares downloads the search
		return c.halfCloser.Write(data)
	}
	if answer := refusal.FindSubmatch(data); answer != nil {
		c.recordRefusal(string(answer[1]), string(answer[2]))
	}
	return c.halfCloser.Write(data)
}

// refusal is an answer with which net/http refuses a request. It is written in one piece: a
// status line, and headers that no answer of a handler has in this order and without a Date.
var refusal = regexp.MustCompile("^HTTP/1\\.1 ([45]\\d\\d) ([^\r]*)\r\n" +
	"Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")

// recordRefusal records net/http's refusal with a status, whose phrase may say more.
func (c *Conn) recordRefusal(status, phrase string) {
	reason, rule := refusals.Framing, "RFC 9112 sections 3 to 7" // of which net/http does not say
	if status == "431" {
		reason, rule = refusals.Headers, "limits.headerBytes"
	}
	for says, section := range framingRules {
		if strings.Contains(phrase, says) {
			rule = section
		}
	}
	c.refused.Add(reason, rule, c.RemoteAddr().String(), "answered HTTP "+status+" "+phrase)
}

// framingRules are the rules of HTTP that a request broke, by what net/http says.
var framingRules = map[string]string{
	"required Host header":  "RFC 9112 section 3.2",
	"malformed Host header": "RFC 9112 section 3.2",
	"protocol version":      "RFC 9112 section 2.3",
	"Not Implemented":       "RFC 9112 section 6.1", // a transfer coding
}

// HangUp makes the current request the connection's last one: from now on Read returns io.EOF,
// while writing still works. Call it after answering a request whose body has not been read: what
// follows would otherwise be read as the next request.
func (c *Conn) HangUp() {
	c.hungUp.Store(true)
	_ = c.SetReadDeadline(time.Unix(1, 0)) // wakes a Read that is blocked
}

// lingering is how long Close waits for the peer to close its side after HangUp: if unread bytes
// are left when a connection is closed, the kernel resets it, and the peer may lose the answer.
const lingering = 500 * time.Millisecond

// Close closes the connection. After HangUp, it first sends the end of the stream and,
// in the background, discards what the peer still sends, for at most 500 ms.
func (c *Conn) Close() error {
	if !c.hungUp.Load() || c.closing.Swap(true) || c.CloseWrite() != nil {
		return c.halfCloser.Close()
	}
	go func() { // Close must not block: net/http closes many connections one after the other
		_ = c.SetReadDeadline(time.Now().Add(lingering))
		_, _ = io.Copy(io.Discard, c.halfCloser) // until the peer closes its side, or the deadline
		_ = c.halfCloser.Close()
	}()
	return nil
}
