package upstream

import (
	"crypto/tls"
	"errors"

	"zitadel-v1-adapter/internal/pemfile"
)

// TLS configures the certificates of an https:// upstream. The zero value trusts the
// system's CAs and sends no client certificate. All files are PEM. The minimum is TLS
// 1.2.
type TLS struct {
	// CAFile contains the CA certificates to trust instead of the system's.
	CAFile string
	// CertFile and KeyFile contain the client certificate to send if the upstream
	// asks for one, and its key. Set both or neither.
	CertFile string
	KeyFile  string
	// ServerName is the name that the upstream's certificate must be valid for, and
	// that is sent as SNI. Default: the URL's host.
	ServerName string
}

// Files returns the paths; "" stands for one that is not set. When the content of one of them changes,
// make a new Upstream: an existing one keeps the certificates it was made with.
func (t TLS) Files() []string {
	return []string{t.CAFile, t.CertFile, t.KeyFile}
}

// load reads the files. It returns nil for the zero TLS.
func (t TLS) load() (*tls.Config, error) {
	if t == (TLS{}) {
		return nil, nil //nolint:nilnil // nil is crypto/tls's default configuration
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		var err error
		if config.RootCAs, err = pemfile.Pool("upstream.tls.caFile", t.CAFile); err != nil {
			return nil, err
		}
	}
	if (t.CertFile == "") != (t.KeyFile == "") {
		return nil, errors.New("upstream.tls.certFile, upstream.tls.keyFile: one is set without the other: set both or neither")
	}
	if t.CertFile != "" {
		certificate, err := pemfile.Pair("upstream.tls.certFile", t.CertFile, t.KeyFile)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return config, nil
}
