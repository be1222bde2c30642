package adapter_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/v2client"
	"zitadel-v1-adapter/v2client/v2test"
)

// The adapter in front of an embedded ZITADEL: a v1 call is answered by way of v2.
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
		Retry:   v2client.RetryConfig{Attempts: 1, BaseDelay: time.Millisecond, MaxDelay: time.Millisecond},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	handler, err := adapter.New(adapter.Config{
		ZITADEL: client, OrgScope: adapter.OrgScopeStrict, Timeout: 10 * time.Second, Rollout: adapter.RolloutAll,
		Limits:  adapter.Limits{BodyTimeout: 30 * time.Second},
		Observe: func(event adapter.Event) { fmt.Printf("%s: %s %q\n", event.Method, event.Code, event.ErrorID) },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, password := range []string{"Sup3rPassw0rd!", "short"} {
		request := httptest.NewRequest(http.MethodPost, "/management/v1/users/3001/password/_initialize", strings.NewReader(`{"password":"`+password+`"}`))
		request.Header.Set("Authorization", "Bearer owner-token")
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		fmt.Println(answer.Code)
	}
	// Output:
	// SetHumanInitialPassword: ok ""
	// 200
	// SetHumanInitialPassword: invalid_argument "DOMAIN-HuJf6"
	// 400
}
