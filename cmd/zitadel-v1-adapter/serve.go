package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/spf13/cobra"

	"zitadel-v1-adapter/internal/app"
)

func newServeCommand(environ []string) *cobra.Command {
	return newServer(environ, &cobra.Command{
		Use:   "serve",
		Short: "Run the adapter (the default)",
		Long: `Run the adapter in front of ZITADEL. SIGINT and SIGTERM end it when the calls in
flight have finished. SIGHUP reloads the configuration, and so does a change of
its file.`,
		Example: `  zitadel-v1-adapter serve --upstream-url https://zitadel.example.com
  zitadel-v1-adapter serve --config config.yaml`,
	})
}

// newServer makes a command run the adapter: the root command does that too.
func newServer(environ []string, about *cobra.Command) *cobra.Command {
	c := newCommand(environ, about)
	c.addConfig("listen", "upstream-url", "upstream-host", "upstream-protocol", "admin-listen", "log-level")
	return c.does(func(ctx context.Context) error {
		changes, settings, err := app.NewChanges(c.file, c.validated)
		if err != nil {
			return err
		}
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
		changes.Hangup, changes.Tick = hangup, time.Tick(time.Second)
		tuneMemory(c.variable("GOGC") != "")
		running, err := app.Start(ctx, app.Config{Settings: settings, Version: newBuild().Version, Traces: true, Environ: c.environ, Stderr: c.ErrOrStderr()})
		if err != nil {
			return err
		}
		return running.Run(ctx, changes)
	})
}

// tuneMemory sets how much memory the Go runtime may use, unless the environment says:
// GOGC (isTuned), because the adapter holds so little memory that Go's default of 100 would collect
// garbage hundreds of times a second under load, for a few megabytes; and GOMEMLIMIT from nine
// tenths of the container's limit, if there is one, near which garbage is collected more often.
func tuneMemory(isTuned bool) {
	const gcPercent = 300
	if !isTuned {
		debug.SetGCPercent(gcPercent)
	}
	_, _ = memlimit.Set(memlimit.WithProvider(memlimit.FromCgroup), memlimit.WithRatio(0.9)) // without a limit, there is none
}
