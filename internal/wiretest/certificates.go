package wiretest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/listener"
)

// CA is a certificate authority for tests.
type CA struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	// PEM is the CA's own certificate.
	PEM []byte
}

// NewCA returns a CA whose certificate is valid for 24 hours.
func NewCA(tb testing.TB) *CA {
	tb.Helper()
	ca := &CA{certificate: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}}
	ca.certificate, ca.key, ca.PEM, _ = ca.sign(tb, ca.certificate)
	return ca
}

// Pool returns a pool that trusts the CA.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.certificate)
	return pool
}

// Issue returns a certificate, and its key, for the names (default: localhost and
// zitadel.example), 127.0.0.1 and for clients. It expires in as many hours as its serial
// number says.
func (ca *CA) Issue(tb testing.TB, serial int64, names ...string) (certPEM, keyPEM []byte) {
	tb.Helper()
	return ca.issue(tb, serial, time.Duration(serial)*time.Hour, names)
}

// Certificates returns those of a listener with one that the CA issues.
func (ca *CA) Certificates(tb testing.TB) *listener.Certificates {
	tb.Helper()
	dir := tb.TempDir()
	cert, key := ca.Issue(tb, 2)
	certificates, err := listener.LoadCertificates(listener.TLSFiles{
		CertFiles: []string{WriteFile(tb, dir, "cert", cert)}, KeyFiles: []string{WriteFile(tb, dir, "key", key)},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return certificates
}

// IssueExpired is like Issue, but the certificate expired a minute ago.
func (ca *CA) IssueExpired(tb testing.TB) (certPEM, keyPEM []byte) {
	tb.Helper()
	return ca.issue(tb, 1, -time.Minute, nil)
}

func (ca *CA) issue(tb testing.TB, serial int64, validity time.Duration, names []string) (certPEM, keyPEM []byte) {
	tb.Helper()
	if names == nil {
		names = []string{"localhost", "zitadel.example"}
	}
	_, _, certPEM, keyPEM = ca.sign(tb, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"},
		DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(validity),
	})
	return certPEM, keyPEM
}

// sign signs a certificate with the CA's key. If the CA has no key yet, the certificate is
// the CA's own and signs itself.
func (ca *CA) sign(tb testing.TB, template *x509.Certificate) (certificate *x509.Certificate, key *ecdsa.PrivateKey, certPEM, keyPEM []byte) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	signer := ca.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.certificate, &key.PublicKey, signer)
	if err != nil {
		tb.Fatal(err)
	}
	if certificate, err = x509.ParseCertificate(der); err != nil {
		tb.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// WriteFile writes a file with mode 0600 into dir and returns its path.
func WriteFile(tb testing.TB, dir, name string, content []byte) string {
	tb.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}
