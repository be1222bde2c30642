package upstream

import (
	"crypto/tls"
	"errors"

	"zitadel-v1-adapter/internal/pemfile"
)

// TLS says how an https:// upstream is trusted and what it is shown. The zero
// TLS trusts the system's CAs and shows nothing. Files are PEM.
type TLS struct {
	// CAFile holds the CAs to trust instead of the system's.
	CAFile string
	// CertFile and KeyFile are a client certificate for an upstream that asks
	// for one: both or neither.
	CertFile string
	KeyFile  string
	// ServerName is the name to look for in the upstream's certificate, and to
	// send as SNI, instead of the URL's host.
	ServerName string
}

// Files lists the files that are set: their content may be renewed, and then a
// new Upstream is due.
func (t TLS) Files() []string {
	return pemfile.Set(t.CAFile, t.CertFile, t.KeyFile)
}

// load reads the files; nil means that everything is as net/http has it.
func (t TLS) load() (*tls.Config, error) {
	if t == (TLS{}) {
		return nil, nil //nolint:nilnil // nil is crypto/tls's word for its defaults
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
