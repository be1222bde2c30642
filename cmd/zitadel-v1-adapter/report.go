package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/printable"
	"zitadel-v1-adapter/internal/usage"
)

func newReportCommand(environ []string) *cobra.Command {
	command := &cobra.Command{
		Use:   "report",
		Short: "Say who still calls v1",
		Long: `Say who still calls v1: from usage.store of the configuration, or added up over the
adapters whose admin addresses are given. With --quiet-for the exit code is 0 only if
nobody has called for that long: a line for a job that says whether v1 can go. What an
adapter without usage.store knows begins with its start.`,
		Example: `  zitadel-v1-adapter report --config config.yaml --since 90d
  zitadel-v1-adapter report --url http://10.0.0.7:9090 --url http://10.0.0.8:9090 --csv
  zitadel-v1-adapter report --config config.yaml --quiet-for 30d`,
		Args: noArguments,
	}
	source := newSource(command, environ)
	flags := command.Flags()
	urls := flags.StringArray("url", nil, "`URL` of an adapter's admin address, such as http://127.0.0.1:9090; several are added up")
	tokenFile := addTokenFileFlag(command, "`FILE` with the token of admin.tokenFile, for --url")
	since := flags.String("since", "30d", "first `DAY`, such as 2027-01-31, or how far back, such as 30d")
	quietFor := flags.String("quiet-for", "", "fail if anybody called within this time, such as 30d, a `DURATION`")
	asJSON := flags.Bool("json", false, "print JSON")
	asCSV := flags.Bool("csv", false, "print CSV")
	timeout := flags.Duration("timeout", 30*time.Second, "how long all answers together may take, a `DURATION`")
	command.MarkFlagsMutuallyExclusive("json", "csv")
	command.RunE = func(command *cobra.Command, _ []string) error {
		now := time.Now()
		from, err := usage.ParseSince(*since, now)
		if err != nil {
			return fmt.Errorf("--since: %w", err)
		}
		quiet, err := parseQuiet(*quietFor)
		if err != nil {
			return err
		}
		if start := now.Add(-quiet); quiet > 0 && start.Before(from) {
			from = start
		}
		ctx, cancel := context.WithTimeout(command.Context(), *timeout)
		defer cancel()
		token, err := readToken(*tokenFile)
		if err != nil {
			return err
		}
		report, err := readReport(ctx, source, *urls, token, from)
		if err != nil {
			return err
		}
		if err := printReport(command.OutOrStdout(), report, *asJSON, *asCSV); err != nil {
			return err
		}
		if quiet > 0 && now.Sub(report.LastCall) < quiet {
			return fmt.Errorf("report: v1 was called %s ago, last at %s: it cannot go yet",
				now.Sub(report.LastCall).Truncate(time.Second), report.LastCall.Format(time.RFC3339))
		}
		return nil
	}
	return command
}

func parseQuiet(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	quiet, err := usage.ParseDays(text)
	if err != nil {
		return 0, fmt.Errorf("--quiet-for: %w", err)
	}
	return quiet, nil
}

// readReport reads the ledger of the configuration's store, or of the adapters at urls, which
// know what shadow mode found.
func readReport(ctx context.Context, source *source, urls []string, token string, since time.Time) (usage.Report, error) {
	if len(urls) > 0 {
		all, shadows := make([][]usage.Row, len(urls)), make([][]usage.ShadowRow, len(urls))
		for i, base := range urls {
			report, err := askUsage(ctx, base, token, since)
			if err != nil {
				return report, fmt.Errorf("--url %s: %w", base, err)
			}
			all[i], shadows[i] = report.Rows, report.Shadow
		}
		report := usage.NewReport(since, usage.Merge(all...))
		report.Shadow = usage.MergeShadows(shadows...)
		return report, nil
	}
	settings, err := config.Read(source.file, source.environ, source.overrides)
	switch {
	case err != nil:
		return usage.Report{}, err
	case settings.Usage.Store == "":
		return usage.Report{}, errors.New("usage.store: not set: ask running adapters with --url http://HOST:9090, or name the store that they write to")
	}
	store, err := usage.OpenStore(settings.Usage.Store)
	if err != nil {
		return usage.Report{}, fmt.Errorf("usage.store: %w", err)
	}
	defer func() { _ = store.Close(ctx) }()
	rows, err := store.Rows(ctx, since)
	if err != nil {
		return usage.Report{}, fmt.Errorf("usage.store: %w", err)
	}
	return usage.NewReport(since, usage.Merge(rows)), nil
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
		const most = 1 << 10
		said, _ := io.ReadAll(io.LimitReader(response.Body, most))
		return report, fmt.Errorf("answered %s: %s", response.Status, printable.Excerpt(string(said)))
	}
	if err := json.NewDecoder(response.Body).Decode(&report); err != nil {
		return report, fmt.Errorf("is this the admin address of an adapter? %w", err)
	}
	return report, nil
}

func printReport(out io.Writer, report usage.Report, asJSON, asCSV bool) error {
	columns := []string{"day", "caller", "organization", "client", "method", "protocol", "way", "outcome", "calls", "last"}
	cells := func(row usage.Row, harmless func(string) string) []string { // clients choose their names
		texts := []string{
			row.Day, row.Caller, row.Organization, row.Client, row.Method, row.Protocol, row.Way, row.Outcome,
			strconv.FormatInt(row.Calls, 10), row.Last.Format(time.RFC3339),
		}
		for i, text := range texts {
			texts[i] = harmless(text)
		}
		return texts
	}
	switch {
	case asJSON:
		return printJSON(out, report)
	case asCSV:
		writer := csv.NewWriter(out)
		_ = writer.Write(columns) // the writer keeps the error
		for _, row := range report.Rows {
			_ = writer.Write(cells(row, printable.Cell))
		}
		writer.Flush()
		return writer.Error()
	}
	if len(report.Rows) == 0 {
		_, err := fmt.Fprintf(out, "nobody has called v1 since %s\n", report.Since)
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.ToUpper(strings.Join(columns, "\t")))
	for _, row := range report.Rows {
		fmt.Fprintln(table, strings.Join(cells(row, printable.Text), "\t"))
	}
	if len(report.Shadow) > 0 {
		fmt.Fprintln(table, "\nSHADOW\tMETHOD\tNATIVE\tVERDICT\tCALLS")
	}
	for _, row := range report.Shadow {
		for _, text := range []string{row.Result, row.Method, row.Native, row.Verdict} {
			fmt.Fprint(table, printable.Text(text), "\t")
		}
		fmt.Fprintln(table, row.Calls)
	}
	return table.Flush()
}
