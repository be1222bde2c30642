// Package pemfile reads certificates from the PEM files that the configuration names.
package pemfile

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// Pool reads CA certificates. Errors name the configuration key, the file, and what would
// be valid.
func Pool(key, file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: %q holds no certificate: use a PEM file of CA certificates", key, file)
	}
	return pool, nil
}

// Pair reads a certificate and its key. Errors name the configuration key, the files, and
// what would be valid.
func Pair(key, certFile, keyFile string) (tls.Certificate, error) {
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("%s: %q with keyFile %q: %w: use a PEM certificate and its key", key, certFile, keyFile, err)
	}
	return certificate, nil
}
