package listener

import (
	"crypto/tls"
	"errors"
	"sync/atomic"
	"time"

	"zitadel-v1-adapter/internal/pemfile"
)

// TLSFiles are the PEM files of a listener with TLS.
type TLSFiles struct {
	// CertFile and KeyFile are the server's certificate, with the intermediate
	// certificates after it, and its key. Both or neither: without them there is
	// no TLS.
	CertFile string
	KeyFile  string
	// ClientCAFile holds the CAs of client certificates. With it, clients that
	// show none are turned away.
	ClientCAFile string
}

// Enabled reports whether there is to be TLS.
func (f TLSFiles) Enabled() bool { return f.CertFile != "" }

// List lists the files that are set.
func (f TLSFiles) List() []string {
	return pemfile.Set(f.CertFile, f.KeyFile, f.ClientCAFile)
}

// Validate checks which files are set, not what is in them. The error names the
// configuration keys.
func (f TLSFiles) Validate() error {
	if (f.CertFile == "") != (f.KeyFile == "") {
		return errors.New("server.tls.certFile, server.tls.keyFile: one is set without the other: set both, or neither for plain text")
	}
	if f.ClientCAFile != "" && f.CertFile == "" {
		return errors.New("server.tls.clientCAFile: client certificates need TLS: set server.tls.certFile and server.tls.keyFile too")
	}
	return nil
}

// Certificates are the certificates in use. They are safe for concurrent use.
type Certificates struct {
	current atomic.Pointer[loaded]
}

type loaded struct {
	config  *tls.Config
	expires time.Time
}

// LoadCertificates reads the files. Errors name the configuration key, the file
// and what is wrong with it.
func LoadCertificates(files TLSFiles) (*Certificates, error) {
	c := new(Certificates)
	return c, c.Reload(files)
}

// Reload takes the certificates as the files have them now: for handshakes from
// now on, connections stay. On an error, which is LoadCertificates's, the old
// ones stay in use.
func (c *Certificates) Reload(files TLSFiles) error {
	if err := files.Validate(); err != nil {
		return err
	}
	certificate, err := pemfile.Pair("server.tls.certFile", files.CertFile, files.KeyFile)
	if err != nil {
		return err
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{certificate},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
	}
	if files.ClientCAFile != "" {
		if config.ClientCAs, err = pemfile.Pool("server.tls.clientCAFile", files.ClientCAFile); err != nil {
			return err
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	c.current.Store(&loaded{config: config, expires: certificate.Leaf.NotAfter})
	return nil
}

// Adopt takes over the certificates that fresh has now.
func (c *Certificates) Adopt(fresh *Certificates) { c.current.Store(fresh.current.Load()) }

// Expires is when the server's certificate in use does.
func (c *Certificates) Expires() time.Time { return c.current.Load().expires }

// config is for a listener: every handshake takes what is in use at its time.
func (c *Certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return c.current.Load().config, nil
		},
	}
}
