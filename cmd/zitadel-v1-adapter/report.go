package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"zitadel-v1-adapter/internal/usage"
	"zitadel-v1-adapter/internal/v1api"
)

// reporting is how report was called.
type reporting struct {
	*command

	urls, apis, methods, callers []string
	since, quietFor, by          string
	asCSV                        bool
	storeKey                     string // the key that names the store
}

// groupings are the values of --by, with the parts that each tells apart.
var groupings = map[string][]string{
	"caller": {"caller"}, "method": {"api", "method"}, "client": {"caller", "client"}, "day": {"day", "api"}, "all": usage.Parts(),
}

func newReportCommand(environ []string) *cobra.Command {
	c := reporting{command: newCommand(environ, &cobra.Command{
		Use:   "report",
		Short: "Say who still calls v1, what takes its place, and whether it can go",
		Long: `Say who still calls ZITADEL's deprecated APIs: from usage.store of the configuration, or
added up over the adapters whose admin addresses are given. With --quiet-for it says
whether v1 can go, and its exit code does too, for a job:
  0  yes: nobody has called for that long
  1  no: somebody has, or the adapter has not counted for that long, or it failed
  3  not known: days on which no adapter counted, or no requests at all came`,
		Example: `  zitadel-v1-adapter report --config config.yaml --since 90d
  zitadel-v1-adapter report --config config.yaml --by method
  zitadel-v1-adapter report --url http://10.0.0.7:9090 --url http://10.0.0.8:9090 --csv
  zitadel-v1-adapter report --config config.yaml --quiet-for 30d --api management`,
	})}
	c.addConfig()
	flags := c.Flags()
	flags.StringArrayVar(&c.urls, "url", nil, "`URL` of an adapter's admin address, such as http://127.0.0.1:9090, or unix:/PATH of its socket; of several that share a store, each call counts once")
	c.addTokenFile("`FILE` with the token of admin.tokenFile, for --url")
	flags.StringVar(&c.since, "since", "30d", "first `DAY`, such as 2027-01-31, or how far back, such as 30d")
	flags.StringVar(&c.quietFor, "quiet-for", "", "say whether nobody has called for this time, such as 30d, a `DURATION`")
	flags.StringVar(&c.by, "by", "caller", "what to add up by: caller, method, client, day or all, a `WORD`")
	flags.StringArrayVar(&c.apis, "api", nil, "only calls of this `API`: management, auth, admin, system, assets or v2beta")
	flags.StringArrayVar(&c.methods, "method", nil, "only calls of this method, a `NAME`")
	flags.StringArrayVar(&c.callers, "caller", nil, "only calls of this caller, an `ID`")
	c.addJSON("print JSON")
	flags.BoolVar(&c.asCSV, "csv", false, "print CSV")
	c.addTimeout(30*time.Second, "how long all answers together may take")
	c.MarkFlagsMutuallyExclusive("json", "csv")
	return c.does(c.run)
}

func (c *reporting) run(ctx context.Context) error {
	now := time.Now()
	q, quiet, err := c.query(now)
	if err != nil {
		return err
	}
	catalogue, err := v1api.Load()
	if err != nil {
		return err
	}
	sources, closeAll, err := c.sources(ctx)
	if err != nil {
		return err
	}
	defer closeAll()
	reports, err := usage.Collect(ctx, sources, q, now, c.failed)
	if err != nil {
		return err
	}
	verdict, err := c.judge(ctx, sources, q, now, quiet)
	if err != nil {
		return err
	}
	if err := c.show(q, reports, verdict, catalogue.Successor); err != nil || verdict == nil {
		return err
	}
	switch verdict.Answer {
	case usage.AnswerYes:
		return nil
	case usage.AnswerNo:
		return errors.New("report: v1 cannot go yet: see above")
	default:
		return exitError{errors.New("report: it is not known whether v1 can go: see above"), exitUnknown}
	}
}

// query is what the flags ask for; quiet is 0 without --quiet-for.
func (c *reporting) query(now time.Time) (q usage.Query, quiet time.Duration, err error) {
	q.Where = map[string][]string{}
	for part, values := range map[string][]string{"api": c.apis, "method": c.methods, "caller": c.callers} {
		if len(values) > 0 {
			q.Where[part] = values
		}
	}
	var known bool
	if q.By, known = groupings[c.by]; !known {
		return q, 0, fmt.Errorf("--by: %q: use caller, method, client, day or all", c.by)
	}
	if q.Since, err = usage.ParseSince(c.since, now); err != nil {
		return q, 0, fmt.Errorf("--since: %w", err)
	}
	if c.quietFor == "" {
		return q, 0, nil
	}
	if quiet, err = usage.ParseDays(c.quietFor); err != nil || quiet == 0 {
		return q, 0, fmt.Errorf("--quiet-for: %w", cmp.Or(err, errors.New("use more than no time")))
	}
	return q, quiet, nil
}

// sources are the adapters of --url, or the configuration's store.
func (c *reporting) sources(ctx context.Context) (all []usage.Source, closeAll func(), err error) {
	for _, base := range c.urls {
		all = append(all, usage.Remote{URL: base, Token: c.token, Client: http.DefaultClient})
	}
	if len(all) > 0 {
		return all, func() {}, nil
	}
	settings, err := c.read()
	if err != nil {
		return nil, nil, err
	}
	address, key, err := settings.Usage.StoreAddress()
	switch {
	case err != nil:
		return nil, nil, err
	case address == "":
		return nil, nil, errors.New("usage.store: not set: ask running adapters with --url http://HOST:9090, or name the store that they write to")
	}
	c.storeKey = key
	store, err := usage.ReadStore(address)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", key, err)
	}
	return []usage.Source{store}, func() { _ = store.Close(ctx) }, nil
}

// failed is the error of a source.
func (c *reporting) failed(i int, err error) error {
	if len(c.urls) > 0 {
		return fmt.Errorf("--url %s: %w", c.urls[i], err)
	}
	return fmt.Errorf("%s: %w", c.storeKey, err)
}

// judge says whether v1 can go; nil without --quiet-for.
func (c *reporting) judge(ctx context.Context, sources []usage.Source, q usage.Query, now time.Time, quiet time.Duration) (*usage.Verdict, error) {
	if quiet == 0 {
		return nil, nil //nolint:nilnil // nobody asked
	}
	q.Since, q.By, q.Limit = now.Add(-quiet), []string{"api"}, 1
	reports, err := usage.Collect(ctx, sources, q, now, c.failed)
	if err != nil {
		return nil, err
	}
	var verdicts []usage.Verdict
	for _, report := range reports {
		verdicts = append(verdicts, usage.NewVerdict(now, quiet, report.Evidence))
	}
	verdict := usage.Join(verdicts)
	return &verdict, nil
}

// show prints the calls, and the verdict if there is one.
func (c *reporting) show(q usage.Query, reports []usage.Report, verdict *usage.Verdict, successor func(api, method string) string) error {
	rows := usage.Merge(reports)
	if c.asCSV {
		return usage.WriteCSV(c.OutOrStdout(), q.By, rows, successor)
	}
	var shadows []usage.ShadowRow
	for _, report := range reports {
		shadows = append(shadows, report.Shadow...)
	}
	shadows = usage.MergeShadows(shadows)
	asJSON := struct {
		Since   string            `json:"since"`
		Verdict *usage.Verdict    `json:"verdict,omitempty"`
		Rows    []usage.Row       `json:"rows"`
		Shadow  []usage.ShadowRow `json:"shadow,omitempty"`
	}{reports[0].Since, verdict, rows, shadows}
	return c.print(asJSON, func(table io.Writer) {
		showRows(table, q.By, rows, reports[0].Since, successor)
		if len(shadows) > 0 {
			fmt.Fprintln(table, "\nSHADOW\tMETHOD\tNATIVE\tVERDICT\tCALLS")
		}
		for _, found := range shadows {
			row(table, found.Result, found.Method, found.Native, found.Verdict, strconv.FormatInt(found.Calls, 10))
		}
		if verdict != nil {
			fmt.Fprintf(table, "\nCan v1 go? %s.\n", map[usage.Answer]string{
				usage.AnswerYes: "Yes", usage.AnswerNo: "No", usage.AnswerUnknown: "Not known",
			}[verdict.Answer])
			for _, reason := range verdict.Reasons {
				row(table, "- "+reason)
			}
		}
	})
}

// showRows writes a line for each row. Of methods it says what takes their place.
func showRows(table io.Writer, by []string, rows []usage.Row, since string, successor func(api, method string) string) {
	if len(rows) == 0 {
		fmt.Fprintf(table, "no calls of v1 were counted since %s\n", since)
		return
	}
	head := append(slices.Clone(by), "calls", "last")
	hasCallers, hasMethods := !slices.Contains(by, "caller"), slices.Contains(by, "api") && slices.Contains(by, "method")
	if hasCallers {
		head = append(head, "callers")
	} else {
		head = append(head, "name")
	}
	if hasMethods {
		head = append(head, "successor")
	}
	fmt.Fprintln(table, strings.ToUpper(strings.Join(head, "\t")))
	for _, each := range rows {
		cells := make([]string, 0, len(head))
		for _, part := range by {
			cells = append(cells, each.Part(part))
		}
		cells = append(cells, strconv.FormatInt(each.Calls, 10), each.Last.Format(time.RFC3339))
		if hasCallers {
			cells = append(cells, strconv.FormatInt(each.Callers, 10))
		} else {
			cells = append(cells, each.Name)
		}
		if hasMethods {
			cells = append(cells, cmp.Or(successor(each.API, each.Method), "none yet"))
		}
		row(table, cells...)
	}
}
