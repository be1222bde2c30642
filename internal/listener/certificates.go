package listener

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"sync/atomic"
	"time"

	"zitadel-v1-adapter/internal/pemfile"
)

// TLSFiles names the PEM files for a listener with TLS.
type TLSFiles struct {
	// CertFile contains the server's certificate, followed by the intermediate
	// certificates; KeyFile contains its key. Set both or neither. Default: no TLS.
	CertFile string
	KeyFile  string
	// ClientCAFile contains the CAs of client certificates. If it is set, handshakes
	// without a valid client certificate are rejected. Default: client certificates
	// are not requested.
	ClientCAFile string
	// ClientsMayBeUnknown lets handshakes without a client certificate pass: the handler
	// looks at Request.TLS.
	ClientsMayBeUnknown bool
	// Key is the configuration's section, for errors. Default: "server.tls".
	Key string
}

func (f TLSFiles) key(name string) string { return cmp.Or(f.Key, "server.tls") + "." + name }

// Enabled reports whether the listener uses TLS.
func (f TLSFiles) Enabled() bool { return f.CertFile != "" }

// List returns the paths that are set.
func (f TLSFiles) List() []string {
	return pemfile.Set(f.CertFile, f.KeyFile, f.ClientCAFile)
}

// Validate checks that the right combination of files is set. It does not read them.
// The error names the configuration keys.
func (f TLSFiles) Validate() error {
	if (f.CertFile == "") != (f.KeyFile == "") {
		return fmt.Errorf("%s, %s: one is set without the other: set both, or neither for plain text", f.key("certFile"), f.key("keyFile"))
	}
	if f.ClientCAFile != "" && f.CertFile == "" {
		return fmt.Errorf("%s: client certificates need TLS: set %s and %s too", f.key("clientCAFile"), f.key("certFile"), f.key("keyFile"))
	}
	return nil
}

// Certificates holds the certificates that a listener currently uses. It is safe for
// concurrent use.
type Certificates struct {
	current atomic.Pointer[loaded]
}

type loaded struct {
	config  *tls.Config
	expires time.Time
}

// LoadCertificates reads the files. The minimum version is TLS 1.2. Errors name the
// configuration key, the file and what is wrong with it.
func LoadCertificates(files TLSFiles) (*Certificates, error) {
	c := new(Certificates)
	return c, c.Reload(files)
}

// Reload reads the files again. Later handshakes use the new certificates; existing
// connections are not affected. If it fails, with the errors of LoadCertificates, the
// old certificates stay in use.
func (c *Certificates) Reload(files TLSFiles) error {
	if err := files.Validate(); err != nil {
		return err
	}
	certificate, err := pemfile.Pair(files.key("certFile"), files.CertFile, files.KeyFile)
	if err != nil {
		return err
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{certificate},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
	}
	if files.ClientCAFile != "" {
		if config.ClientCAs, err = pemfile.Pool(files.key("clientCAFile"), files.ClientCAFile); err != nil {
			return err
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
		if files.ClientsMayBeUnknown {
			config.ClientAuth = tls.VerifyClientCertIfGiven
		}
	}
	c.current.Store(&loaded{config: config, expires: certificate.Leaf.NotAfter})
	return nil
}

// Adopt replaces the certificates by the ones that fresh currently holds.
func (c *Certificates) Adopt(fresh *Certificates) { c.current.Store(fresh.current.Load()) }

// Expires returns the end of validity of the server's current certificate.
func (c *Certificates) Expires() time.Time { return c.current.Load().expires }

// config returns the configuration for a listener. Each handshake uses the certificates
// that are current when it begins.
func (c *Certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return c.current.Load().config, nil
		},
	}
}
