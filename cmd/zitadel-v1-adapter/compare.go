package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"zitadel-v1-adapter/internal/app"
	"zitadel-v1-adapter/internal/compare"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/printable"
	"zitadel-v1-adapter/internal/upstream"
)

// comparison is how compare was called.
type comparison struct {
	tokenFile                *string
	user, otherUser, adapter string
	asJSON, dryRun           bool
	timeout                  time.Duration
}

func newCompareCommand(environ []string) *cobra.Command {
	command := &cobra.Command{
		Use:   "compare",
		Short: "Compare native v1 with the adapter, by calls that change nothing",
		Long: `Make v1 calls against ZITADEL's native v1 and against the adapter, and print what
differs. The calls change nothing: each has no valid token, names no user, or holds no
password, and is checked for that before it is sent. The adapter is one made for this,
with the same configuration, or a running one (--adapter). The exit code is 1 if
answers differ otherwise than docs/differences.md says.`,
		Example: `  zitadel-v1-adapter compare --upstream-url https://zitadel.example.com --token-file token
  zitadel-v1-adapter compare --config config.yaml --token-file token --dry-run
  zitadel-v1-adapter compare --config config.yaml --token-file token --adapter http://127.0.0.1:8080`,
		Args: noArguments,
	}
	source := newSource(command, environ)
	source.addUpstreamFlags(command)
	c := comparison{tokenFile: addTokenFileFlag(command, "`FILE` with an access token of a caller who may set passwords")}
	flags := command.Flags()
	flags.StringVar(&c.user, "user", "", "`ID` of a user of the caller's organization; default: one that does not exist")
	flags.StringVar(&c.otherUser, "other-user", "", "`ID` of a user of another organization")
	flags.StringVar(&c.adapter, "adapter", "", "base `URL` of a running adapter; default: one is made for this")
	flags.BoolVar(&c.dryRun, "dry-run", false, "print what would be sent, and send nothing")
	flags.BoolVar(&c.asJSON, "json", false, "print JSON")
	flags.DurationVar(&c.timeout, "timeout", time.Minute, "how long all calls together may take, a `DURATION`")
	command.RunE = func(command *cobra.Command, _ []string) error {
		settings, err := source.validated()
		if err != nil {
			return err
		}
		return c.run(command, settings)
	}
	return command
}

func (c comparison) run(command *cobra.Command, settings config.Config) (failure error) {
	ctx, cancel := context.WithTimeout(command.Context(), c.timeout)
	defer cancel()
	token, err := readToken(*c.tokenFile)
	if err != nil {
		return err
	}
	var beside *upstream.Upstream
	switch {
	case c.adapter != "":
		beside, err = upstream.New(upstream.Config{URL: c.adapter, Host: upstream.HostUpstream})
		if err != nil { // which names another key
			return fmt.Errorf("--adapter: not the base URL of an adapter: use one such as %q", "http://127.0.0.1:8080")
		}
	case !c.dryRun:
		started, stop, err := app.StartCompared(command.Context(), settings, newBuild().Version)
		if err != nil {
			return err
		}
		defer func() { failure = errors.Join(failure, stop()) }()
		beside = started
	}
	compareConfig, err := app.NewCompareConfig(settings, beside)
	if err != nil {
		return err
	}
	compareConfig.Token, compareConfig.User, compareConfig.OtherUser = token, c.user, c.otherUser
	plan, err := compare.NewPlan(compareConfig)
	if err != nil {
		return err
	}
	if err := c.announce(command, plan, settings.Upstream.URL); err != nil || c.dryRun {
		return err
	}
	rows, err := plan.Run(ctx)
	if err == nil {
		err = verdict(rows)
	}
	return errors.Join(c.print(command.OutOrStdout(), rows), err)
}

// announce prints what is going to be sent, and why none of it writes.
func (c comparison) announce(command *cobra.Command, plan *compare.Plan, zitadel string) error {
	out, calls := command.OutOrStdout(), plan.Calls()
	if c.asJSON {
		if c.dryRun {
			return printJSON(out, calls)
		}
		out = command.ErrOrStderr()
	}
	beside := c.adapter
	if beside == "" {
		beside = "an adapter made for this"
	}
	fmt.Fprintf(out, "%d calls go to %s, and the same to %s. None can change anything:\n\n", len(calls), zitadel, beside)
	counts, order := map[compare.Reason]int{}, []compare.Reason(nil)
	for _, call := range calls {
		if counts[call.Why] == 0 {
			order = append(order, call.Why)
		}
		counts[call.Why]++
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, why := range order {
		fmt.Fprintf(table, "%d\t%s\n", counts[why], why)
	}
	fmt.Fprintln(table)
	return table.Flush()
}

// print prints the rows, each with native v1's answer; and the adapter's if it is
// another.
func (c comparison) print(out io.Writer, rows []compare.Row) error {
	if c.asJSON {
		return printJSON(out, append([]compare.Row{}, rows...)) // none is [], not null
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", row.Status, row.Protocol, row.Method, row.What, printable.Text(row.Native))
		if row.Adapter != "" {
			fmt.Fprintf(table, "\t\t\tadapter:\t%s\n", printable.Text(row.Adapter))
		}
		if row.Reason != "" {
			fmt.Fprintf(table, "\t\t\t→\t%s\n", row.Reason)
		}
	}
	return table.Flush()
}

// verdict is an error if answers differ.
func verdict(rows []compare.Row) error {
	differing := 0
	for _, row := range rows {
		if row.Status == compare.Differs {
			differing++
		}
	}
	if differing == 0 {
		return nil
	}
	return fmt.Errorf("compare: %d of %d answers differ, see above: is it one that your clients can see? Please report it", differing, len(rows))
}

func printJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
