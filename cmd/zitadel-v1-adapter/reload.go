package main

import (
	"context"
	"os"
	"slices"
	"time"

	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/metrics"
	"zitadel-v1-adapter/internal/server"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/watch"
)

// changes is what makes an instance reload.
type changes struct {
	hangup <-chan os.Signal // SIGHUP: look at everything anew
	tick   <-chan time.Time // look whether a file has changed
	// file is the configuration's, or "".
	file string
	load func() (config.Config, error)

	configFile       watch.Files
	serverTLSFiles   watch.Files
	upstreamTLSFiles watch.Files
}

// watchInterval is how often files are looked at.
const watchInterval = time.Second

// newChanges loads the configuration, and watches its files. They are looked at
// before they are read, here and later: what is written in the meantime is a change
// the next time.
func newChanges(file string, load func() (config.Config, error)) (*changes, config.Config, error) {
	c := &changes{file: file, load: load}
	c.configFileChanged()
	settings, err := load()
	if err == nil {
		c.tlsFilesChanged(settings)
	}
	return c, settings, err
}

// configFileChanged tells whether the file has changed since the last time.
func (c *changes) configFileChanged() bool {
	var files []string
	if c.file != "" {
		files = []string{c.file}
	}
	return c.configFile.Changed(files)
}

// tlsFilesChanged tells which files have changed since the last time.
func (c *changes) tlsFilesChanged(settings config.Config) (serverTLS, upstreamTLS bool) {
	return c.serverTLSFiles.Changed(server.TLSFiles(settings.Server.TLS).List()),
		c.upstreamTLSFiles.Changed(upstream.TLS(settings.Upstream.TLS).Files())
}

// reload takes over what has changed, or everything. What is bad changes
// nothing, and is logged.
func (i *instance) reload(ctx context.Context, changes *changes, everything bool) {
	if changes.configFileChanged() || everything {
		i.reloadConfig(ctx, changes)
	}
	serverTLS, upstreamTLS := changes.tlsFilesChanged(i.settings)
	if (serverTLS || everything) && i.certificates != nil {
		i.reloadCertificates(ctx)
	}
	if upstreamTLS {
		err := i.replaceCore(i.settings)
		i.metrics.CertificateReloaded(metrics.CertificateUpstream, err)
		if err != nil {
			i.log.ErrorContext(ctx, "renewed upstream certificates not taken over, the old ones stay in use", "cause", err.Error())
			return
		}
		i.log.InfoContext(ctx, "renewed upstream certificates taken over")
	}
}

func (i *instance) reloadCertificates(ctx context.Context) {
	err := i.certificates.Reload(server.TLSFiles(i.settings.Server.TLS))
	i.metrics.CertificateReloaded(metrics.CertificateServer, err)
	if err != nil {
		i.log.ErrorContext(ctx, "renewed certificate not taken over, the old one stays in use",
			"cause", err.Error(), "expires", i.certificates.Expires())
		return
	}
	i.metrics.CertificateExpires(metrics.CertificateServer, i.certificates.Expires())
	i.log.InfoContext(ctx, "certificate taken over", "expires", i.certificates.Expires())
}

// reloadConfig loads the configuration, and takes it over or leaves it.
func (i *instance) reloadConfig(ctx context.Context, changes *changes) {
	loaded, err := changes.load()
	var needRestart []string
	if err == nil {
		loaded, needRestart = i.keepUntilRestart(loaded)
		err = i.takeOver(loaded)
	}
	i.metrics.ConfigReloaded(err)
	if err != nil {
		i.log.ErrorContext(ctx, "configuration not reloaded, the old one stays in use", "cause", err.Error())
		return
	}
	if len(needRestart) > 0 {
		i.log.WarnContext(ctx, "configuration changes that need a restart", "keys", needRestart)
	}
}

// takeOver changes from i.settings to settings, whole or not at all.
func (i *instance) takeOver(settings config.Config) error {
	keys := config.Changes(i.settings, settings)
	if len(keys) == 0 {
		i.log.Info("configuration reloaded, nothing has changed")
		return nil
	}
	var certificates *server.Certificates
	if i.certificates != nil {
		var err error
		if certificates, err = server.LoadCertificates(server.TLSFiles(settings.Server.TLS)); err != nil {
			return err
		}
	}
	if err := i.replaceCore(settings); err != nil {
		return err
	}
	i.settings = settings
	if certificates != nil {
		i.certificates.Adopt(certificates)
		i.metrics.CertificateExpires(metrics.CertificateServer, i.certificates.Expires())
	}
	i.level.Set(settings.Log.Level)
	i.admin.SetMayQuit(settings.Admin.QuitQuitQuit)
	i.log.Info("configuration reloaded", "keys", keys)
	return nil
}

// replaceCore lets new requests into a new core.
func (i *instance) replaceCore(settings config.Config) error {
	fresh, err := newCore(settings, i.admin.Ready, i.metrics, i.log)
	if err != nil {
		return err
	}
	i.core.Swap(fresh).close()
	i.metrics.BreakerReplaced()
	return nil
}

// keepUntilRestart puts the values in use back for the keys that cannot change
// under way, and lists those that would have.
func (i *instance) keepUntilRestart(loaded config.Config) (config.Config, []string) {
	kept, fixed := loaded, []string{
		"server.listen", "admin.listen", "log.format",
		"limits.headerTimeout", "limits.idleTimeout", "limits.writeTimeout", "limits.headerBytes", "limits.connectionsPerPeer",
	}
	inUse := i.settings.Limits
	kept.Limits.HeaderTimeout, kept.Limits.IdleTimeout, kept.Limits.WriteTimeout = inUse.HeaderTimeout, inUse.IdleTimeout, inUse.WriteTimeout
	kept.Limits.HeaderBytes, kept.Limits.ConnectionsPerPeer = inUse.HeaderBytes, inUse.ConnectionsPerPeer
	kept.Server.Listen, kept.Admin.Listen, kept.Log.Format = i.settings.Server.Listen, i.settings.Admin.Listen, i.settings.Log.Format
	if server.TLSFiles(loaded.Server.TLS).Enabled() != (i.certificates != nil) {
		fixed = append(fixed, "server.tls.certFile", "server.tls.keyFile", "server.tls.clientCAFile")
		kept.Server.TLS = i.settings.Server.TLS
	}
	return kept, slices.DeleteFunc(config.Changes(i.settings, loaded), func(key string) bool { return !slices.Contains(fixed, key) })
}
