package main

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"text/template"

	"github.com/spf13/cobra"

	"zitadel-v1-adapter/internal/app"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/grpcservices"
	"zitadel-v1-adapter/internal/listener"
	"zitadel-v1-adapter/v2client/v2test"
)

//go:embed demo.json
var demoFixture []byte

func newDemoCommand(environ []string) *cobra.Command {
	c := newCommand(environ, &cobra.Command{
		Use:   "demo",
		Short: "Run the adapter in front of an embedded in-memory ZITADEL",
		Long: `Run the adapter in front of an embedded in-memory ZITADEL v2, and print users,
tokens and calls to try. Of the configuration it takes the two addresses alone, from
the environment, as the image sets them.`,
		Example: `  zitadel-v1-adapter demo
  zitadel-v1-adapter demo --fixture fixture.json --listen 127.0.0.1:8081`,
	})
	settings := config.Default()
	// The embedded ZITADEL has neither, and grpcurl needs reflection.
	settings.Server.GRPCHealth, settings.Server.GRPCReflection = grpcservices.AnswererOwn, grpcservices.AnswererOwn
	settings.Log = config.Log{Level: slog.LevelInfo, Format: config.FormatText}
	for name, address := range map[string]*string{"listen": &settings.Server.Listen, "admin-listen": &settings.Admin.Listen} {
		flag := settingFlags[name]
		c.Flags().StringVar(address, name, cmp.Or(c.variable(config.Variable(flag.key)), *address), flag.usage)
	}
	path := c.Flags().String("fixture", "", "state to start with, a JSON `FILE` in the format of internal/recordings/testdata/fixture.json")
	_ = c.MarkFlagFilename("fixture", "json") // the flag is there
	zitadelListen := c.Flags().String("zitadel-listen", "127.0.0.1:0", "`ADDR` of the embedded ZITADEL itself, for serve and check")
	return c.does(func(ctx context.Context) error {
		fixture, err := loadFixture(*path)
		if err != nil {
			return err
		}
		zitadel, err := startZITADEL(ctx, fixture, *zitadelListen)
		if err != nil {
			return err
		}
		defer func() { _ = zitadel.Drain(ctx) }()
		// As a real one, it finds its instance by name: clients may dial the adapter by
		// any, because upstream.host is "upstream".
		settings.Upstream.URL = "http://" + reachable(zitadel.Addr())
		running, err := app.Start(ctx, app.Config{Settings: settings, Version: newBuild().Version, AdminForAll: true, Environ: c.environ, Stderr: c.ErrOrStderr()})
		if err != nil {
			return err
		}
		err = printDemo(c.OutOrStdout(), fixture, reachable(running.Addr()), reachable(running.AdminAddr()))
		return errors.Join(err, running.Run(ctx, new(app.Changes)))
	})
}

func loadFixture(path string) (fixture v2test.Fixture, err error) {
	if path == "" {
		err = json.Unmarshal(demoFixture, &fixture)
	} else if fixture, err = v2test.LoadFixture(path); err != nil {
		err = fmt.Errorf("--fixture: %w", err)
	}
	if !slices.Contains(fixture.InstanceHosts, "localhost") {
		fixture.InstanceHosts = append(fixture.InstanceHosts, "localhost")
	}
	return fixture, err
}

// startZITADEL serves an in-memory ZITADEL.
func startZITADEL(ctx context.Context, fixture v2test.Fixture, address string) (*listener.Server, error) {
	handler, err := v2test.New(fixture, v2test.Config{})
	if err != nil {
		return nil, err
	}
	on, err := listener.Listen(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("--zitadel-listen: %w", err)
	}
	server := listener.New(on, listener.Config{Handler: handler})
	go func() { _ = server.Serve() }()
	return server, nil
}

// reachable is an address that a client on this machine can use, whatever the
// adapter listens on.
func reachable(address net.Addr) string {
	_, port, err := net.SplitHostPort(address.String())
	if err != nil {
		return address.String()
	}
	return net.JoinHostPort("localhost", port)
}

// demoText is what there is, and commands to paste. Lines with tabs are tables.
const demoText = `zitadel-v1-adapter demo on http://{{.Listen}}, in front of an embedded ZITADEL v2

CALLER	TOKEN	HOME ORGANIZATION	ROLES
{{range $name, $caller := .Callers}}{{$name}}	{{.Token}}	{{organization .HomeOrg}}	{{range $i, $on := .AdministratorOf}}
	{{- if $i}}, {{end}}{{join .Roles "+"}} on {{if .Organization}}{{organization .Organization}}
	{{- else if .Project}}project {{.Project}}{{else}}instance{{end}}{{else}}none{{end}}
{{end}}
USER	ID	ORGANIZATION	STATE
{{range $name, $user := .Users}}{{$name}}	{{.ID}}	{{organization .Org}}	{{.State}} {{.Type}}
{{end}}
{{- if .UserID}}
Set a password over REST:

{{curl .UserID}}

Over gRPC, with grpcurl (go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest),
which server reflection tells the rest:

grpcurl -plaintext -H 'Authorization: Bearer {{.Token}}' -d '{"user_id":"{{.UserID}}","password":"Sup3rPassw0rd!"}' \
  {{.Listen}} zitadel.management.v1.ManagementService/SetHumanInitialPassword

A refusal, as v1 words it (the user is not in the caller's organization):

{{curl .OtherID}}
{{else}}
No caller may set the password of an active human of its own organization.
{{end}}
Who has called, and can v1 go? http://{{.Admin}}/

Ctrl-C ends the demo.
`

func printDemo(out io.Writer, fixture v2test.Fixture, listen, admin string) error {
	caller, user, _ := fixture.Example()
	otherID := "999999999999999999" // nobody
	for _, name := range slices.Sorted(maps.Keys(fixture.Users)) {
		if fixture.Users[name].Org != caller.HomeOrg {
			otherID = fixture.Users[name].ID
			break
		}
	}
	names := map[string]string{}
	for name, id := range fixture.Orgs {
		names[id] = name + " (" + id + ")"
	}
	text := template.Must(template.New("demo").Funcs(template.FuncMap{
		"join":         strings.Join,
		"organization": func(id string) string { return cmp.Or(names[id], id) },
		"curl": func(userID string) string {
			return fmt.Sprintf(`curl -i http://%s/management/v1/users/%s/password/_initialize \
  -H 'Authorization: Bearer %s' -d '{"password":"Sup3rPassw0rd!"}'`, listen, userID, caller.Token)
		},
	}).Parse(demoText))
	table := newTable(out)
	err := text.Execute(table, struct {
		v2test.Fixture

		Listen, Admin, Token, UserID, OtherID string
	}{fixture, listen, admin, caller.Token, user.ID, otherID})
	return errors.Join(err, table.Flush())
}
