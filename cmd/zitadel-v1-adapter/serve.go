package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/admin"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/v2client"
)

// serve runs the adapter until ctx ends.
func (p *program) serve(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	path := flags.String("config", "", "configuration `FILE`; without it, defaults and the environment")
	var overrides []config.Override
	for _, option := range []struct{ name, key, usage string }{
		{"listen", "server.listen", "`ADDR` for legacy clients"},
		{"admin-listen", "admin.listen", "`ADDR` of /healthz and /readyz"},
		{"upstream-url", "upstream.url", "base `URL` of ZITADEL"},
		{"log-level", "log.level", "`LEVEL`: debug, info, warn or error"},
	} {
		flags.Func(option.name, option.usage+" (key "+option.key+")", func(value string) error {
			overrides = append(overrides, config.Override{Key: option.key, Value: value})
			return nil
		})
	}
	if err := p.parse(flags, args); err != nil {
		return err
	}
	settings, err := config.Load(*path, p.environ, overrides)
	if err != nil {
		return err
	}
	running, err := p.start(ctx, settings)
	if err != nil {
		return err
	}
	return running.wait(ctx)
}

// instance is a started adapter.
type instance struct {
	log      *slog.Logger
	settings config.Config
	client   *v2client.Client
	admin    *admin.Server
	public   *http.Server
	private  *http.Server
	// address and adminAddress are those listened on.
	address      net.Addr
	adminAddress net.Addr
	failed       chan error
}

// start listens and serves. When it returns, calls are taken.
func (p *program) start(ctx context.Context, settings config.Config) (*instance, error) {
	log := p.newLogger(settings.Log)
	to, err := upstream.New(upstream.Config{URL: settings.Upstream.URL, Host: settings.Upstream.Host})
	if err != nil {
		return nil, err
	}
	client, err := v2client.New(v2client.Config{
		Upstream:  to,
		Protocol:  settings.Upstream.Protocol,
		Breaker:   v2client.BreakerConfig(settings.Breaker),
		UserAgent: "zitadel-v1-adapter/" + buildVersion(),
		Log:       log,
	})
	if err != nil {
		return nil, err
	}
	handler, err := adapter.New(adapter.Config{
		ZITADEL: client, OrgScope: settings.OrgScope, Timeout: settings.Upstream.Timeout, Log: log, Rollout: adapter.RolloutAll,
	})
	if err != nil {
		return nil, err
	}
	i := &instance{
		log: log, settings: settings, client: client, admin: admin.New(),
		failed: make(chan error, 2), // one from each listener
	}
	i.public, i.private = i.newServer(handler), i.newServer(i.admin)
	if err := i.listen(ctx); err != nil {
		client.Close()
		return nil, err
	}
	i.admin.SetReady(true)
	log.InfoContext(ctx, "ready",
		"listen", i.address.String(), "admin", i.adminAddress.String(), "upstream", settings.Upstream.URL,
		"protocol", settings.Upstream.Protocol, "org_scope", settings.OrgScope, "version", buildVersion())
	return i, nil
}

// newServer makes an HTTP/1.1 and h2c server.
func (i *instance) newServer(handler http.Handler) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           handler,
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(i.log.Handler(), slog.LevelWarn),
	}
}

// listen takes both addresses before it serves either.
func (i *instance) listen(ctx context.Context) error {
	var network net.ListenConfig
	public, err := network.Listen(ctx, "tcp", i.settings.Server.Listen)
	if err != nil {
		return fmt.Errorf("server.listen: %w: is another program using it? Choose another with --listen", err)
	}
	private, err := network.Listen(ctx, "tcp", i.settings.Admin.Listen)
	if err != nil {
		_ = public.Close()
		return fmt.Errorf("admin.listen: %w: is another program using it? Choose another with --admin-listen", err)
	}
	i.address, i.adminAddress = public.Addr(), private.Addr()
	go func() { i.failed <- i.public.Serve(public) }()
	go func() { i.failed <- i.private.Serve(private) }()
	return nil
}

// wait serves until ctx ends or a listener fails, then lets calls in flight
// finish within the shutdown timeout.
func (i *instance) wait(ctx context.Context) error {
	var failure error
	select {
	case failure = <-i.failed:
	case <-ctx.Done():
		i.log.InfoContext(ctx, "shutting down", "timeout", i.settings.Server.ShutdownTimeout)
	}
	i.admin.SetReady(false)
	//nolint:contextcheck // ctx has ended, the shutdown has its own time
	ending, cancel := context.WithTimeout(context.Background(), i.settings.Server.ShutdownTimeout)
	defer cancel()
	if err := i.public.Shutdown(ending); err != nil {
		_ = i.public.Close()
		failure = errors.Join(failure, fmt.Errorf("calls were still in flight after server.shutdownTimeout: %w", err))
	}
	_ = i.private.Close()
	i.client.Close()
	i.log.InfoContext(ctx, "stopped")
	return failure
}
