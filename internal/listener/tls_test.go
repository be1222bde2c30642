package listener_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/listener"
	"zitadel-v1-adapter/internal/wiretest"
)

// startTLS starts a server with a certificate of the CA for each list of names. The
// certificates' serial numbers count up from 2. It returns its address.
func startTLS(t *testing.T, ca *wiretest.CA, minVersion listener.TLSVersion, names ...[]string) string {
	t.Helper()
	files := listener.TLSFiles{MinVersion: minVersion}
	for i, of := range names {
		dir := t.TempDir()
		cert, key := ca.Issue(t, int64(2+i), of...)
		files.CertFiles = append(files.CertFiles, wiretest.WriteFile(t, dir, "cert", cert))
		files.KeyFiles = append(files.KeyFiles, wiretest.WriteFile(t, dir, "key", key))
	}
	certificates, err := listener.LoadCertificates(files)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, "127.0.0.1:0", http.HandlerFunc(describe), certificates, io.Discard).Addr().String()
}

// Of several certificates, a client gets the one for the name that it asks for, and the
// first if there is none. The one that expires first is the one to worry about.
func TestCertificateIsChosenByName(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewCA(t)
	address := startTLS(t, ca, "", []string{"a.example"}, []string{"b.example", "*.c.example"})
	for name, want := range map[string]int64{"a.example": 2, "b.example": 3, "x.c.example": 3, "unknown.example": 2, "": 2} {
		conn, err := tls.Dial("tcp", address, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err != nil {
			t.Errorf("%q: got %v, want a handshake", name, err)
			continue
		}
		if got := conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(); got != want {
			t.Errorf("%q: got certificate %d, want %d", name, got, want)
		}
		_ = conn.Close()
	}
}

// Versions below the lowest one are refused, and so are suites with CBC, even to a client
// that knows no others.
func TestOldTLSIsRefused(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewCA(t)
	from12, from13 := startTLS(t, ca, listener.TLS12, nil), startTLS(t, ca, listener.TLS13, nil)
	cbc := []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA}
	for name, test := range map[string]struct {
		address string
		client  *tls.Config
		want    string // of the error
	}{
		"1.1 to 1.2":          {from12, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "protocol version not supported"},
		"1.2 to 1.2":          {from12, &tls.Config{MaxVersion: tls.VersionTLS12}, ""},
		"1.2 to 1.2, CBC":     {from12, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: cbc}, "handshake failure"},
		"1.3 to 1.2":          {from12, &tls.Config{MinVersion: tls.VersionTLS13}, ""},
		"1.2 to 1.3":          {from13, &tls.Config{MaxVersion: tls.VersionTLS12}, "protocol version not supported"},
		"1.3 to 1.3":          {from13, &tls.Config{}, ""},
		"1.2 or 1.3, CBC too": {from12, &tls.Config{CipherSuites: cbc}, ""},
	} {
		test.client.RootCAs = ca.Pool()
		conn, err := tls.Dial("tcp", test.address, test.client)
		switch {
		case err == nil && test.want != "":
			t.Errorf("%s: got a handshake with %s, want %s", name, tls.CipherSuiteName(conn.ConnectionState().CipherSuite), test.want)
		case err != nil && (test.want == "" || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
}
