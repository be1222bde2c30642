package listener

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"zitadel-v1-adapter/internal/pemfile"
	"zitadel-v1-adapter/internal/refusals"
)

// TLSFiles names the PEM files for a listener with TLS.
type TLSFiles struct {
	// CertFiles each contain a certificate of the server, followed by the intermediate ones;
	// KeyFiles contain their keys, in the same order. A client gets the first certificate for the
	// name it asks for (SNI, RFC 6066 section 3) that it understands, else the first. None: no TLS.
	CertFiles, KeyFiles []string

	MinVersion          TLSVersion // default: TLS12
	ClientCAFile        string     // the CAs of the certificates that clients must show; "": none is requested
	ClientsMayBeUnknown bool       // a client may show none; the handler looks at Request.TLS
	Key                 string     // the configuration's section, for errors; default: "server.tls"
}

func (f TLSFiles) key(name string) string { return cmp.Or(f.Key, "server.tls") + "." + name }

// Enabled reports whether the listener uses TLS.
func (f TLSFiles) Enabled() bool { return len(f.CertFiles) > 0 }

// List returns the paths; "" stands for one that is not set.
func (f TLSFiles) List() []string {
	return slices.Concat(f.CertFiles, f.KeyFiles, []string{f.ClientCAFile})
}

// Validate checks which files are set, and reads none. The error names the configuration keys.
func (f TLSFiles) Validate() error {
	var filesErr, versionErr error
	switch certificates, keys := len(f.CertFiles), len(f.KeyFiles); {
	case (certificates == 0) != (keys == 0):
		filesErr = fmt.Errorf("%s, %s: one is set without the other: set both, or neither for plain text", f.key("certFile"), f.key("keyFile"))
	case certificates != keys:
		filesErr = fmt.Errorf("%s has %d files, %s has %d: name a key for each certificate, in the same order", f.key("certFile"), certificates, f.key("keyFile"), keys)
	case f.ClientCAFile != "" && certificates == 0:
		filesErr = fmt.Errorf("%s: client certificates need TLS: set %s and %s too", f.key("clientCAFile"), f.key("certFile"), f.key("keyFile"))
	}
	if tlsVersions[f.MinVersion] == 0 {
		versionErr = fmt.Errorf("%s: %q: use %q or %q", f.key("minVersion"), f.MinVersion, TLS12, TLS13)
	}
	return errors.Join(filesErr, versionErr)
}

// TLSVersion is the lowest version of TLS that a listener speaks.
type TLSVersion string

// The versions to choose from. Earlier ones are obsolete (RFC 8996).
const (
	TLS12 TLSVersion = "1.2"
	TLS13 TLSVersion = "1.3"
)

var tlsVersions = map[TLSVersion]uint16{"": tls.VersionTLS12, TLS12: tls.VersionTLS12, TLS13: tls.VersionTLS13}

// cipherSuites are crypto/tls's for TLS 1.2, but for those with CBC (RFC 9325 section
// 4.2.1), which scanners report. Those of TLS 1.3 are not configurable.
func cipherSuites() []uint16 {
	var suites []uint16
	for _, suite := range tls.CipherSuites() {
		if !strings.Contains(suite.Name, "_CBC_") {
			suites = append(suites, suite.ID)
		}
	}
	return suites
}

// Certificates are those that a listener currently uses. They are safe for concurrent use.
type Certificates struct {
	current atomic.Pointer[tls.Config]
}

// LoadCertificates reads the files; nil is plain text. Errors name the key, the file and what is
// wrong with it.
func LoadCertificates(files TLSFiles) (*Certificates, error) {
	if err := files.Validate(); err != nil || !files.Enabled() {
		return nil, err
	}
	config := &tls.Config{
		MinVersion:   tlsVersions[files.MinVersion],
		CipherSuites: cipherSuites(),
		NextProtos:   []string{"h2", "http/1.1"},
	}
	var mistakes []error
	for i, certFile := range files.CertFiles {
		certificate, err := pemfile.Pair(files.key("certFile"), certFile, files.KeyFiles[i])
		config.Certificates, mistakes = append(config.Certificates, certificate), append(mistakes, err)
	}
	if files.ClientCAFile != "" {
		var err error
		config.ClientCAs, err = pemfile.Pool(files.key("clientCAFile"), files.ClientCAFile)
		mistakes = append(mistakes, err)
		config.ClientAuth = tls.RequireAndVerifyClientCert
		if files.ClientsMayBeUnknown {
			config.ClientAuth = tls.VerifyClientCertIfGiven
		}
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	c := new(Certificates)
	c.current.Store(config)
	return c, nil
}

// Adopt has later handshakes use the certificates that fresh holds. Nothing becomes of it if one
// of them is nil.
func (c *Certificates) Adopt(fresh *Certificates) {
	if c != nil && fresh != nil {
		c.current.Store(fresh.current.Load())
	}
}

// Expires is when the first of the current certificates ends; zero if there is none.
func (c *Certificates) Expires() time.Time {
	var first time.Time
	for _, certificate := range c.current.Load().Certificates {
		if end := certificate.Leaf.NotAfter; first.IsZero() || end.Before(first) {
			first = end
		}
	}
	return first
}

// config makes each handshake use the certificates that are current when it begins.
func (c *Certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current.Load(), nil },
	}
}

// tlsConn makes its TLS handshake in the first Read, which net/http calls on the
// connection's own goroutine and with the read deadline of Config.HeaderTimeout.
type tlsConn struct {
	*tls.Conn

	refused *refusals.Recorder
	begin   func() error // handshake, once
}

func newTLSConn(conn net.Conn, from *listening) *tlsConn {
	c := &tlsConn{Conn: tls.Server(conn, from.tls), refused: from.Refusals}
	c.begin = sync.OnceValue(c.handshake)
	return c
}

// handshake tells those who count refusals of one that fails, and returns io.EOF, for which
// net/http has no answer: that would be another refusal.
func (c *tlsConn) handshake() error {
	if err := c.Handshake(); err != nil { //nolint:noctx // the connection has a read deadline
		c.reportFailure(err)
		return io.EOF
	}
	return nil
}

func (c *tlsConn) Read(into []byte) (int, error) {
	if err := c.begin(); err != nil {
		return 0, err
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
		err = errPlainHTTP
	}
	c.refused.Add(refusals.TLS, handshakeRule(err), c.RemoteAddr().String(), "TLS handshake: "+err.Error())
}

var errPlainHTTP = errors.New("the client speaks plain HTTP")

// handshakeRule is the rule that a handshake broke: a key of the configuration's, or a section of an RFC.
func handshakeRule(err error) string {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "limits.headerTimeout"
	}
	for _, each := range []struct{ says, rule string }{ // the first; crypto/tls's errors have no types
		{"remote error", "RFC 8446 section 6.2"}, // the client's own alert
		{"plain HTTP", "server.tls.certFile"},
		{"first record", "server.tls.certFile"},
		{"unsupported versions", "server.tls.minVersion"},
		{"application protocols", "RFC 7301 section 3.2"},
		{"certificate", "server.tls.clientCAFile"},
	} {
		if strings.Contains(err.Error(), each.says) {
			return each.rule
		}
	}
	return "RFC 8446 section 4.1"
}

// httpBegins is how a request begins that comes instead of a TLS record.
var httpBegins = regexp.MustCompile("^(GET /|HEAD |POST |PUT /|DELET|PATCH|OPTIO)")
