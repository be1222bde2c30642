package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/printable"
)

func newHealthCommand(environ []string) *cobra.Command {
	c := newCommand(environ, &cobra.Command{
		Use:   "health",
		Short: "Ask a running adapter whether it is ready",
		Long: `Ask a running adapter at its admin address whether it is ready. This is for
probes in images without a shell or curl.`,
		Example: `  zitadel-v1-adapter health --config config.yaml
  zitadel-v1-adapter health --live --admin-listen 127.0.0.1:9090`,
	})
	c.addConfig("admin-listen")
	live := c.Flags().Bool("live", false, "ask whether it lives, not whether it is ready")
	c.addTimeout(5*time.Second, "how long to wait for the answer")
	return c.does(func(ctx context.Context) error {
		settings, err := c.read()
		if err != nil {
			return err
		}
		path := "/readyz"
		if *live {
			path = "/healthz"
		}
		answer, err := askAdmin(ctx, settings.Admin, path)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), answer)
		return err
	})
}

// askAdmin makes a request to an adapter's admin address as it stands in its
// configuration.
func askAdmin(ctx context.Context, admin config.Admin, path string) (string, error) {
	scheme, network, address := "http", "tcp", admin.Listen
	if admin.TLS.Files().Enabled() {
		scheme = "https"
	}
	if socket, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", socket
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://localhost"+path, http.NoBody)
	if err != nil {
		return "", err
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // it asks this machine, and sends no secret
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", fmt.Errorf("no answer from admin.listen %q: %w: is the adapter running, and is this its configuration?", admin.Listen, err)
	}
	defer func() { _ = response.Body.Close() }()
	answer := printable.ReadExcerpt(response.Body)
	if response.StatusCode != http.StatusOK {
		return "", errors.New(answer)
	}
	return answer, nil
}
