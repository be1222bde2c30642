package app

import (
	"context"
	"errors"
	"os"
	"time"

	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/filewatch"
	"zitadel-v1-adapter/internal/listener"
	"zitadel-v1-adapter/internal/messages"
	"zitadel-v1-adapter/internal/metrics"
)

// Changes is what makes an App reload: a signal, and files that have changed. The
// zero Changes never happens.
type Changes struct {
	// Hangup makes it look at everything anew.
	Hangup <-chan os.Signal
	// Tick makes it look whether a file has changed.
	Tick <-chan time.Time

	file       string // the configuration's, or ""
	load       func() (config.Config, error)
	configFile filewatch.Files
}

// NewChanges loads the configuration, and watches its file ("" if it has none); the App
// watches the certificates and language files that it names. Files are looked at before they
// are read, here and later: what is written in the meantime is a change the next time.
func NewChanges(file string, load func() (config.Config, error)) (*Changes, config.Config, error) {
	c := &Changes{file: file, load: load}
	c.configFileChanged()
	settings, err := load()
	return c, settings, err
}

// configFileChanged reports whether the file has changed since the last time.
func (c *Changes) configFileChanged() bool { return c.configFile.Changed([]string{c.file}) }

// reload takes over what has changed, or everything. What is bad changes
// nothing, and is logged.
func (a *App) reload(ctx context.Context, changes *Changes, everything bool) {
	if changes.configFileChanged() || everything {
		a.reloadConfig(ctx, changes.load)
	}
	settings := a.settings()
	for _, e := range a.endpoints() {
		if e.watched.Changed(e.files(settings).List()) || everything {
			a.reloadCertificates(ctx, e)
		}
	}
	if a.upstreamTLS.Changed(settings.Upstream.TLS.Files()) {
		a.metrics.CertificateReloaded(metrics.CertificateUpstream, a.renewCore(ctx, "renewed upstream certificates"))
	}
	if a.messages.Changed(messages.Files(settings.Messages.Dir)) {
		a.metrics.ConfigReloaded(a.renewCore(ctx, "language files"))
	}
}

// renewCore makes a new core with files that have changed; what says which.
func (a *App) renewCore(ctx context.Context, what string) error {
	err := a.replaceCore(a.settings())
	if err != nil {
		a.log.ErrorContext(ctx, what+" not taken over, the old ones stay in use", "cause", err.Error())
	} else {
		a.log.InfoContext(ctx, what+" taken over")
	}
	return err
}

// reloadCertificates reads those of a listener again, unless it is a plain one.
func (a *App) reloadCertificates(ctx context.Context, of *endpoint) {
	if of.certificates == nil {
		return
	}
	fresh, err := listener.LoadCertificates(of.files(a.settings()))
	of.certificates.Adopt(fresh)
	a.metrics.CertificateReloaded(of.name, err)
	if err != nil {
		a.log.ErrorContext(ctx, "renewed certificate not taken over, the old one stays in use",
			"cause", err.Error(), "expires", of.certificates.Expires(), "certificate", of.name)
		return
	}
	a.showExpiry()
	a.log.InfoContext(ctx, "certificate taken over", "expires", of.certificates.Expires(), "certificate", of.name)
}

// reloadConfig loads the configuration, and takes it over or leaves it.
func (a *App) reloadConfig(ctx context.Context, load func() (config.Config, error)) {
	loaded, err := load()
	kept := a.keepUntilRestart(loaded)
	if err == nil {
		err = a.takeOver(ctx, kept)
	}
	a.metrics.ConfigReloaded(err)
	if err != nil {
		a.log.ErrorContext(ctx, "configuration not reloaded, the old one stays in use", "cause", err.Error())
		return
	}
	if needRestart := config.Changes(kept, loaded); len(needRestart) > 0 {
		a.log.WarnContext(ctx, "configuration changes that need a restart", "keys", needRestart)
	}
}

// takeOver changes to other settings, whole or not at all.
func (a *App) takeOver(ctx context.Context, settings config.Config) error {
	keys := config.Changes(a.settings(), settings)
	if len(keys) == 0 {
		a.log.InfoContext(ctx, "configuration reloaded, nothing has changed")
		return nil
	}
	public, publicErr := listener.LoadCertificates(a.public.files(settings))
	private, privateErr := listener.LoadCertificates(a.private.files(settings))
	if err := errors.Join(publicErr, privateErr); err != nil {
		return err
	}
	if err := a.replaceCore(settings); err != nil {
		return err
	}
	a.public.certificates.Adopt(public)
	a.private.certificates.Adopt(private)
	a.showExpiry()
	a.level.Set(settings.Log.Level)
	a.page.Set(settings)
	a.log.InfoContext(ctx, "configuration reloaded", "keys", keys)
	return nil
}

// replaceCore lets new requests into a new core.
func (a *App) replaceCore(settings config.Config) error {
	fresh, err := a.newCore(settings)
	if err != nil {
		return err
	}
	old := a.core.Swap(fresh)
	old.close()
	a.writing.Go(func() { // callers whose names are still asked for
		naming, cancel := context.WithTimeout(context.Background(), namingTimeout)
		defer cancel()
		old.v1.Finish(naming)
	})
	return nil
}

// keepUntilRestart puts the values in use back for the keys that cannot change under way.
func (a *App) keepUntilRestart(loaded config.Config) config.Config {
	inUse, kept := a.settings(), loaded
	kept.Server.Listen, kept.Admin.Listen, kept.Log.Format = inUse.Server.Listen, inUse.Admin.Listen, inUse.Log.Format
	kept.Usage.Store, kept.Usage.StoreFile = inUse.Usage.Store, inUse.Usage.StoreFile
	kept.Usage.Retention, kept.Usage.Names = inUse.Usage.Retention, inUse.Usage.Names
	was, limits := inUse.Limits, &kept.Limits
	limits.HeaderTimeout, limits.IdleTimeout, limits.WriteTimeout = was.HeaderTimeout, was.IdleTimeout, was.WriteTimeout
	limits.HeaderBytes, limits.ConnectionsPerPeer = was.HeaderBytes, was.ConnectionsPerPeer
	if loaded.Admin.TLS.Files().Enabled() != (a.private.certificates != nil) {
		kept.Admin.TLS = inUse.Admin.TLS
	}
	if loaded.Server.TLS.Files().Enabled() != (a.public.certificates != nil) {
		kept.Server.TLS = inUse.Server.TLS
	}
	return kept
}
