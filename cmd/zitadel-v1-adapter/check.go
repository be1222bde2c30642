package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"zitadel-v1-adapter/internal/app"
	"zitadel-v1-adapter/internal/check"
	"zitadel-v1-adapter/internal/config"
)

// errCheckFailed is the error of a check that found something.
var errCheckFailed = errors.New("check: not everything is there, see above")

// check reads the configuration and asks the upstream.
func (p *program) check(flags *flag.FlagSet) func(context.Context, string) error {
	_, load := p.configFlags(flags)
	tokenFile := flags.String("token-file", "", "`FILE` with an access token, whose organization is to be found")
	host := flags.String("host", "", "`NAME` that clients dial; default: server.listen as it is dialed, and the host of upstream.url")
	asJSON := flags.Bool("json", false, "print JSON")
	timeout := flags.Duration("timeout", 30*time.Second, "how long all checks together may take")
	return func(ctx context.Context, _ string) error {
		settings, err := load()
		if err != nil {
			return err
		}
		token := ""
		if *tokenFile != "" {
			content, err := os.ReadFile(*tokenFile) //nolint:gosec // the operator names the file
			if err != nil {
				return fmt.Errorf("--token-file: %w", err)
			}
			if token = strings.TrimSpace(string(content)); token == "" {
				return fmt.Errorf("--token-file: %q is empty", *tokenFile)
			}
		}
		ctx, cancel := context.WithTimeout(ctx, *timeout)
		defer cancel()
		return p.runCheck(ctx, settings, *host, token, *asJSON)
	}
}

func (p *program) runCheck(ctx context.Context, settings config.Config, host, token string, asJSON bool) error {
	checkConfig, err := app.NewCheckConfig(settings, buildVersion())
	if err != nil {
		return err
	}
	checkConfig.Host, checkConfig.Token = host, token
	results, err := check.Run(ctx, checkConfig)
	if err != nil {
		return err
	}
	if err := printResults(p.stdout, results, asJSON); err != nil {
		return err
	}
	for _, result := range results {
		if result.Status == check.Failed {
			return errCheckFailed
		}
	}
	return nil
}

func printResults(out io.Writer, results []check.Result, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(results)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, result := range results {
		fmt.Fprintf(table, "%s\t%s\t%s\n", result.Status, result.Name, result.Detail)
		if result.Hint != "" {
			fmt.Fprintf(table, "\t\t→ %s\n", result.Hint)
		}
	}
	return table.Flush()
}
