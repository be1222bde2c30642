package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"zitadel-v1-adapter/internal/app"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/printable"
)

// command is a command of the program, with the flags that several have.
type command struct {
	*cobra.Command

	environ   []string // in the form of os.Environ
	file      string   // --config
	overrides []config.Override
	tokenFile string
	token     string // what is in tokenFile, "" without one
	timeout   time.Duration
	asJSON    bool
}

// newCommand makes a command that takes flags alone.
func newCommand(environ []string, about *cobra.Command) *command {
	about.Args = noArguments
	return &command{Command: about, environ: environ}
}

// does sets what the command does. ctx ends after --timeout, if it has that.
func (c *command) does(run func(ctx context.Context) error) *cobra.Command {
	c.RunE = func(*cobra.Command, []string) error {
		if err := c.readToken(); err != nil {
			return err
		}
		ctx := c.Context()
		if c.Flags().Lookup("timeout") != nil {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, c.timeout)
			defer cancel()
		}
		return run(ctx)
	}
	return c.Command
}

// settingFlags are the flags that set a key of the configuration. Values are for completion.
var settingFlags = map[string]struct {
	key, usage string
	values     []string
}{
	"listen":            {key: "server.listen", usage: "`ADDR` for legacy clients"},
	"admin-listen":      {key: "admin.listen", usage: "`ADDR` of /healthz, /readyz, /metrics, /usage and the page at /"},
	"upstream-url":      {key: "upstream.url", usage: "base `URL` of ZITADEL"},
	"upstream-host":     {"upstream.host", "`HOST` under which ZITADEL is asked: upstream, client, or a name", []string{"upstream", "client"}},
	"upstream-protocol": {"upstream.protocol", "`PROTOCOL` of v2 calls: auto, connect or grpc", []string{"auto", "connect", "grpc"}},
	"log-level":         {"log.level", "`LEVEL`: debug, info, warn or error", []string{"debug", "info", "warn", "error"}},
}

// addConfig adds --config, and some of settingFlags. Here and below, errors would say that
// there is no such flag.
func (c *command) addConfig(names ...string) {
	c.Flags().StringVar(&c.file, "config", "", "configuration `FILE`; without it, defaults and the environment")
	_ = c.MarkFlagFilename("config", "yaml", "yml")
	c.Flags().Func("set", "`KEY=VALUE` of any key, such as upstream.timeout=10s; may be repeated", func(setting string) error {
		key, value, _ := strings.Cut(setting, "=")
		c.overrides = append(c.overrides, config.Override{Key: key, Value: value, From: "--set " + key})
		return nil
	})
	_ = c.RegisterFlagCompletionFunc("set", completeKey)
	for _, name := range names {
		flag := settingFlags[name]
		c.Flags().Func(name, flag.usage+" (key "+flag.key+")", func(value string) error {
			c.overrides = append(c.overrides, config.Override{Key: flag.key, Value: value, From: "--" + name})
			return nil
		})
		_ = c.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(flag.values, cobra.ShellCompDirectiveNoFileComp))
	}
}

// completeKey completes KEY= of --set.
func completeKey(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	keys := config.Keys()
	for i := range keys {
		keys[i] += "="
	}
	return keys, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

// variable is a variable of the environment, or "".
func (c *command) variable(name string) string {
	for _, each := range c.environ {
		if value, is := strings.CutPrefix(each, name+"="); is {
			return value
		}
	}
	return ""
}

// read reads the configuration, whose values may be wrong.
func (c *command) read() (config.Config, error) {
	return config.Read(c.file, c.environ, c.overrides, nil)
}

// validated reads the configuration, and finds every mistake in it.
func (c *command) validated() (config.Config, error) {
	return config.Read(c.file, c.environ, c.overrides, app.Validate)
}

// addTimeout adds --timeout.
func (c *command) addTimeout(standard time.Duration, usage string) {
	c.Flags().DurationVar(&c.timeout, "timeout", standard, usage+", a `DURATION`")
}

// addTokenFile adds --token-file.
func (c *command) addTokenFile(usage string) {
	c.Flags().StringVar(&c.tokenFile, "token-file", "", usage)
	_ = c.RegisterFlagCompletionFunc("token-file", cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)) // files
}

func (c *command) readToken() error {
	if c.tokenFile == "" {
		return nil
	}
	content, err := os.ReadFile(c.tokenFile)
	if err != nil {
		return fmt.Errorf("--token-file: %w", err)
	}
	if c.token = strings.TrimSpace(string(content)); c.token == "" {
		return fmt.Errorf("--token-file: %q is empty", c.tokenFile)
	}
	return nil
}

// addJSON adds --json.
func (c *command) addJSON(usage string) { c.Flags().BoolVar(&c.asJSON, "json", false, usage) }

// print prints a value as JSON with --json, and else what show writes, with columns aligned.
func (c *command) print(value any, show func(table io.Writer)) error {
	if c.asJSON {
		encoder := json.NewEncoder(c.OutOrStdout())
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(value)
	}
	table := newTable(c.OutOrStdout())
	show(table)
	return table.Flush()
}

func newTable(out io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(out, 0, 0, 2, ' ', 0) }

// row writes the cells of a line, each of which others may have chosen.
func row(table io.Writer, cells ...string) {
	for i, cell := range cells {
		cells[i] = printable.Text(cell)
	}
	fmt.Fprintln(table, strings.Join(cells, "\t"))
}
