package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"zitadel-v1-adapter/internal/printable"
	"zitadel-v1-adapter/internal/usage"
)

func newReportCommand(environ []string) *cobra.Command {
	c := newCommand(environ, &cobra.Command{
		Use:   "report",
		Short: "Say who still calls v1",
		Long: `Say who still calls v1: from usage.store of the configuration, or added up over the
adapters whose admin addresses are given. With --quiet-for the exit code is 0 only if
nobody has called for that long: a line for a job that says whether v1 can go. What an
adapter without usage.store knows begins with its start.`,
		Example: `  zitadel-v1-adapter report --config config.yaml --since 90d
  zitadel-v1-adapter report --url http://10.0.0.7:9090 --url http://10.0.0.8:9090 --csv
  zitadel-v1-adapter report --config config.yaml --quiet-for 30d`,
	})
	c.addConfig()
	urls := c.Flags().StringArray("url", nil, "`URL` of an adapter's admin address, such as http://127.0.0.1:9090; several are added up")
	c.addTokenFile("`FILE` with the token of admin.tokenFile, for --url")
	since := c.Flags().String("since", "30d", "first `DAY`, such as 2027-01-31, or how far back, such as 30d")
	quietFor := c.Flags().String("quiet-for", "", "fail if anybody called within this time, such as 30d, a `DURATION`")
	c.addJSON("print JSON")
	asCSV := c.Flags().Bool("csv", false, "print CSV")
	c.addTimeout(30*time.Second, "how long all answers together may take")
	c.MarkFlagsMutuallyExclusive("json", "csv")
	return c.does(func(ctx context.Context) error {
		now := time.Now()
		from, err := usage.ParseSince(*since, now)
		if err != nil {
			return fmt.Errorf("--since: %w", err)
		}
		quiet, err := usage.ParseDays(cmp.Or(*quietFor, "0s"))
		if err != nil {
			return fmt.Errorf("--quiet-for: %w", err)
		}
		if start := now.Add(-quiet); quiet > 0 && start.Before(from) {
			from = start
		}
		report, err := c.readReport(ctx, *urls, from)
		if err != nil {
			return err
		}
		if err := c.printReport(report, *asCSV); err != nil {
			return err
		}
		if quiet > 0 && now.Sub(report.LastCall) < quiet {
			return fmt.Errorf("report: v1 was called %s ago, last at %s: it cannot go yet",
				now.Sub(report.LastCall).Truncate(time.Second), report.LastCall.Format(time.RFC3339))
		}
		return nil
	})
}

// readReport reads the ledger of the configuration's store, or of the adapters at urls, which
// know what shadow mode found.
func (c *command) readReport(ctx context.Context, urls []string, since time.Time) (usage.Report, error) {
	if len(urls) == 0 {
		rows, err := c.readStore(ctx, since)
		return usage.NewReport(since, usage.Merge(rows)), err
	}
	var rows []usage.Row
	var shadows []usage.ShadowRow
	for _, base := range urls {
		report, err := askUsage(ctx, base, c.token, since)
		if err != nil {
			return report, fmt.Errorf("--url %s: %w", base, err)
		}
		rows, shadows = append(rows, report.Rows...), append(shadows, report.Shadow...)
	}
	report := usage.NewReport(since, usage.Merge(rows))
	report.Shadow = usage.MergeShadows(shadows)
	return report, nil
}

func (c *command) readStore(ctx context.Context, since time.Time) ([]usage.Row, error) {
	settings, err := c.read()
	switch {
	case err != nil:
		return nil, err
	case settings.Usage.Store == "":
		return nil, errors.New("usage.store: not set: ask running adapters with --url http://HOST:9090, or name the store that they write to")
	}
	store, err := usage.OpenStore(settings.Usage.Store)
	if err != nil {
		return nil, fmt.Errorf("usage.store: %w", err)
	}
	defer func() { _ = store.Close(ctx) }()
	rows, err := store.Rows(ctx, since)
	if err != nil {
		return nil, fmt.Errorf("usage.store: %w", err)
	}
	return rows, nil
}

// askUsage asks an adapter, with a token unless that is "".
func askUsage(ctx context.Context, base, token string, since time.Time) (usage.Report, error) {
	var report usage.Report
	address := strings.TrimSuffix(base, "/") + "/usage?since=" + url.QueryEscape(since.UTC().Format(time.DateOnly))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return report, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return report, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return report, fmt.Errorf("answered %s: %s", response.Status, excerpt(response))
	}
	if err := json.NewDecoder(response.Body).Decode(&report); err != nil {
		return report, fmt.Errorf("is this the admin address of an adapter? %w", err)
	}
	return report, nil
}

func (c *command) printReport(report usage.Report, asCSV bool) error {
	columns := []string{"day", "caller", "organization", "client", "method", "protocol", "way", "outcome", "calls", "last"}
	lines := make([][]string, len(report.Rows))
	for i, row := range report.Rows {
		lines[i] = []string{
			row.Day, row.Caller, row.Organization, row.Client, row.Method, row.Protocol, row.Way, row.Outcome,
			strconv.FormatInt(row.Calls, 10), row.Last.Format(time.RFC3339),
		}
	}
	if asCSV {
		for _, line := range lines {
			for i, cell := range line {
				line[i] = printable.Cell(cell) // clients choose their names
			}
		}
		return csv.NewWriter(c.OutOrStdout()).WriteAll(slices.Insert(lines, 0, columns))
	}
	return c.print(report, func(table io.Writer) {
		if len(report.Rows) == 0 {
			fmt.Fprintf(table, "nobody has called v1 since %s\n", report.Since)
			return
		}
		fmt.Fprintln(table, strings.ToUpper(strings.Join(columns, "\t")))
		for _, line := range lines {
			row(table, line...)
		}
		if len(report.Shadow) > 0 {
			fmt.Fprintln(table, "\nSHADOW\tMETHOD\tNATIVE\tVERDICT\tCALLS")
		}
		for _, found := range report.Shadow {
			row(table, found.Result, found.Method, found.Native, found.Verdict, strconv.FormatInt(found.Calls, 10))
		}
	})
}
