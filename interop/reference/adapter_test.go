package reference_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/grpc/grpclog"

	"zitadel-v1-adapter/internal/app"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/interop/reference"
	"zitadel-v1-adapter/v2client/v2test"
)

func TestMain(m *testing.M) {
	// grpc-gateway logs every header that it rejects.
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	m.Run()
}

const (
	homeOrg, otherOrg = "1001", "1002"
	userID            = "3001"
	goodPassword      = "Sup3rPassw0rd!"
)

func fixture() v2test.Fixture {
	user := func(id, org, kind, state string) v2test.User {
		return v2test.User{ID: id, Org: org, Type: kind, State: state}
	}
	caller := func(name, id string, of ...v2test.AdministratorOf) v2test.Caller {
		return v2test.Caller{Token: name, UserID: id, HomeOrg: homeOrg, AdministratorOf: of, UserinfoNamesOrganization: true}
	}
	return v2test.Fixture{
		InstanceHosts: []string{"localhost"},
		Orgs:          map[string]string{"home": homeOrg, "other": otherOrg},
		Callers: map[string]v2test.Caller{
			"owner":  caller("owner-token", "2001", v2test.AdministratorOf{Organization: homeOrg, Roles: []string{"ORG_OWNER"}}),
			"iam":    caller("iam-token", "2002", v2test.AdministratorOf{Instance: true, Roles: []string{"IAM_OWNER"}}),
			"viewer": caller("viewer-token", "2003", v2test.AdministratorOf{Organization: homeOrg, Roles: []string{"ORG_OWNER_VIEWER"}}),
			"none":   caller("none-token", "2004"),
		},
		Users: map[string]v2test.User{
			"alice":   user(userID, homeOrg, v2test.Human, v2test.Active),
			"initial": user("3002", homeOrg, v2test.Human, v2test.Initial),
			"locked":  user("3003", homeOrg, v2test.Human, v2test.Locked),
			"machine": user("3004", homeOrg, v2test.Machine, v2test.Active),
			"gone":    user("3005", homeOrg, v2test.Human, v2test.Deleted),
			"bob":     user("4001", otherOrg, v2test.Human, v2test.Active),
		},
	}
}

// sides are the addresses of native v1 and of the adapter.
type sides struct{ native, adapter string }

// start starts the reference with an embedded ZITADEL v2 behind it, and the whole adapter in
// front of both. What the adapter passes through gets to the reference.
func start(t *testing.T) sides {
	t.Helper()
	v1, err := reference.New(t.Context(), fixture(), wiretest.NewZITADEL(t, fixture()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v1.Close)
	settings := config.Default()
	settings.Server.Listen, settings.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	settings.Upstream.URL, settings.Upstream.Host = "http://"+v1.Address(), upstream.HostClient
	settings.Breaker.MinimumCalls = 1 << 30 // no outage here is ZITADEL's
	settings.Limits.BodyTimeout = time.Hour
	settings.Log.Level = slog.LevelError
	running, err := app.Start(t.Context(), app.Config{Settings: settings, Version: "test", Stderr: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- running.Run(ctx, new(app.Changes)) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return sides{v1.Address(), running.Addr().String()}
}
