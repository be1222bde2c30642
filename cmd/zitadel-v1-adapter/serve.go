package main

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"syscall"
	"time"

	"zitadel-v1-adapter/internal/app"
	"zitadel-v1-adapter/internal/config"
)

// watchInterval is how often files are looked at.
const watchInterval = time.Second

// configFlags adds --config and a flag for each of the most used keys. The
// function that it returns loads the configuration, again and again if need be.
func (p *program) configFlags(flags *flag.FlagSet) (file *string, load func() (config.Config, error)) {
	file = flags.String("config", "", "configuration `FILE`; without it, defaults and the environment")
	var overrides []config.Override
	for _, option := range []struct{ name, key, usage string }{
		{"listen", "server.listen", "`ADDR` for legacy clients"},
		{"admin-listen", "admin.listen", "`ADDR` of /healthz, /readyz and /metrics"},
		{"upstream-url", "upstream.url", "base `URL` of ZITADEL"},
		{"upstream-host", "upstream.host", "`HOST` under which ZITADEL is asked: upstream, client, or a name"},
		{"upstream-protocol", "upstream.protocol", "`PROTOCOL` of v2 calls: connect or grpc"},
		{"log-level", "log.level", "`LEVEL`: debug, info, warn or error"},
	} {
		flags.Func(option.name, option.usage+" (key "+option.key+")", func(value string) error {
			overrides = append(overrides, config.Override{Key: option.key, Value: value})
			return nil
		})
	}
	return file, func() (config.Config, error) { return config.Load(*file, p.environ, overrides) }
}

// serve runs the adapter until its context ends.
func (p *program) serve(flags *flag.FlagSet) func(context.Context, string) error {
	file, load := p.configFlags(flags)
	return func(ctx context.Context, _ string) error {
		changes, settings, err := app.NewChanges(*file, load)
		if err != nil {
			return err
		}
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
		ticker := time.NewTicker(watchInterval)
		defer ticker.Stop()
		changes.Hangup, changes.Tick = hangup, ticker.C
		running, err := app.Start(ctx, app.Config{Settings: settings, Version: buildVersion(), Stderr: p.stderr})
		if err != nil {
			return err
		}
		return running.Run(ctx, changes)
	}
}
