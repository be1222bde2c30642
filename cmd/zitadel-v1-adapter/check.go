package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"zitadel-v1-adapter/internal/app"
	"zitadel-v1-adapter/internal/check"
)

func newCheckCommand(environ []string) *cobra.Command {
	c := newCommand(environ, &cobra.Command{
		Use:   "check",
		Short: "Ask ZITADEL whether everything needed is there, and say what to do",
		Long: `Ask ZITADEL whether everything is there that the adapter needs, look whether the
database in usage.store can keep the ledger, and say what to do about what is not as it
should be. It changes nothing. The exit code is 1 if a check failed, or if the
configuration has a mistake: then all mistakes are printed, and ZITADEL is not asked.`,
		Example: `  zitadel-v1-adapter check --upstream-url https://zitadel.example.com
  zitadel-v1-adapter check --config config.yaml --token-file token --json
  zitadel-v1-adapter check --config config.yaml --offline`,
	})
	c.addConfig("listen", "upstream-url", "upstream-host", "upstream-protocol")
	c.addTokenFile("`FILE` with an access token, whose organization is to be found")
	host := c.Flags().String("host", "", "`NAME` that clients dial; default: server.listen as it is dialed, and the host of upstream.url")
	offline := c.Flags().Bool("offline", false, "check the configuration alone, without ZITADEL")
	c.addJSON("print JSON")
	c.addTimeout(30*time.Second, "how long all checks together may take")
	return c.does(func(ctx context.Context) error {
		settings, err := c.validated()
		if err != nil {
			return err
		}
		if *offline {
			return c.printResults([]check.Result{{Name: "configuration", Status: check.OK}})
		}
		checkConfig, err := app.NewCheckConfig(settings, newBuild().Version)
		if err != nil {
			return err
		}
		checkConfig.Host, checkConfig.Token = *host, c.token
		results := check.Run(ctx, checkConfig)
		if slices.ContainsFunc(results, func(result check.Result) bool { return result.Status == check.Failed }) {
			err = errors.New("check: not everything is there, see above")
		}
		return errors.Join(c.printResults(results), err)
	})
}

func (c *command) printResults(results []check.Result) error {
	return c.print(results, func(table io.Writer) {
		for _, result := range results {
			row(table, string(result.Status), result.Name, result.Detail)
			if result.Hint != "" {
				row(table, "", "", "→ "+result.Hint)
			}
		}
	})
}
