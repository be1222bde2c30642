package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"zitadel-v1-adapter/internal/app"
	"zitadel-v1-adapter/internal/config"
)

// watchInterval is how often files are looked at.
const watchInterval = time.Second

func newServeCommand(environ []string) *cobra.Command {
	command := &cobra.Command{
		Use:   "serve",
		Short: "Run the adapter (the default)",
		Long: `Run the adapter in front of ZITADEL. SIGINT and SIGTERM end it when the calls in
flight have finished. SIGHUP reloads the configuration, and so does a change of
its file.`,
		Example: `  zitadel-v1-adapter serve --upstream-url https://zitadel.example.com
  zitadel-v1-adapter serve --config config.yaml`,
		Args: noArguments,
	}
	makeServe(command, environ)
	return command
}

// makeServe makes a command run the adapter: the root command does that too.
func makeServe(command *cobra.Command, environ []string) {
	source := newSource(command, environ)
	source.addCommonFlags(command)
	source.addAdminFlag(command)
	source.addFlag(command, "log-level", "log.level", "`LEVEL`: debug, info, warn or error", "debug", "info", "warn", "error")
	command.RunE = func(command *cobra.Command, _ []string) error {
		changes, settings, err := app.NewChanges(source.file, source.load)
		if err != nil {
			if _, all := source.validated(); all != nil {
				return all
			}
			return err
		}
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
		ticker := time.NewTicker(watchInterval)
		defer ticker.Stop()
		changes.Hangup, changes.Tick = hangup, ticker.C
		tuneMemory(environ)
		running, err := app.Start(command.Context(), app.Config{
			Settings: settings, Version: newBuild().Version, Ignored: config.ServiceLinks(environ), Traces: true,
			Stderr: command.ErrOrStderr(),
		})
		if err != nil {
			return err
		}
		return running.Run(command.Context(), changes)
	}
}
