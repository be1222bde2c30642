package listener

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
)

// tlsListener accepts connections whose handshake is still to come.
type tlsListener struct {
	net.Listener

	config *tls.Config
	log    *slog.Logger
}

func (l *tlsListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tlsConn{Conn: tls.Server(conn, l.config), log: l.log}, nil
}

// tlsConn shakes hands at its first Read, which happens on a goroutine of its
// own and under the time limit for headers.
type tlsConn struct {
	*tls.Conn

	log    *slog.Logger
	shaken bool
	state  tls.ConnectionState
}

func (c *tlsConn) Read(into []byte) (int, error) {
	if !c.shaken {
		c.shaken = true
		if err := c.Handshake(); err != nil { //nolint:noctx // the connection has a read deadline
			c.refuse(err)
			return 0, err
		}
		c.state = c.ConnectionState()
	}
	return c.Conn.Read(into)
}

// refuse tells the operator why, and a client that speaks plain HTTP.
func (c *tlsConn) refuse(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) { // probes come and go
		return
	}
	if record, ok := errors.AsType[tls.RecordHeaderError](err); ok && record.Conn != nil && looksLikeHTTP(record.RecordHeader) {
		_, _ = io.WriteString(record.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nThis port speaks HTTPS: use an https:// URL.\n")
	}
	c.log.Warn("TLS handshake failed", "client", c.RemoteAddr().String(), "cause", err.Error())
}

func looksLikeHTTP(header [5]byte) bool {
	for _, begin := range []string{"GET /", "HEAD ", "POST ", "PUT /", "DELET", "PATCH", "OPTIO"} {
		if strings.HasPrefix(string(header[:]), begin) {
			return true
		}
	}
	return false
}
