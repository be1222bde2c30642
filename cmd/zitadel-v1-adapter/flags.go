package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"zitadel-v1-adapter/internal/app"
	"zitadel-v1-adapter/internal/config"
)

// source is where a command's configuration comes from.
type source struct {
	environ   []string
	file      string
	overrides []config.Override
}

// newSource adds --config.
func newSource(command *cobra.Command, environ []string) *source {
	s := &source{environ: environ}
	command.Flags().StringVar(&s.file, "config", "", "configuration `FILE`; without it, defaults and the environment")
	_ = command.MarkFlagFilename("config", "yaml", "yml") // the flag is there
	return s
}

// addFlag adds a flag that sets a key. Values are for completion.
func (s *source) addFlag(command *cobra.Command, name, key, usage string, values ...string) {
	command.Flags().Func(name, usage+" (key "+key+")", func(value string) error {
		s.overrides = append(s.overrides, config.Override{Key: key, Value: value, From: "--" + name})
		return nil
	})
	_ = command.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

// addCommonFlags adds those that serve and check share.
func (s *source) addCommonFlags(command *cobra.Command) {
	s.addFlag(command, "listen", "server.listen", "`ADDR` for legacy clients")
	s.addUpstreamFlags(command)
}

// addUpstreamFlags adds those that say where ZITADEL is.
func (s *source) addUpstreamFlags(command *cobra.Command) {
	s.addFlag(command, "upstream-url", "upstream.url", "base `URL` of ZITADEL")
	s.addFlag(command, "upstream-host", "upstream.host", "`HOST` under which ZITADEL is asked: upstream, client, or a name", "upstream", "client")
	s.addFlag(command, "upstream-protocol", "upstream.protocol", "`PROTOCOL` of v2 calls: auto, connect or grpc", "auto", "connect", "grpc")
}

// addAdminFlag adds the one that serve and health share.
func (s *source) addAdminFlag(command *cobra.Command) {
	s.addFlag(command, "admin-listen", "admin.listen", "`ADDR` of /healthz, /readyz, /metrics, /usage and the page at /")
}

// load loads the configuration. A reload calls it again.
func (s *source) load() (config.Config, error) {
	return config.Load(s.file, s.environ, s.overrides)
}

// validated loads the configuration, and finds every mistake in it.
func (s *source) validated() (config.Config, error) {
	settings, err := config.Read(s.file, s.environ, s.overrides)
	if err == nil {
		err = app.Validate(settings)
	}
	return settings, err
}

// addTokenFileFlag adds --token-file, which is for readToken.
func addTokenFileFlag(command *cobra.Command, usage string) *string {
	path := command.Flags().String("token-file", "", usage)
	_ = command.RegisterFlagCompletionFunc("token-file", cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault)) // files
	return path
}

// readToken reads the file of --token-file, if there is one.
func readToken(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	content, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	token := strings.TrimSpace(string(content))
	if token == "" {
		return "", fmt.Errorf("--token-file: %q is empty", path)
	}
	return token, nil
}
