package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"

	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/filewatch"
	"zitadel-v1-adapter/internal/listener"
)

// endpoint is one of the two addresses that an App serves.
type endpoint struct {
	name         string // metrics.CertificateServer or CertificateAdmin, and the configuration's section
	option       string // which chooses its address
	files        func(config.Config) listener.TLSFiles
	watched      filewatch.Files        // those
	certificates *listener.Certificates // nil: plain text
	server       *listener.Server       // nil: it does not listen yet
}

func (a *App) endpoints() []*endpoint { return []*endpoint{&a.public, &a.private} }

// showExpiry exports when the certificates expire.
func (a *App) showExpiry() {
	for _, e := range a.endpoints() {
		if e.certificates != nil {
			a.metrics.CertificateExpires(e.name, e.certificates.Expires())
		}
	}
}

// listen takes both addresses before it serves either.
func (a *App) listen(ctx context.Context) error {
	settings := a.settings()
	public, err := a.public.listen(ctx, settings.Server.Listen)
	if err != nil {
		return err
	}
	private, err := a.private.listen(ctx, settings.Admin.Listen)
	if err != nil {
		_ = public.Close()
		return err
	}
	limits := settings.Limits
	admin := listener.Config{
		Handler: a.admin, Certificates: a.private.certificates,
		HeaderTimeout: limits.HeaderTimeout, IdleTimeout: limits.IdleTimeout, WriteTimeout: limits.WriteTimeout, Log: a.log,
	}
	server := admin
	server.Handler = a.traces.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.core.Load().handler.ServeHTTP(w, r)
	}))
	server.Certificates, server.Refusals = a.public.certificates, a.refusals
	server.HeaderBytes, server.ConnectionsPerPeer = limits.HeaderBytes, limits.ConnectionsPerPeer
	server.IsProxy = func(peer netip.Addr) bool { return a.core.Load().proxies.Contain(peer) }
	a.public.server, a.private.server = listener.New(public, server), listener.New(private, admin)
	a.admin.SetReady(true) // both sockets are bound: the first answer already says so
	for _, e := range a.endpoints() {
		go func() {
			if err := e.server.Serve(); err != nil {
				a.failed <- err
			}
		}()
	}
	return nil
}

func (e *endpoint) listen(ctx context.Context, address string) (net.Listener, error) {
	on, err := listener.Listen(ctx, address)
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w: another program uses it", err)
	}
	if errors.Is(err, syscall.ENOENT) {
		err = fmt.Errorf("%w: the folder of the socket is missing", err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s.listen: %w: choose another address with %s", e.name, err, e.option)
	}
	return on, nil
}
