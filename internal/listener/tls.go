package listener

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"regexp"

	"zitadel-v1-adapter/internal/refusals"
)

// tlsConn makes its TLS handshake in the first Read, which net/http calls on the
// connection's own goroutine and with the read deadline of Config.HeaderTimeout.
type tlsConn struct {
	*tls.Conn

	refused    *refusals.Recorder
	handshaken bool
	state      tls.ConnectionState // after the handshake
}

func (c *tlsConn) Read(into []byte) (int, error) {
	if !c.handshaken {
		c.handshaken = true
		if err := c.Handshake(); err != nil { //nolint:noctx // the connection has a read deadline
			c.reportFailure(err)
			return 0, err
		}
		c.state = c.ConnectionState()
	}
	return c.Conn.Read(into)
}

// reportFailure says why a handshake failed, and answers a client that speaks plain
// HTTP. It ignores connections that were closed without a word, as TCP probes do.
func (c *tlsConn) reportFailure(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return
	}
	if record, ok := errors.AsType[tls.RecordHeaderError](err); ok && record.Conn != nil && httpBegins.Match(record.RecordHeader[:]) {
		_, _ = io.WriteString(record.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nThis port speaks HTTPS: use an https:// URL.\n")
	}
	c.refused.Add(refusals.TLS, c.RemoteAddr().String(), "TLS handshake: "+err.Error())
}

// httpBegins is how a request begins that comes instead of a TLS record.
var httpBegins = regexp.MustCompile("^(GET /|HEAD |POST |PUT /|DELET|PATCH|OPTIO)")
