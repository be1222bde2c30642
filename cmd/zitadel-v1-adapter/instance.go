package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"zitadel-v1-adapter/internal/admin"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/metrics"
	"zitadel-v1-adapter/internal/server"
)

// instance is a started adapter.
type instance struct {
	log          *slog.Logger
	level        *slog.LevelVar
	settings     config.Config
	metrics      *metrics.Metrics
	admin        *admin.Server
	certificates *server.Certificates // nil: plain text
	core         atomic.Pointer[core]
	public       *server.Server
	private      *server.Server
	failed       chan error // of a listener
}

// start listens and serves. When it returns, calls are taken.
func (p *program) start(ctx context.Context, settings config.Config) (*instance, error) {
	i := &instance{settings: settings, level: new(slog.LevelVar), metrics: metrics.New(), failed: make(chan error, 2)}
	i.level.Set(settings.Log.Level)
	i.log = p.newLogger(settings.Log.Format, i.level)
	standardLog(i.log)
	i.admin = admin.New(i.metrics.Handler())
	i.admin.SetMayQuit(settings.Admin.QuitQuitQuit)
	if files := server.TLSFiles(settings.Server.TLS); files.Enabled() {
		var err error
		if i.certificates, err = server.LoadCertificates(files); err != nil {
			return nil, err
		}
		i.metrics.CertificateExpires(metrics.CertificateServer, i.certificates.Expires())
	}
	first, err := newCore(settings, i.admin.Ready, i.metrics, i.log)
	if err != nil {
		return nil, err
	}
	i.core.Store(first)
	if err := i.listen(ctx); err != nil {
		return nil, err
	}
	i.admin.SetReady(true)
	i.log.InfoContext(ctx, "ready",
		"listen", i.public.Addr().String(), "tls", i.certificates != nil, "admin", i.private.Addr().String(),
		"upstream", settings.Upstream.URL, "protocol", settings.Upstream.Protocol, "org_scope", settings.OrgScope,
		"passthrough", settings.Passthrough.Enabled, "rollout", settings.Rollout.Percent, "version", buildVersion())
	return i, nil
}

// listen takes both addresses before it serves either.
func (i *instance) listen(ctx context.Context) error {
	public, err := listenOn(ctx, "server.listen", "--listen", i.settings.Server.Listen)
	if err != nil {
		return err
	}
	private, err := listenOn(ctx, "admin.listen", "--admin-listen", i.settings.Admin.Listen)
	if err != nil {
		_ = public.Close()
		return err
	}
	limits := i.settings.Limits
	i.public = server.New(public, server.Config{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			i.core.Load().handler.ServeHTTP(w, r)
		}),
		Certificates:  i.certificates,
		HeaderTimeout: limits.HeaderTimeout, IdleTimeout: limits.IdleTimeout, WriteTimeout: limits.WriteTimeout, HeaderBytes: limits.HeaderBytes,
		ConnectionsPerPeer: limits.ConnectionsPerPeer, OnRefused: i.metrics.ConnectionRefused,
		Log: i.log,
	})
	i.private = server.New(private, server.Config{
		Handler: i.admin, HeaderTimeout: limits.HeaderTimeout, IdleTimeout: limits.IdleTimeout, WriteTimeout: limits.WriteTimeout, Log: i.log,
	})
	for _, each := range []*server.Server{i.public, i.private} {
		go func() {
			if err := each.Serve(); err != nil {
				i.failed <- err
			}
		}()
	}
	return nil
}

func listenOn(ctx context.Context, key, option, address string) (net.Listener, error) {
	listener, err := server.Listen(ctx, address)
	switch {
	case err == nil:
		return listener, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: %w: another program uses it: choose another address with %s", key, err, option)
	}
	return nil, fmt.Errorf("%s: %w: choose another address with %s", key, err, option)
}

// wait serves until ctx ends, somebody asks for the end, or a listener fails;
// changes are what reloads. Then calls in flight finish.
func (i *instance) wait(ctx context.Context, changes *changes) error {
	failure := i.serve(ctx, changes)
	i.admin.SetReady(false)
	i.log.InfoContext(ctx, "shutting down", "delay", i.settings.Server.ShutdownDelay, "timeout", i.settings.Server.ShutdownTimeout)
	if failure == nil {
		time.Sleep(i.settings.Server.ShutdownDelay)
	}
	//nolint:contextcheck // ctx has ended, the shutdown has its own time
	ending, cancel := context.WithTimeout(context.Background(), i.settings.Server.ShutdownTimeout)
	defer cancel()
	if err := i.public.Drain(ending); err != nil {
		failure = errors.Join(failure, fmt.Errorf("calls were still in flight after server.shutdownTimeout: %w", err))
	}
	_ = i.private.Drain(ending) // probes and scrapes; whoever is left is cut
	i.core.Load().close()
	i.log.InfoContext(ctx, "stopped")
	return failure
}

// serve waits, and reloads.
func (i *instance) serve(ctx context.Context, changes *changes) error {
	for {
		select {
		case failure := <-i.failed:
			return failure
		case <-ctx.Done():
			return nil
		case <-i.admin.Quit():
			return nil
		case <-changes.hangup:
			i.reload(ctx, changes, true)
		case <-changes.tick:
			i.reload(ctx, changes, false)
		}
	}
}
