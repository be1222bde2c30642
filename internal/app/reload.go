package app

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/filewatch"
	"zitadel-v1-adapter/internal/listener"
	"zitadel-v1-adapter/internal/messages"
	"zitadel-v1-adapter/internal/metrics"
	"zitadel-v1-adapter/internal/upstream"
)

// Changes is what makes an App reload: a signal, and files that have changed. The
// zero Changes never happens.
type Changes struct {
	// Hangup makes it look at everything anew.
	Hangup <-chan os.Signal
	// Tick makes it look whether a file has changed.
	Tick <-chan time.Time

	file             string // the configuration's, or ""
	load             func() (config.Config, error)
	configFile       filewatch.Files
	serverTLSFiles   filewatch.Files
	adminTLSFiles    filewatch.Files
	upstreamTLSFiles filewatch.Files
	messageFiles     filewatch.Files
}

// NewChanges loads the configuration, and watches its file ("" if it has none) and the
// certificates and language files that it names. Files are looked at before they are
// read, here and later: what is written in the meantime is a change the next time.
func NewChanges(file string, load func() (config.Config, error)) (*Changes, config.Config, error) {
	c := &Changes{file: file, load: load}
	c.configFileChanged()
	settings, err := load()
	if err == nil {
		c.tlsFilesChanged(settings)
		c.messageFilesChanged(settings)
	}
	return c, settings, err
}

// configFileChanged tells whether the file has changed since the last time.
func (c *Changes) configFileChanged() bool {
	var files []string
	if c.file != "" {
		files = []string{c.file}
	}
	return c.configFile.Changed(files)
}

// tlsFilesChanged tells which files have changed since the last time.
func (c *Changes) tlsFilesChanged(settings config.Config) (serverTLS, adminTLS, upstreamTLS bool) {
	return c.serverTLSFiles.Changed(settings.Server.TLS.Files().List()),
		c.adminTLSFiles.Changed(settings.Admin.TLS.Files().List()),
		c.upstreamTLSFiles.Changed(upstream.TLS(settings.Upstream.TLS).Files())
}

// messageFilesChanged tells whether language files have changed since the last time.
func (c *Changes) messageFilesChanged(settings config.Config) bool {
	return c.messageFiles.Changed(messages.Files(settings.Messages.Dir))
}

// reload takes over what has changed, or everything. What is bad changes
// nothing, and is logged.
func (a *App) reload(ctx context.Context, changes *Changes, everything bool) {
	if changes.configFileChanged() || everything {
		a.reloadConfig(ctx, changes)
	}
	serverTLS, adminTLS, upstreamTLS := changes.tlsFilesChanged(a.settings)
	if serverTLS || everything {
		a.reloadCertificates(ctx, metrics.CertificateServer, a.certificates, a.settings.Server.TLS.Files())
	}
	if adminTLS || everything {
		a.reloadCertificates(ctx, metrics.CertificateAdmin, a.adminCertificates, a.settings.Admin.TLS.Files())
	}
	if upstreamTLS {
		err := a.replaceCore(a.settings)
		a.metrics.CertificateReloaded(metrics.CertificateUpstream, err)
		if err != nil {
			a.log.ErrorContext(ctx, "renewed upstream certificates not taken over, the old ones stay in use", "cause", err.Error())
			return
		}
		a.log.InfoContext(ctx, "renewed upstream certificates taken over")
	}
	if changes.messageFilesChanged(a.settings) {
		a.reloadMessages(ctx)
	}
}

func (a *App) reloadMessages(ctx context.Context) {
	err := a.replaceCore(a.settings)
	a.metrics.ConfigReloaded(err)
	if err != nil {
		a.log.ErrorContext(ctx, "language files not taken over, the old ones stay in use", "cause", err.Error())
		return
	}
	a.log.InfoContext(ctx, "language files taken over")
}

// reloadCertificates reads those of a listener again, unless it is a plain one.
func (a *App) reloadCertificates(ctx context.Context, name string, inUse *listener.Certificates, files listener.TLSFiles) {
	if inUse == nil {
		return
	}
	err := inUse.Reload(files)
	a.metrics.CertificateReloaded(name, err)
	if err != nil {
		a.log.ErrorContext(ctx, "renewed certificate not taken over, the old one stays in use",
			"cause", err.Error(), "expires", inUse.Expires(), "certificate", name)
		return
	}
	a.showExpiry()
	a.log.InfoContext(ctx, "certificate taken over", "expires", inUse.Expires(), "certificate", name)
}

// reloadConfig loads the configuration, and takes it over or leaves it.
func (a *App) reloadConfig(ctx context.Context, changes *Changes) {
	loaded, err := changes.load()
	var needRestart []string
	if err == nil {
		loaded, needRestart = a.keepUntilRestart(loaded)
		err = a.takeOver(loaded)
	}
	a.metrics.ConfigReloaded(err)
	if err != nil {
		a.log.ErrorContext(ctx, "configuration not reloaded, the old one stays in use", "cause", err.Error())
		return
	}
	if len(needRestart) > 0 {
		a.log.WarnContext(ctx, "configuration changes that need a restart", "keys", needRestart)
	}
}

// takeOver changes from a.settings to settings, whole or not at all.
func (a *App) takeOver(settings config.Config) error {
	keys := config.Changes(a.settings, settings)
	if len(keys) == 0 {
		a.log.Info("configuration reloaded, nothing has changed")
		return nil
	}
	server, serverErr := loadCertificates(settings.Server.TLS.Files())
	private, privateErr := loadCertificates(settings.Admin.TLS.Files())
	if err := errors.Join(serverErr, privateErr); err != nil {
		return err
	}
	if err := a.replaceCore(settings); err != nil {
		return err
	}
	a.settings = settings
	if server != nil {
		a.certificates.Adopt(server)
	}
	if private != nil {
		a.adminCertificates.Adopt(private)
	}
	a.showExpiry()
	a.level.Set(settings.Log.Level)
	a.admin.Set(adminSettings(settings))
	a.page.Set(settings)
	a.log.Info("configuration reloaded", "keys", keys)
	return nil
}

// replaceCore lets new requests into a new core.
func (a *App) replaceCore(settings config.Config) error {
	fresh, err := a.newCore(settings)
	if err != nil {
		return err
	}
	a.core.Swap(fresh).close()
	return nil
}

// keepUntilRestart puts the values in use back for the keys that cannot change
// under way, and lists those that would have.
func (a *App) keepUntilRestart(loaded config.Config) (config.Config, []string) {
	kept, fixed := loaded, []string{
		"server.listen", "admin.listen", "log.format", "usage.store", "usage.retention",
		"limits.headerTimeout", "limits.idleTimeout", "limits.writeTimeout", "limits.headerBytes", "limits.connectionsPerPeer",
	}
	inUse := a.settings.Limits
	kept.Limits.HeaderTimeout, kept.Limits.IdleTimeout, kept.Limits.WriteTimeout = inUse.HeaderTimeout, inUse.IdleTimeout, inUse.WriteTimeout
	kept.Limits.HeaderBytes, kept.Limits.ConnectionsPerPeer = inUse.HeaderBytes, inUse.ConnectionsPerPeer
	kept.Usage.Store, kept.Usage.Retention = a.settings.Usage.Store, a.settings.Usage.Retention
	kept.Server.Listen, kept.Admin.Listen, kept.Log.Format = a.settings.Server.Listen, a.settings.Admin.Listen, a.settings.Log.Format
	if loaded.Admin.TLS.Files().Enabled() != (a.adminCertificates != nil) {
		fixed = append(fixed, "admin.tls.certFile", "admin.tls.keyFile", "admin.tls.clientCAFile")
		kept.Admin.TLS = a.settings.Admin.TLS
	}
	if loaded.Server.TLS.Files().Enabled() != (a.certificates != nil) {
		fixed = append(fixed, "server.tls.certFile", "server.tls.keyFile", "server.tls.clientCAFile")
		kept.Server.TLS = a.settings.Server.TLS
	}
	return kept, slices.DeleteFunc(config.Changes(a.settings, loaded), func(key string) bool { return !slices.Contains(fixed, key) })
}
