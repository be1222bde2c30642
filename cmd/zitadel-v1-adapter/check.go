package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"zitadel-v1-adapter/internal/app"
	"zitadel-v1-adapter/internal/check"
	"zitadel-v1-adapter/internal/printable"
)

func newCheckCommand(environ []string) *cobra.Command {
	command := &cobra.Command{
		Use:   "check",
		Short: "Ask ZITADEL whether everything needed is there, and say what to do",
		Long: `Ask ZITADEL whether everything is there that the adapter needs, and say what to
do about what is not. It changes nothing. The exit code is 1 if a check failed, or if
the configuration has a mistake: then all mistakes are printed, and ZITADEL is not asked.`,
		Example: `  zitadel-v1-adapter check --upstream-url https://zitadel.example.com
  zitadel-v1-adapter check --config config.yaml --token-file token --json
  zitadel-v1-adapter check --config config.yaml --offline`,
		Args: noArguments,
	}
	source := newSource(command, environ)
	source.addCommonFlags(command)
	flags := command.Flags()
	tokenFile := addTokenFileFlag(command, "`FILE` with an access token, whose organization is to be found")
	host := flags.String("host", "", "`NAME` that clients dial; default: server.listen as it is dialed, and the host of upstream.url")
	offline := flags.Bool("offline", false, "check the configuration alone, without ZITADEL")
	asJSON := flags.Bool("json", false, "print JSON")
	timeout := flags.Duration("timeout", 30*time.Second, "how long all checks together may take, a `DURATION`")
	command.RunE = func(command *cobra.Command, _ []string) error {
		settings, err := source.validated()
		if err != nil {
			return err
		}
		if *offline {
			return printResults(command.OutOrStdout(), []check.Result{{Name: "configuration", Status: check.OK}}, *asJSON)
		}
		checkConfig, err := app.NewCheckConfig(settings, newBuild().Version)
		if err != nil {
			return err
		}
		checkConfig.Host = *host
		if checkConfig.Token, err = readToken(*tokenFile); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(command.Context(), *timeout)
		defer cancel()
		results, err := check.Run(ctx, checkConfig)
		if err != nil {
			return err
		}
		if err := printResults(command.OutOrStdout(), results, *asJSON); err != nil {
			return err
		}
		if slices.ContainsFunc(results, func(result check.Result) bool { return result.Status == check.Failed }) {
			return errors.New("check: not everything is there, see above")
		}
		return nil
	}
	return command
}

func printResults(out io.Writer, results []check.Result, asJSON bool) error {
	if asJSON {
		return printJSON(out, results)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, result := range results {
		fmt.Fprintf(table, "%s\t%s\t%s\n", result.Status, printable.Text(result.Name), printable.Text(result.Detail))
		if result.Hint != "" {
			fmt.Fprintf(table, "\t\t→ %s\n", printable.Text(result.Hint))
		}
	}
	return table.Flush()
}
