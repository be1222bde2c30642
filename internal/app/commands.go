package app

import (
	"context"
	"errors"
	"io"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/check"
	"zitadel-v1-adapter/internal/compare"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/v2client"
)

// NewCheckConfig is a check of the upstream that an App with these settings would
// have. Host and Token are left to the caller. Errors name the configuration key.
func NewCheckConfig(settings config.Config, version string) (check.Config, error) {
	to, forwarding, err := newUpstream(settings)
	if err != nil {
		return check.Config{}, err
	}
	client, err := v2client.New(newClientConfig(settings, to, version))
	return check.Config{Settings: settings, Upstream: to, Forwarding: forwarding, Client: client}, err
}

// NewCompareConfig compares ZITADEL's native v1 with an adapter beside it. Token, User and
// OtherUser are left to the caller. Errors name the configuration key.
func NewCompareConfig(settings config.Config, beside *upstream.Upstream) (compare.Config, error) {
	native, _, err := newUpstream(settings)
	return compare.Config{
		Native: native, Adapter: beside,
		Languages: settings.Messages.Dir != "", OrgScopeOff: settings.OrgScope == adapter.OrgScopeOff,
	}, err
}

// StartCompared starts an adapter on a free port of 127.0.0.1 that does as the one with
// these settings would if it translated every call: without rollout, deprecation, usage, TLS, a
// limit for callers and a log, none of which is what a comparison is about. It is asked
// under ZITADEL's name, as a gateway is. stop ends it. As [Start], it takes over package
// log.
func StartCompared(ctx context.Context, settings config.Config, version string) (beside *upstream.Upstream, stop func() error, err error) {
	defaults := config.Default()
	settings.Server.Listen, settings.Admin = "127.0.0.1:0", config.Admin{Listen: "127.0.0.1:0"}
	settings.Server.TLS, settings.Server.ShutdownDelay = config.ServerTLS{}, 0
	settings.Rollout.Percent, settings.Deprecation, settings.Usage = adapter.RolloutAll, defaults.Deprecation, defaults.Usage
	settings.Limits.CallerRate, settings.Limits.ConnectionsPerPeer = defaults.Limits.CallerRate, defaults.Limits.ConnectionsPerPeer
	running, err := Start(ctx, Config{Settings: settings, Version: version, Stderr: io.Discard})
	if err != nil {
		return nil, nil, err
	}
	stop = func() error {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		return running.Run(ended, new(Changes))
	}
	beside, err = upstream.New(upstream.Config{URL: "http://" + running.Addr().String(), Host: upstream.HostClient})
	if err != nil {
		return nil, nil, errors.Join(err, stop())
	}
	return beside, stop, nil
}
