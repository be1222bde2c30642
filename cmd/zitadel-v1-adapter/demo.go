package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"zitadel-v1-adapter/internal/app"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/grpcservices"
	"zitadel-v1-adapter/v2client/v2test"
)

//go:embed demo.json
var demoFixture []byte

func newDemoCommand(environ []string) *cobra.Command {
	command := &cobra.Command{
		Use:   "demo",
		Short: "Run the adapter in front of an embedded in-memory ZITADEL",
		Long: `Run the adapter in front of an embedded in-memory ZITADEL v2, and print users,
tokens and calls to try. Of the configuration it takes the two addresses alone, from
the environment, as the image sets them.`,
		Example: `  zitadel-v1-adapter demo
  zitadel-v1-adapter demo --fixture fixture.json --listen 127.0.0.1:8081`,
		Args: noArguments,
	}
	settings := config.Default()
	// The embedded ZITADEL has neither, and grpcurl needs reflection.
	settings.Server.GRPCHealth, settings.Server.GRPCReflection = grpcservices.AnswererOwn, grpcservices.AnswererOwn
	settings.Log = config.Log{Level: slog.LevelInfo, Format: config.FormatText}
	for _, entry := range environ {
		switch name, value, _ := strings.Cut(entry, "="); name {
		case config.Variable("server.listen"):
			settings.Server.Listen = value
		case config.Variable("admin.listen"):
			settings.Admin.Listen = value
		}
	}
	flags := command.Flags()
	path := flags.String("fixture", "", "state to start with, a JSON `FILE` in the format of internal/recordings/testdata/fixture.json")
	_ = command.MarkFlagFilename("fixture", "json") // the flag is there
	flags.StringVar(&settings.Server.Listen, "listen", settings.Server.Listen, "`ADDR` for legacy clients")
	flags.StringVar(&settings.Admin.Listen, "admin-listen", settings.Admin.Listen, "`ADDR` of /healthz, /readyz, /metrics, /usage and the page at /")
	zitadelListen := flags.String("zitadel-listen", "127.0.0.1:0", "`ADDR` of the embedded ZITADEL itself, for serve and check")
	command.RunE = func(command *cobra.Command, _ []string) error {
		return runDemo(command, settings, *path, *zitadelListen)
	}
	return command
}

func runDemo(command *cobra.Command, settings config.Config, path, zitadelListen string) error {
	ctx := command.Context()
	fixture, err := loadFixture(path)
	if err != nil {
		return err
	}
	if !slices.Contains(fixture.InstanceHosts, "localhost") {
		fixture.InstanceHosts = append(fixture.InstanceHosts, "localhost")
	}
	zitadel, err := startZITADEL(ctx, fixture, zitadelListen)
	if err != nil {
		return err
	}
	defer func() { _ = zitadel.Close() }()
	// As a real one, it finds its instance by name: clients may dial the adapter by
	// any, because upstream.host is "upstream".
	_, port, err := net.SplitHostPort(zitadel.Addr)
	if err != nil {
		return err
	}
	settings.Upstream.URL = "http://" + net.JoinHostPort("localhost", port)
	running, err := app.Start(ctx, app.Config{Settings: settings, Version: newBuild().Version, Stderr: command.ErrOrStderr()})
	if err != nil {
		return err
	}
	printDemo(command.OutOrStdout(), fixture, reachable(running.Addr().String()), reachable(running.AdminAddr().String()))
	return running.Run(ctx, new(app.Changes))
}

func loadFixture(path string) (v2test.Fixture, error) {
	if path != "" {
		fixture, err := v2test.LoadFixture(path)
		if err != nil {
			return v2test.Fixture{}, fmt.Errorf("--fixture: %w", err)
		}
		return fixture, nil
	}
	var fixture v2test.Fixture
	err := json.Unmarshal(demoFixture, &fixture)
	return fixture, err
}

// startZITADEL serves an in-memory ZITADEL.
func startZITADEL(ctx context.Context, fixture v2test.Fixture, address string) (*http.Server, error) {
	handler, err := v2test.New(fixture, v2test.Config{})
	if err != nil {
		return nil, err
	}
	var network net.ListenConfig
	listener, err := network.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--zitadel-listen: %w", err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: handler, Addr: listener.Addr().String(), Protocols: protocols} //nolint:gosec // only the adapter connects
	go func() { _ = server.Serve(listener) }()
	return server, nil
}

// printDemo prints what there is, and commands to paste.
func printDemo(out io.Writer, fixture v2test.Fixture, address, admin string) {
	fmt.Fprintf(out, "zitadel-v1-adapter demo on http://%s, in front of an embedded ZITADEL v2\n\n", address)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	orgNames := map[string]string{}
	for name, id := range fixture.Orgs {
		orgNames[id] = name + " (" + id + ")"
	}
	fmt.Fprintln(table, "CALLER\tTOKEN\tHOME ORGANIZATION\tROLES")
	for _, name := range slices.Sorted(maps.Keys(fixture.Callers)) {
		caller := fixture.Callers[name]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", name, caller.Token, orgNames[caller.HomeOrg], roles(caller, orgNames))
	}
	_ = table.Flush()
	fmt.Fprintln(table, "\nUSER\tID\tORGANIZATION\tSTATE")
	for _, name := range slices.Sorted(maps.Keys(fixture.Users)) {
		user := fixture.Users[name]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s %s\n", name, user.ID, orgNames[user.Org], user.State, user.Type)
	}
	_ = table.Flush()
	printCommands(out, fixture, address)
	fmt.Fprintf(out, "\nWho has called, and can v1 go? http://%s/\n\nCtrl-C ends the demo.\n", admin)
}

func printCommands(out io.Writer, fixture v2test.Fixture, address string) {
	caller, user, ok := fixture.Example()
	if !ok {
		fmt.Fprintln(out, "\nNo caller may set the password of an active human of its own organization.")
		return
	}
	other := "999999999999999999" // nobody
	for _, name := range slices.Sorted(maps.Keys(fixture.Users)) {
		if fixture.Users[name].Org != caller.HomeOrg {
			other = fixture.Users[name].ID
			break
		}
	}
	curl := func(userID string) string {
		return fmt.Sprintf(`curl -i http://%s/management/v1/users/%s/password/_initialize \
  -H 'Authorization: Bearer %s' -d '{"password":"Sup3rPassw0rd!"}'`, address, userID, caller.Token)
	}
	fmt.Fprintf(out, `
Set a password over REST:

%s

Over gRPC, with grpcurl (go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest),
which server reflection tells the rest:

grpcurl -plaintext -H 'Authorization: Bearer %s' -d '{"user_id":"%s","password":"Sup3rPassw0rd!"}' \
  %s zitadel.management.v1.ManagementService/SetHumanInitialPassword

A refusal, as v1 words it (the user is not in the caller's organization):

%s
`, curl(user.ID), caller.Token, user.ID, address, curl(other))
}

func roles(caller v2test.Caller, orgNames map[string]string) string {
	all := make([]string, 0, len(caller.AdministratorOf))
	for _, administrator := range caller.AdministratorOf {
		on := "instance"
		switch {
		case administrator.Organization != "":
			on = orgNames[administrator.Organization]
			if on == "" {
				on = administrator.Organization
			}
		case administrator.Project != "":
			on = "project " + administrator.Project
		}
		all = append(all, strings.Join(administrator.Roles, "+")+" on "+on)
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}

// reachable is an address that a client on this machine can use, whatever the
// adapter listens on.
func reachable(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return net.JoinHostPort("localhost", port)
}
