package app

import (
	"context"
	"errors"
	"fmt"
	"io"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/compare"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/upstream"
)

// NewCompareConfig compares ZITADEL's native v1 with the adapter at a base URL. Token, User
// and OtherUser are left to the caller. Errors name the configuration key, or --adapter.
func NewCompareConfig(settings config.Config, adapterURL string) (compare.Config, error) {
	native, _, err := newUpstream(settings)
	if err != nil {
		return compare.Config{}, err
	}
	beside, err := upstream.New(upstream.Config{URL: adapterURL, Host: upstream.HostUpstream})
	if err != nil {
		return compare.Config{}, fmt.Errorf("--adapter: not the base URL of an adapter: use one such as %q", "http://127.0.0.1:8080")
	}
	return compare.Config{Native: native, Adapter: beside, Languages: settings.Messages.Dir != "", OrgScopeOff: settings.OrgScope == adapter.OrgScopeOff}, nil
}

// StartCompared starts an adapter on a free port of 127.0.0.1 that does as the one with
// these settings would if it translated every call: without rollout, deprecation, TLS, a
// limit for callers and a log, none of which is what a comparison is about. It returns its
// base URL. stop ends it. As [Start], it takes over package log.
func StartCompared(ctx context.Context, settings config.Config, version string) (url string, stop func() error, err error) {
	defaults := config.Default()
	settings.Server.Listen, settings.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	settings.Server.TLS, settings.Server.ShutdownDelay = config.ServerTLS{}, 0
	settings.Rollout.Percent, settings.Deprecation = adapter.RolloutAll, defaults.Deprecation
	settings.Limits.CallerRate, settings.Limits.ConnectionsPerPeer = defaults.Limits.CallerRate, defaults.Limits.ConnectionsPerPeer
	running, err := Start(ctx, Config{Settings: settings, Version: version, Stderr: io.Discard})
	if err != nil {
		return "", nil, err
	}
	serving, cancel := context.WithCancelCause(ctx)
	ended := make(chan error, 1)
	go func() { ended <- running.Run(serving, new(Changes)) }()
	return "http://" + running.Addr().String(), func() error {
		cancel(errors.New("the comparison has ended"))
		return <-ended
	}, nil
}
