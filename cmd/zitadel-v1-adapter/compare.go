package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"zitadel-v1-adapter/internal/app"
	"zitadel-v1-adapter/internal/compare"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/upstream"
)

// comparison is how compare was called.
type comparison struct {
	*command

	user, otherUser, adapter string
	dryRun                   bool
}

func newCompareCommand(environ []string) *cobra.Command {
	c := comparison{command: newCommand(environ, &cobra.Command{
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
	})}
	c.addConfig("upstream-url", "upstream-host", "upstream-protocol")
	c.addTokenFile("`FILE` with an access token of a caller who may set passwords")
	flags := c.Flags()
	flags.StringVar(&c.user, "user", "", "`ID` of a user of the caller's organization; default: one that does not exist")
	flags.StringVar(&c.otherUser, "other-user", "", "`ID` of a user of another organization")
	flags.StringVar(&c.adapter, "adapter", "", "base `URL` of a running adapter; default: one is made for this")
	flags.BoolVar(&c.dryRun, "dry-run", false, "print what would be sent, and send nothing")
	c.addJSON("print JSON")
	c.addTimeout(time.Minute, "how long all calls together may take")
	return c.does(func(ctx context.Context) error {
		settings, err := c.validated()
		if err != nil {
			return err
		}
		return c.run(ctx, settings)
	})
}

func (c *comparison) run(ctx context.Context, settings config.Config) (failure error) {
	var beside *upstream.Upstream
	switch {
	case c.adapter != "":
		var err error
		beside, err = upstream.New(upstream.Config{URL: c.adapter, Host: upstream.HostUpstream})
		if err != nil { // which names another key
			return fmt.Errorf("--adapter: not the base URL of an adapter: use one such as %q", "http://127.0.0.1:8080")
		}
	case !c.dryRun:
		started, stop, err := app.StartCompared(c.Context(), settings, newBuild().Version)
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
	compareConfig.Token, compareConfig.User, compareConfig.OtherUser = c.token, c.user, c.otherUser
	plan, err := compare.NewPlan(compareConfig)
	if err != nil {
		return err
	}
	if err := c.announce(plan.Calls(), settings.Upstream.URL); err != nil || c.dryRun {
		return err
	}
	rows, err := plan.Run(ctx)
	if err == nil {
		err = verdict(rows)
	}
	return errors.Join(c.printRows(rows), err)
}

// announce prints what is going to be sent, and why none of it writes.
func (c *comparison) announce(calls []compare.Call, zitadel string) error {
	out := c.OutOrStdout()
	if c.asJSON {
		if c.dryRun {
			return c.print(calls, nil)
		}
		out = c.ErrOrStderr()
	}
	beside := cmp.Or(c.adapter, "an adapter made for this")
	fmt.Fprintf(out, "%d calls go to %s, and the same to %s. None can change anything:\n\n", len(calls), zitadel, beside)
	counts, order := map[compare.Reason]int{}, []compare.Reason(nil)
	for _, call := range calls {
		if counts[call.Why] == 0 {
			order = append(order, call.Why)
		}
		counts[call.Why]++
	}
	table := newTable(out)
	for _, why := range order {
		row(table, strconv.Itoa(counts[why]), string(why))
	}
	row(table)
	return table.Flush()
}

// printRows prints each row with native v1's answer; and the adapter's if it is another.
func (c *comparison) printRows(rows []compare.Row) error {
	return c.print(append([]compare.Row{}, rows...), func(table io.Writer) { // none is [], not null
		for _, each := range rows {
			row(table, string(each.Status), string(each.Protocol), each.Method, each.What, each.Native)
			if each.Adapter != "" {
				row(table, "", "", "", "adapter:", each.Adapter)
			}
			if each.Reason != "" {
				row(table, "", "", "", "→", each.Reason)
			}
		}
	})
}

// verdict is an error if answers differ.
func verdict(rows []compare.Row) error {
	differing := 0
	for _, each := range rows {
		if each.Status == compare.Differs {
			differing++
		}
	}
	if differing == 0 {
		return nil
	}
	return fmt.Errorf("compare: %d of %d answers differ, see above: is it one that your clients can see? Please report it", differing, len(rows))
}
