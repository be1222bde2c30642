// Package app is a running adapter: it starts, reloads its configuration, and
// drains.
package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"zitadel-v1-adapter/internal/admin"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/filewatch"
	"zitadel-v1-adapter/internal/listener"
	"zitadel-v1-adapter/internal/messages"
	"zitadel-v1-adapter/internal/metrics"
	"zitadel-v1-adapter/internal/page"
	"zitadel-v1-adapter/internal/refusals"
	"zitadel-v1-adapter/internal/telemetry"
	"zitadel-v1-adapter/internal/usage"
	"zitadel-v1-adapter/internal/v1api"
	"zitadel-v1-adapter/v2client"
)

// Config says what to start.
type Config struct {
	// Settings are the adapter's configuration.
	Settings config.Config
	// Version is the adapter's, for its log and for ZITADEL.
	Version string
	// Traces says that spans of calls are exported as the variables OTEL_* say.
	Traces bool
	// AdminForAll says that the admin listener answers everybody: there is nothing but a demo.
	AdminForAll bool
	// Environ is the environment, in the form of [os.Environ].
	Environ []string
	// Stderr receives the log.
	Stderr io.Writer
}

// App is a running adapter. It serves two addresses: one for legacy clients, one
// for the platform.
type App struct {
	config    Config // as it began: see settings
	log       *slog.Logger
	level     *slog.LevelVar
	id        string   // random, of this program
	callerKey [32]byte // random: see adapter.Config
	metrics   *metrics.Metrics
	catalogue *v1api.Catalogue
	usage     *usage.Ledger
	store     *usage.Store       // nil: none
	writing   sync.WaitGroup     // the ledger to the store
	stopUsage context.CancelFunc // nil: the ledger is not written yet
	page      *page.Page
	refusals  *refusals.Recorder
	traces    *telemetry.Telemetry // nil: none
	admin     *admin.Server
	core      atomic.Pointer[core]
	public    endpoint
	private   endpoint
	failed    chan error // of a listener
	// upstreamTLS and messages are the files of these that the core was made of.
	upstreamTLS, messages filewatch.Files
}

// newApp makes an App without a core, which is not listening. The error has a line for each
// mistake in what it opens.
func newApp(c Config) (*App, error) {
	a := &App{
		config: c, id: rand.Text(), level: new(slog.LevelVar), failed: make(chan error, 2),
		public: endpoint{
			name: metrics.CertificateServer, option: "--listen",
			files: func(settings config.Config) listener.TLSFiles { return settings.Server.TLS.Files() },
		},
		private: endpoint{
			name: metrics.CertificateAdmin, option: "--admin-listen",
			files: func(settings config.Config) listener.TLSFiles { return settings.Admin.TLS.Files() },
		},
	}
	_, _ = rand.Read(a.callerKey[:]) // never fails
	breaker := func() v2client.BreakerState { return a.core.Load().client.BreakerState() }
	a.metrics = metrics.New(metrics.Sources{
		Breaker:       breaker,
		CallsInFlight: func() int { return a.core.Load().v1.CallsInFlight() },
		NextBrownout:  func() time.Time { return a.core.Load().v1.NextBrownout() },
		Sunset:        func() time.Time { return a.core.Load().v1.Sunset() },
		Version:       c.Version,
	})
	a.level.Set(c.Settings.Log.Level)
	a.log = newLogger(c.Stderr, c.Settings.Log.Format, a.level)
	a.refusals = refusals.NewRecorder(a.metrics.Refused, a.log)
	for _, e := range a.endpoints() {
		e.watched.Changed(e.files(c.Settings).List())
	}
	a.upstreamTLS.Changed(c.Settings.Upstream.TLS.Files())
	a.messages.Changed(messages.Files(c.Settings.Messages.Dir))
	var serverErr, adminErr, storeErr, err error
	a.public.certificates, serverErr = listener.LoadCertificates(a.public.files(c.Settings))
	a.private.certificates, adminErr = listener.LoadCertificates(a.private.files(c.Settings))
	a.store, storeErr = openStore(c.Settings.Usage)
	var catalogueErr, ledgerErr error
	a.catalogue, catalogueErr = v1api.Load()
	a.usage, ledgerErr = usage.NewLedger(usage.Config{
		Store: a.store, Retention: c.Settings.Usage.Retention, Names: c.Settings.Usage.Names, Successor: a.catalogue.Successor,
		OnOverflow: func(calls int64) { a.metrics.UsageUnnamed.Add(float64(calls)) }, OnFailure: a.metrics.UsageFailures.Inc, Log: a.log,
	})
	a.page, err = page.New(page.Config{
		Ledger: a.usage, Successor: a.catalogue.Successor, Breaker: breaker, Settings: c.Settings, Version: c.Version, Log: a.log,
	})
	a.admin = admin.New(a.metrics.Handler(), a.usage, a.page, c.AdminForAll, func() config.Admin { return a.settings().Admin })
	return a, errors.Join(serverErr, adminErr, storeErr, catalogueErr, ledgerErr, err)
}

// openStore opens the store that the settings name, or returns nil if they name none. The error has
// the key, and not the address, which may hold a password.
func openStore(settings config.Usage) (*usage.Store, error) {
	address, key, err := settings.StoreAddress()
	if err != nil || address == "" {
		return nil, err
	}
	store, err := usage.OpenStore(address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return store, nil
}

// settings are those in use.
func (a *App) settings() config.Config { return a.core.Load().settings }

// Validate finds every mistake in settings that can be found without ZITADEL. The error
// has a line for each, with the configuration key.
func Validate(settings config.Config) error {
	err := settings.Validate()
	// What it has found is not to be found again.
	settings.Upstream.URL = cmp.Or(settings.Upstream.URL, "http://localhost")
	if settings.Server.TLS.Files().Validate() != nil {
		settings.Server.TLS = config.ServerTLS{}
	}
	if settings.Admin.TLS.Files().Validate() != nil {
		settings.Admin.TLS = config.AdminTLS{}
	}
	a, openErr := newApp(Config{Settings: settings, Stderr: io.Discard})
	defer a.close(context.Background())
	_, coreErr := a.newCore(settings)
	return errors.Join(err, openErr, coreErr)
}

// Start starts an App. When it returns, calls are taken; [App.Run] must follow.
// It takes over package log, which net/http's client writes to. The error has a line for
// each mistake in the settings, with the configuration key, or the variable OTEL_*.
func Start(ctx context.Context, c Config) (*App, error) {
	a, err := newApp(c)
	redirectStandardLog(a.log)
	if err := a.start(ctx, err); err != nil {
		a.close(context.WithoutCancel(ctx))
		return nil, err
	}
	a.log.InfoContext(ctx, "ready",
		"listen", a.Addr().String(), "tls", a.public.certificates != nil, "admin", a.AdminAddr().String(),
		"upstream", c.Settings.Upstream.URL, "protocol", c.Settings.Upstream.Protocol, "org_scope", c.Settings.OrgScope,
		"passthrough", c.Settings.Passthrough.Enabled, "rollout", c.Settings.Rollout.Percent, "traces", a.traces != nil, "version", c.Version)
	return a, nil
}

// start opens what newApp has not, unless there is a mistake. What it has opened when it fails
// is left to close.
func (a *App) start(ctx context.Context, mistakes error) error {
	if a.store != nil {
		a.shareCallerKey(ctx)
	}
	if ignored := config.ServiceLinks(a.config.Environ); len(ignored) > 0 {
		a.log.DebugContext(ctx, "variables of Kubernetes' service links ignored", "variables", ignored)
	}
	first, err := a.newCore(a.config.Settings)
	mistakes = errors.Join(mistakes, err)
	if a.config.Traces {
		a.traces, err = telemetry.New(ctx, a.config.Version, a.log)
		mistakes = errors.Join(mistakes, err)
	}
	if mistakes != nil {
		return mistakes
	}
	a.core.Store(first)
	a.showExpiry()
	if err := a.listen(ctx); err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	a.stopUsage = stop
	a.writing.Go(func() { a.usage.Run(running) })
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

// Addr is the address on which legacy clients are served.
func (a *App) Addr() net.Addr { return a.public.server.Addr() }

// AdminAddr is the address on which the platform is served.
func (a *App) AdminAddr() net.Addr { return a.private.server.Addr() }

// Run serves, and reloads when changes says so, until ctx ends, POST
// /quitquitquit is called, or a listener fails, which is an error. Then it drains:
// it is not ready, and calls in flight finish, for which they have
// server.shutdownTimeout. All that comes after them has closeTimeout.
func (a *App) Run(ctx context.Context, changes *Changes) error {
	failure := a.serve(ctx, changes)
	a.admin.SetReady(false)
	a.public.server.Announce()
	server := a.settings().Server
	a.log.InfoContext(ctx, "shutting down", "delay_ms", server.ShutdownDelay.Milliseconds(), "timeout_ms", server.ShutdownTimeout.Milliseconds())
	if failure == nil {
		time.Sleep(server.ShutdownDelay)
	}
	//nolint:contextcheck // ctx has ended, the shutdown has its own time
	ending, cancel := context.WithTimeout(context.Background(), server.ShutdownTimeout)
	defer cancel()
	if err := a.public.server.Drain(ending); err != nil {
		failure = errors.Join(failure, fmt.Errorf("calls were still in flight after server.shutdownTimeout: %w", err))
	}
	a.close(context.WithoutCancel(ctx))
	a.log.InfoContext(ctx, "stopped")
	return failure
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

const (
	// closeTimeout is how long all that comes after the last call may take together.
	closeTimeout = 3 * time.Second
	// namingTimeout is how long a configuration that was replaced asks on who called.
	namingTimeout = 2 * time.Second
	// giveUp is how much of it is left to what has to give up, to say so.
	giveUp = 500 * time.Millisecond
)

// close ends what was started, at the same time, so that what does not answer (a database, a
// collector of traces) takes no time from the rest. What has not ended after closeTimeout is
// left behind.
func (a *App) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout-giveUp)
	defer cancel()
	var all sync.WaitGroup
	if a.page != nil {
		a.page.Close()
	}
	if a.private.server != nil {
		all.Go(func() { _ = a.private.server.Drain(ctx) }) // probes and scrapes may be cut
	}
	if core := a.core.Load(); core != nil {
		all.Go(core.close)
	}
	if a.usage != nil {
		all.Go(func() { a.closeUsage(ctx) })
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

// closeUsage names the last callers, writes what the ledger still holds, and closes its store.
func (a *App) closeUsage(ctx context.Context) {
	if core := a.core.Load(); core != nil {
		const share = 4 // most of the time is the store's
		deadline, _ := ctx.Deadline()
		naming, cancel := context.WithTimeout(ctx, time.Until(deadline)/share)
		core.v1.Finish(naming)
		cancel()
	}
	if a.stopUsage != nil {
		a.stopUsage()
		a.writing.Wait()
		if err := a.usage.Finish(ctx); err != nil {
			a.log.WarnContext(ctx, "the usage store did not take the last calls in time", "cause", err.Error())
		}
	}
	_ = a.usage.Close(ctx)
}
