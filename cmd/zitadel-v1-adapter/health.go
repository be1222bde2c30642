package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/printable"
)

func newHealthCommand(environ []string) *cobra.Command {
	command := &cobra.Command{
		Use:   "health",
		Short: "Ask a running adapter whether it is ready",
		Long: `Ask a running adapter at its admin address whether it is ready. This is for
probes in images without a shell or curl.`,
		Example: `  zitadel-v1-adapter health --config config.yaml
  zitadel-v1-adapter health --live --admin-listen 127.0.0.1:9090`,
		Args: noArguments,
	}
	source := newSource(command, environ)
	source.addAdminFlag(command)
	live := command.Flags().Bool("live", false, "ask whether it lives, not whether it is ready")
	timeout := command.Flags().Duration("timeout", 5*time.Second, "how long to wait for the answer, a `DURATION`")
	command.RunE = func(command *cobra.Command, _ []string) error {
		settings, err := config.Read(source.file, environ, source.overrides)
		if err != nil {
			return err
		}
		path := "/readyz"
		if *live {
			path = "/healthz"
		}
		ctx, cancel := context.WithTimeout(command.Context(), *timeout)
		defer cancel()
		answer, err := askAdmin(ctx, settings.Admin, path)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(command.OutOrStdout(), answer)
		return err
	}
	return command
}

// askAdmin makes a request to an adapter's admin address as it stands in its
// configuration.
func askAdmin(ctx context.Context, admin config.Admin, path string) (string, error) {
	listen, scheme := admin.Listen, "http"
	if admin.TLS.Files().Enabled() {
		scheme = "https"
	}
	network, address := "tcp", listen
	if socket, ok := strings.CutPrefix(listen, "unix:"); ok {
		network, address = "unix", socket
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // it asks this machine, and sends no secret
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://localhost"+path, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", fmt.Errorf("no answer from admin.listen %q: %w: is the adapter running, and is this its configuration?", listen, err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil {
		return "", err
	}
	answer := printable.Excerpt(string(body))
	if response.StatusCode != http.StatusOK {
		return "", errors.New(answer)
	}
	return answer, nil
}
