// Package app is a running adapter: it starts, reloads its configuration, and
// drains.
package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"zitadel-v1-adapter/internal/admin"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/listener"
	"zitadel-v1-adapter/internal/metrics"
	"zitadel-v1-adapter/internal/page"
	"zitadel-v1-adapter/internal/refusals"
	"zitadel-v1-adapter/internal/telemetry"
	"zitadel-v1-adapter/internal/usage"
	"zitadel-v1-adapter/v2client"
)

// Config says what to start.
type Config struct {
	// Settings are the adapter's configuration.
	Settings config.Config
	// Version is the adapter's, for its log and for ZITADEL.
	Version string
	// Ignored are variables of the environment that look like the adapter's and are not,
	// for its log.
	Ignored []string
	// Traces says that spans of calls are exported as the variables OTEL_* say.
	Traces bool
	// Stderr receives the log.
	Stderr io.Writer
}

// App is a running adapter. It serves two addresses: one for legacy clients, one
// for the platform.
type App struct {
	log          *slog.Logger
	level        *slog.LevelVar
	settings     config.Config
	version      string
	id           string   // random, of this program
	callerKey    [32]byte // random: see adapter.Config
	metrics      *metrics.Metrics
	usage        *usage.Ledger
	store        *usage.Store // nil: none
	stopUsage    func()       // nil: the ledger is not written
	page         *page.Page
	refusals     *refusals.Recorder
	traces       *telemetry.Telemetry // nil: none
	admin        *admin.Server
	certificates *listener.Certificates // nil: plain text
	// adminCertificates are those of the admin listener; nil: plain text
	adminCertificates *listener.Certificates
	core              atomic.Pointer[core]
	public            *listener.Server
	private           *listener.Server
	failed            chan error // of a listener
}

// newApp makes an App without a core, which is not listening. It fails if a template of the
// page cannot be parsed.
func newApp(c Config, store *usage.Store) (*App, error) {
	a := &App{settings: c.Settings, version: c.Version, store: store, id: rand.Text(), level: new(slog.LevelVar), failed: make(chan error, 2)}
	_, _ = rand.Read(a.callerKey[:]) // never fails
	a.metrics = metrics.New(metrics.Sources{
		Breaker:       func() v2client.BreakerState { return a.core.Load().client.BreakerState() },
		CallsInFlight: func() int { return a.core.Load().v1.CallsInFlight() },
		NextBrownout:  func() time.Time { return a.core.Load().v1.NextBrownout() },
		Sunset:        func() time.Time { return a.core.Load().v1.Sunset() },
		Version:       c.Version,
	})
	a.level.Set(c.Settings.Log.Level)
	a.log = newLogger(c.Stderr, c.Settings.Log.Format, a.level)
	a.refusals = refusals.NewRecorder(a.metrics.Refused, a.log)
	a.usage = usage.NewLedger(usage.Config{
		Store: store, Retention: c.Settings.Usage.Retention, OnOverflow: a.metrics.UsageUnnamed, OnFailure: a.metrics.UsageFailed, Log: a.log,
	})
	var err error
	a.page, err = page.New(page.Config{
		Ledger: a.usage, Breaker: func() v2client.BreakerState { return a.core.Load().client.BreakerState() },
		Settings: c.Settings, Version: c.Version, Log: a.log,
	})
	if err != nil {
		return nil, err
	}
	a.admin = admin.New(a.metrics.Handler(), a.usage, a.page, adminSettings(c.Settings))
	return a, nil
}

// Validate finds every mistake in settings that can be found without ZITADEL. The error
// has a line for each, with the configuration key.
func Validate(settings config.Config) error {
	mistakes := []error{settings.Validate()}
	for _, files := range [...]listener.TLSFiles{settings.Server.TLS.Files(), settings.Admin.TLS.Files()} {
		if files.Validate() == nil { // or else already found
			_, err := loadCertificates(files)
			mistakes = append(mistakes, err)
		}
	}
	if settings.Upstream.URL == "" { // already found
		settings.Upstream.URL = "http://localhost"
	}
	a, err := newApp(Config{Settings: settings, Stderr: io.Discard}, nil)
	if err != nil {
		return err
	}
	_, err = a.newCore(settings)
	store, storeErr := openStore(settings.Usage.Store)
	if store != nil {
		_ = store.Close(context.Background())
	}
	return errors.Join(append(mistakes, err, storeErr)...)
}

// loadCertificates are those of a listener; nil if it is a plain one.
func loadCertificates(files listener.TLSFiles) (*listener.Certificates, error) {
	if !files.Enabled() {
		return nil, files.Validate()
	}
	return listener.LoadCertificates(files)
}

// showExpiry exports when the certificates expire.
func (a *App) showExpiry() {
	for name, certificates := range map[string]*listener.Certificates{metrics.CertificateServer: a.certificates, metrics.CertificateAdmin: a.adminCertificates} {
		if certificates != nil {
			a.metrics.CertificateExpires(name, certificates.Expires())
		}
	}
}

// openStore is the ledger's store; nil if there is none. The address may hold a password, and
// so is not in the error.
func openStore(address string) (*usage.Store, error) {
	if address == "" {
		return nil, nil //nolint:nilnil // as said above
	}
	store, err := usage.OpenStore(address)
	if err != nil {
		return nil, fmt.Errorf("usage.store: %w", err)
	}
	return store, nil
}

// Start starts an App. When it returns, calls are taken; [App.Run] must follow.
// It takes over package log, which net/http's client writes to. The error has a line for
// each mistake in the settings, with the configuration key, or the variable OTEL_*.
func Start(ctx context.Context, c Config) (*App, error) {
	store, storeErr := openStore(c.Settings.Usage.Store)
	a, err := newApp(c, store)
	if err != nil {
		return nil, err
	}
	redirectStandardLog(a.log)
	if err := a.start(ctx, c, storeErr); err != nil {
		a.close(context.WithoutCancel(ctx))
		return nil, err
	}
	a.admin.SetReady(true)
	a.log.InfoContext(ctx, "ready",
		"listen", a.public.Addr().String(), "tls", a.certificates != nil, "admin", a.private.Addr().String(),
		"upstream", c.Settings.Upstream.URL, "protocol", c.Settings.Upstream.Protocol, "org_scope", c.Settings.OrgScope,
		"passthrough", c.Settings.Passthrough.Enabled, "rollout", c.Settings.Rollout.Percent, "traces", a.traces != nil, "version", c.Version)
	return a, nil
}

// start opens everything. What it has opened when it fails is left to close. storeErr is what
// is wrong with the store, and one mistake of several.
func (a *App) start(ctx context.Context, c Config, storeErr error) error {
	if a.store != nil {
		a.shareCallerKey(ctx)
	}
	if len(c.Ignored) > 0 {
		a.log.DebugContext(ctx, "variables of Kubernetes' service links ignored", "variables", c.Ignored)
	}
	var serverErr, adminErr, tracesErr error
	a.certificates, serverErr = loadCertificates(c.Settings.Server.TLS.Files())
	a.adminCertificates, adminErr = loadCertificates(c.Settings.Admin.TLS.Files())
	if c.Traces {
		a.traces, tracesErr = telemetry.New(ctx, c.Version, a.log)
	}
	first, err := a.newCore(c.Settings)
	if err := errors.Join(serverErr, adminErr, err, storeErr, tracesErr); err != nil {
		return err
	}
	a.showExpiry()
	a.core.Store(first)
	if err := a.listen(ctx); err != nil {
		return err
	}
	a.keepUsage()
	return nil
}

// shareCallerKey takes the key that all replicas with the same store have. If the store does
// not answer at once, callers of whom only the token is known have names of this program's own.
func (a *App) shareCallerKey(ctx context.Context) {
	const most = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	key, err := a.store.CallerKey(ctx, a.callerKey)
	if err != nil {
		a.log.WarnContext(ctx, "the usage store does not answer yet: hashes of tokens will not be those of other replicas", "cause", err.Error())
		return
	}
	a.callerKey = key
}

// keepUsage writes the ledger to its store until stopUsage is called.
func (a *App) keepUsage() {
	if a.store == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { a.usage.Run(ctx) })
	a.stopUsage = func() {
		cancel()
		running.Wait()
	}
}

// closeStore writes what the ledger still holds, and closes its store.
func (a *App) closeStore(ctx context.Context) {
	if a.stopUsage != nil {
		a.stopUsage()
		if err := a.usage.Finish(ctx); err != nil {
			a.log.WarnContext(ctx, "the usage store did not take the last calls in time", "cause", err.Error())
		}
	}
	_ = a.store.Close(ctx)
}

func adminSettings(settings config.Config) admin.Settings {
	return admin.Settings{
		Hosts: settings.Admin.Hosts, TokenFile: settings.Admin.TokenFile, MayQuit: settings.Admin.QuitQuitQuit, Pprof: settings.Admin.Pprof,
	}
}

// Addr is the address on which legacy clients are served.
func (a *App) Addr() net.Addr { return a.public.Addr() }

// AdminAddr is the address on which the platform is served.
func (a *App) AdminAddr() net.Addr { return a.private.Addr() }

// listen takes both addresses before it serves either.
func (a *App) listen(ctx context.Context) error {
	public, err := listenOn(ctx, "server.listen", "--listen", a.settings.Server.Listen)
	if err != nil {
		return err
	}
	private, err := listenOn(ctx, "admin.listen", "--admin-listen", a.settings.Admin.Listen)
	if err != nil {
		_ = public.Close()
		return err
	}
	limits := a.settings.Limits
	a.public = listener.New(public, listener.Config{
		Handler: a.traces.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a.core.Load().handler.ServeHTTP(w, r)
		})),
		Certificates:  a.certificates,
		HeaderTimeout: limits.HeaderTimeout, IdleTimeout: limits.IdleTimeout, WriteTimeout: limits.WriteTimeout, HeaderBytes: limits.HeaderBytes,
		ConnectionsPerPeer: limits.ConnectionsPerPeer, IsProxy: func(peer netip.Addr) bool { return a.core.Load().proxies.Contain(peer) },
		Refusals: a.refusals, Log: a.log,
	})
	a.private = listener.New(private, listener.Config{
		Handler: a.admin, Certificates: a.adminCertificates, HeaderTimeout: limits.HeaderTimeout, IdleTimeout: limits.IdleTimeout, WriteTimeout: limits.WriteTimeout, Log: a.log,
	})
	for _, each := range []*listener.Server{a.public, a.private} {
		go func() {
			if err := each.Serve(); err != nil {
				a.failed <- err
			}
		}()
	}
	return nil
}

func listenOn(ctx context.Context, key, option, address string) (net.Listener, error) {
	on, err := listener.Listen(ctx, address)
	switch {
	case err == nil:
		return on, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: %w: another program uses it: choose another address with %s", key, err, option)
	}
	return nil, fmt.Errorf("%s: %w: choose another address with %s", key, err, option)
}

// Run serves, and reloads when changes says so, until ctx ends, POST
// /quitquitquit is called, or a listener fails, which is an error. Then it drains:
// it is not ready, and calls in flight finish, for which they have
// server.shutdownTimeout. All that comes after them has closeTimeout.
func (a *App) Run(ctx context.Context, changes *Changes) error {
	failure := a.serve(ctx, changes)
	a.admin.SetReady(false)
	a.public.Announce()
	server := a.settings.Server
	a.log.InfoContext(ctx, "shutting down", "delay_ms", server.ShutdownDelay.Milliseconds(), "timeout_ms", server.ShutdownTimeout.Milliseconds())
	if failure == nil {
		time.Sleep(server.ShutdownDelay)
	}
	//nolint:contextcheck // ctx has ended, the shutdown has its own time
	ending, cancel := context.WithTimeout(context.Background(), server.ShutdownTimeout)
	defer cancel()
	if err := a.public.Drain(ending); err != nil {
		failure = errors.Join(failure, fmt.Errorf("calls were still in flight after server.shutdownTimeout: %w", err))
	}
	a.close(context.WithoutCancel(ctx))
	a.log.InfoContext(ctx, "stopped")
	return failure
}

const (
	// closeTimeout is how long all that comes after the last call may take together.
	closeTimeout = 3 * time.Second
	// giveUp is how much of it is left to what has to give up, to say so.
	giveUp = 500 * time.Millisecond
)

// close ends what was started, at the same time, so that what does not answer (a database, a
// collector of traces) takes no time from the rest. What has not ended after closeTimeout is
// left behind.
func (a *App) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout-giveUp)
	defer cancel()
	a.page.Close()
	var all sync.WaitGroup
	if a.private != nil {
		all.Go(func() { _ = a.private.Drain(ctx) }) // probes and scrapes may be cut
	}
	if core := a.core.Load(); core != nil {
		all.Go(core.close)
	}
	if a.store != nil {
		all.Go(func() { a.closeStore(ctx) })
	}
	all.Go(a.traces.Close)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		all.Wait()
	}()
	select {
	case <-closed:
	case <-time.After(closeTimeout):
	}
}

// serve waits for the end, and reloads until then.
func (a *App) serve(ctx context.Context, changes *Changes) error {
	for {
		select {
		case failure := <-a.failed:
			return failure
		case <-ctx.Done():
			return nil
		case <-a.admin.Quit():
			return nil
		case <-changes.Hangup:
			a.reload(ctx, changes, true)
		case <-changes.Tick:
			a.reload(ctx, changes, false)
		}
	}
}
