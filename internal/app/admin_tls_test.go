package app_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"testing"

	"zitadel-v1-adapter/internal/app"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/wiretest"
)

// The admin listener speaks TLS, and asks for a client certificate without insisting on one.
func TestAdminListenerSpeaksTLS(t *testing.T) {
	t.Parallel()
	ca, dir := wiretest.NewCA(t), t.TempDir()
	cert, key := ca.Issue(t, 2)
	settings := config.Default()
	settings.Server.Listen, settings.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	settings.Upstream.URL = "http://localhost:1"
	settings.Admin.TLS = config.AdminTLS{
		CertFile: wiretest.WriteFile(t, dir, "cert", cert), KeyFile: wiretest.WriteFile(t, dir, "key", key), ClientCAFile: wiretest.WriteFile(t, dir, "ca", ca.PEM),
	}
	settings.Admin.TokenFile = wiretest.WriteFile(t, dir, "token", []byte("s3cret"))
	running, err := app.Start(t.Context(), app.Config{Settings: settings, Stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- running.Run(ctx, new(app.Changes)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, path   string
		certificates []tls.Certificate
		want         int
	}{
		{"a probe", "/readyz", nil, http.StatusOK},
		{"a stranger", "/metrics", nil, http.StatusUnauthorized},
		{"a client with a certificate", "/metrics", []tls.Certificate{pair}, http.StatusOK},
	} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool(), Certificates: test.certificates}}
		response, err := (&http.Client{Transport: transport}).Get("https://" + running.AdminAddr().String() + test.path)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		transport.CloseIdleConnections()
		if response.StatusCode != test.want {
			t.Errorf("%s: got HTTP %d, want %d", test.name, response.StatusCode, test.want)
		}
	}
}
