package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"zitadel-v1-adapter/internal/config"
)

// health asks a running adapter, for images without a shell or curl.
func (p *program) health(flags *flag.FlagSet) func(context.Context, string) error {
	file := flags.String("config", "", "configuration `FILE` of the running adapter")
	address := flags.String("admin-listen", "", "its admin `ADDR` (key admin.listen)")
	live := flags.Bool("live", false, "ask whether it lives, not whether it is ready")
	timeout := flags.Duration("timeout", 5*time.Second, "how long to wait for the answer")
	return func(ctx context.Context, _ string) error {
		var overrides []config.Override
		if *address != "" {
			overrides = []config.Override{{Key: "admin.listen", Value: *address}}
		}
		settings, err := config.Read(*file, p.environ, overrides)
		if err != nil {
			return err
		}
		path := "/readyz"
		if *live {
			path = "/healthz"
		}
		ctx, cancel := context.WithTimeout(ctx, *timeout)
		defer cancel()
		answer, err := askAdmin(ctx, settings.Admin.Listen, path)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(p.stdout, answer)
		return err
	}
}

// askAdmin makes a request to an adapter's admin address as it stands in its
// configuration.
func askAdmin(ctx context.Context, listen, path string) (string, error) {
	network, address := "tcp", listen
	if socket, ok := strings.CutPrefix(listen, "unix:"); ok {
		network, address = "unix", socket
	} else if host, port, err := net.SplitHostPort(listen); err == nil && (host == "" || net.ParseIP(host).IsUnspecified()) {
		address = net.JoinHostPort("localhost", port) // what listens everywhere listens here
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, http.NoBody)
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
	answer := strings.TrimSpace(string(body))
	if response.StatusCode != http.StatusOK {
		return "", errors.New(answer)
	}
	return answer, nil
}
