package v2client_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/v2client"
	"zitadel-v1-adapter/v2client/v2test"
)

// A client of an embedded ZITADEL that knows one caller and one user.
func ExampleNew() {
	zitadel, err := v2test.New(v2test.Fixture{
		InstanceHosts: []string{"127.0.0.1"},
		Orgs:          map[string]string{"acme": "1001"},
		Callers: map[string]v2test.Caller{"owner": {
			Token: "owner-token", UserID: "2001", HomeOrg: "1001",
			AdministratorOf: []v2test.AdministratorOf{{Organization: "1001", Roles: []string{"ORG_OWNER"}}},
		}},
		Users: map[string]v2test.User{"alice": {ID: "3001", Org: "1001", Type: v2test.Human, State: v2test.Active}},
	}, v2test.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewServer(zitadel)
	defer server.Close()
	to, err := upstream.New(upstream.Config{URL: server.URL, Host: upstream.HostUpstream})
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := v2client.New(v2client.Config{
		Upstream: to, Protocol: v2client.ProtocolConnect, ReadTimeout: 10 * time.Second,
		Breaker: v2client.BreakerConfig{MinimumCalls: 20, FailureRate: 0.5, Window: 10 * time.Second, OpenFor: 5 * time.Second},
		Retry:   v2client.RetryConfig{Attempts: 3, BaseDelay: 25 * time.Millisecond, MaxDelay: 500 * time.Millisecond, Budget: 0.2},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	// The caller is the one of an incoming request: its host and its headers.
	caller := v2client.NewCaller("adapter.example", http.Header{"Authorization": {"Bearer owner-token"}})
	details, err := client.SetPassword(context.Background(), caller, "3001", "Sup3rPassw0rd!", true)
	fmt.Println(details.GetResourceOwner(), err)
	_, err = client.SetPassword(context.Background(), caller, "3001", "short", true)
	fmt.Println(err)
	// Output:
	// 1001 <nil>
	// invalid_argument: Password is too short (DOMAIN-HuJf6)
}
