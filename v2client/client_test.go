package v2client_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	filterv2 "zitadel-v1-adapter/gen/zitadel/filter/v2"
	permissionv2 "zitadel-v1-adapter/gen/zitadel/internal_permission/v2"
	"zitadel-v1-adapter/gen/zitadel/internal_permission/v2/internal_permissionv2connect"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
)

// A Client's methods over real sockets, in front of the in-memory ZITADEL. Where to find
// which tests:
//
//	client_test.go           methods, errors, hosts, configuration
//	breaker*_test.go         what opens and closes the breaker; probes and suspect calls
//	retry*_test.go           what is made again, how often, and until when
//	outcome_internal_test.go what an attempt's error means, row by row

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const userA, orgA = "400850336480234534", "400849858564525094"

// breaker is the configuration of the tests' breakers, which do not become half-open.
func breaker() v2client.BreakerConfig {
	return v2client.BreakerConfig{MinimumCalls: 4, FailureRate: 0.5, Window: 10 * time.Second, OpenFor: time.Hour}
}

func newClient(t *testing.T, handler http.Handler, change func(*v2client.Config)) *v2client.Client {
	t.Helper()
	config := v2client.Config{
		Upstream: wiretest.Upstream(t, "http://"+wiretest.Listen(t, handler), upstream.HostUpstream),
		Protocol: v2client.ProtocolConnect, Breaker: breaker(), Retry: wiretest.NoRetry(), UserAgent: "test", ReadTimeout: 10 * time.Second,
	}
	if change != nil {
		change(&config)
	}
	client, err := v2client.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func callerWith(token string) v2client.Caller {
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return v2client.NewCaller("client.example", header)
}

// Every method succeeds by Connect and by gRPC, and returns what ZITADEL holds.
func TestEveryMethodWorksOverBothProtocols(t *testing.T) {
	t.Parallel()
	for _, protocol := range []v2client.Protocol{v2client.ProtocolConnect, v2client.ProtocolGRPC} {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel()
			zitadel := wiretest.NewZITADEL(t, wiretest.Fixture(t))
			client := newClient(t, zitadel, func(c *v2client.Config) { c.Protocol = protocol })
			owner := callerWith("pat-org-owner-a")
			details, err := client.SetPassword(t.Context(), owner, userA, "Sup3rPassw0rd!", true)
			if err != nil || details.GetResourceOwner() != orgA || details.GetSequence() != 2 || details.GetChangeDate() == nil {
				t.Errorf("SetPassword: got %v, %v, want resource owner %s, sequence 2 and a change date", details, err, orgA)
			}
			if !zitadel.PasswordIs(userA, "Sup3rPassw0rd!") {
				t.Error("password: got another one, want the one that was set")
			}
			if org, err := client.UserOrganization(t.Context(), owner, userA); err != nil || org != orgA {
				t.Errorf("UserOrganization: got %q, %v, want %q", org, err, orgA)
			}
			identity, err := client.Identify(t.Context(), owner)
			if err != nil || identity.UserID != "400850337704971302" || identity.Organization != orgA {
				t.Errorf("Identify: got %+v, %v, want the owner of %s", identity, err, orgA)
			}
			grant, _, err := client.Authorize(t.Context(), callerWith("pat-iam-owner"), v2client.Identity{})
			if err != nil || grant != v2client.GrantUserWrite {
				t.Errorf("Authorize: got %v, %v, want GrantUserWrite", grant, err)
			}
		})
	}
}

// An empty password is never sent: v2 would store the hash of "".
func TestEmptyPasswordIsNeverSent(t *testing.T) {
	t.Parallel()
	var arrived atomic.Int32
	client := newClient(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived.Add(1) }), nil)
	_, err := client.SetPassword(t.Context(), callerWith("t"), userA, "", true)
	if failure := asError(t, err); failure.Origin != v2client.OriginSelf || arrived.Load() != 0 {
		t.Errorf("got %v and %d requests, want an error of origin %v and none", err, arrived.Load(), v2client.OriginSelf)
	}
}

// asError returns err as the *v2client.Error that it has to be.
func asError(t *testing.T, err error) *v2client.Error {
	t.Helper()
	failure, ok := errors.AsType[*v2client.Error](err)
	if !ok {
		t.Fatalf("got %v, want a *v2client.Error", err)
	}
	return failure
}

// An error of ZITADEL's keeps its code, id and message. A token that userinfo refuses is
// ErrTokenRefused.
func TestZITADELErrorsKeepCodeIDAndMessage(t *testing.T) {
	t.Parallel()
	client := newClient(t, wiretest.NewZITADEL(t, wiretest.Fixture(t)), nil)
	_, err := client.SetPassword(t.Context(), callerWith("pat-org-owner-a"), userA, "short", true)
	failure := asError(t, err)
	if failure.Origin != v2client.OriginZITADEL || failure.Code != connect.CodeInvalidArgument ||
		failure.ID() != "DOMAIN-HuJf6" || failure.Message != "Password is too short (DOMAIN-HuJf6)" {
		t.Errorf("got %+v, want invalid_argument with DOMAIN-HuJf6 of origin %v", failure, v2client.OriginZITADEL)
	}
	_, err = client.Identify(t.Context(), callerWith("bad"))
	failure = asError(t, err)
	if failure.ID() != "AUTH-7fs1e" || failure.Code != connect.CodeUnauthenticated || failure.Message != "Errors.Token.Invalid (AUTH-7fs1e)" {
		t.Errorf("Identify: got %+v, want AUTH-7fs1e", failure)
	}
}

// A connection that is reset or refused makes a call unavailable, whatever code connect-go
// gives such errors. The message does not name the upstream's address; Error, for the log,
// does.
func TestTransportErrorsAreUnavailable(t *testing.T) {
	t.Parallel()
	reset := wiretest.Reset(t)
	client := newClient(t, reset, nil)
	refused := newClient(t, reset, func(c *v2client.Config) {
		c.Upstream = wiretest.Upstream(t, "http://"+wiretest.RefusingAddress(t), upstream.HostUpstream)
	})
	for name, client := range map[string]*v2client.Client{"reset": client, "refused": refused} {
		_, setErr := client.SetPassword(t.Context(), callerWith("t"), userA, "x", true)
		_, infoErr := client.Identify(t.Context(), callerWith("t"))
		for _, err := range []error{setErr, infoErr} {
			failure := asError(t, err)
			if failure.Origin != v2client.OriginTransport || failure.Code != connect.CodeUnavailable ||
				strings.Contains(failure.Message, "127.0.0.1") || !strings.Contains(failure.Error(), "127.0.0.1") {
				t.Errorf("%s: got %+v, want unavailable of origin %v, with the address in Error only", name, failure, v2client.OriginTransport)
			}
		}
	}
}

// The origin of a context's error says whether the caller canceled it or its deadline
// passed.
func TestContextErrorsNameTheirOrigin(t *testing.T) {
	t.Parallel()
	client := newClient(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does net/http notice that the client is gone
		<-r.Context().Done()
	}), nil)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancelLate := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancelLate()
	for want, ctx := range map[v2client.Origin]context.Context{
		v2client.OriginCanceled: canceled, v2client.OriginDeadline: late,
	} {
		_, err := client.SetPassword(ctx, callerWith("t"), userA, "x", true)
		if failure := asError(t, err); failure.Origin != want {
			t.Errorf("got %+v, want origin %v", failure, want)
		}
	}
}

// A role counts in an organization if it is a role in the organization, on one of its
// projects, or on a project that it grants or was granted.
func TestAdministratorsNameOrganizationsOfEveryResource(t *testing.T) {
	t.Parallel()
	client := newClient(t, permissions{}, nil)
	for organization, want := range map[string]v2client.Grant{
		"o": v2client.GrantOther, "po": v2client.GrantOther, "go": v2client.GrantOther, "gg": v2client.GrantOther, "elsewhere": v2client.GrantNone,
	} {
		caller := v2client.NewCaller("client.example", http.Header{"X-Zitadel-Orgid": {organization}})
		if grant, _, err := client.Authorize(t.Context(), caller, v2client.Identity{UserID: "me"}); grant != want || err != nil {
			t.Errorf("%s: grant: got %v, %v, want %v", organization, grant, err, want)
		}
	}
}

// permissions is a server that lists a role on every kind of resource.
type permissions struct{}

func (p permissions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, handler := internal_permissionv2connect.NewInternalPermissionServiceHandler(p)
	handler.ServeHTTP(w, r)
}

func (permissions) ListAdministrators(
	context.Context, *connect.Request[permissionv2.ListAdministratorsRequest],
) (*connect.Response[permissionv2.ListAdministratorsResponse], error) {
	roles := []string{"R"}
	all := []*permissionv2.Administrator{
		{Roles: roles, Resource: &permissionv2.Administrator_Organization{Organization: &permissionv2.Organization{Id: "o"}}},
		{Roles: roles, Resource: &permissionv2.Administrator_Project{Project: &permissionv2.Project{Id: "p", OrganizationId: "po"}}},
		{Roles: roles, Resource: &permissionv2.Administrator_ProjectGrant{
			ProjectGrant: &permissionv2.ProjectGrant{Id: "g", ProjectId: "p", OrganizationId: "go", GrantedOrganizationId: "gg"},
		}},
	}
	return connect.NewResponse(&permissionv2.ListAdministratorsResponse{
		Pagination: &filterv2.PaginationResponse{TotalResult: uint64(len(all))}, Administrators: all,
	}), nil
}

// Host and User-Agent are sent as configured.
func TestHostAndUserAgentAreSentAsConfigured(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var hosts, agents []string
	teapot := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		hosts, agents = append(hosts, r.Host), append(agents, r.UserAgent())
		w.WriteHeader(http.StatusTeapot)
	})
	for _, protocol := range []v2client.Protocol{v2client.ProtocolConnect, v2client.ProtocolGRPC} {
		for host, want := range map[string]string{
			upstream.HostUpstream: "127.0.0.1:", upstream.HostClient: "client.example", "zitadel.example": "zitadel.example",
		} {
			hosts, agents = nil, nil
			client := newClient(t, teapot, func(c *v2client.Config) {
				c.Upstream, c.Protocol = wiretest.Upstream(t, c.Upstream.Base().String(), host), protocol
			})
			_, _ = client.SetPassword(t.Context(), callerWith("t"), userA, "x", true)
			_, _ = client.Identify(t.Context(), callerWith("t"))
			if len(hosts) != 2 || !strings.HasPrefix(hosts[0], want) || !strings.HasPrefix(hosts[1], want) {
				t.Errorf("%s, %s: Host of two requests: got %q, want %q", protocol, host, hosts, want)
			}
			if agents[0] != "test" || agents[1] != "test" {
				t.Errorf("%s, %s: User-Agent of two requests: got %q, want test", protocol, host, agents)
			}
		}
	}
}

// An invalid configuration is refused with an error that names the key, the value, and what
// would be valid.
func TestNewRefusesInvalidConfig(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*v2client.Config){
		`upstream.protocol: "rest": use "auto", "connect" (ZITADEL v4 and later) or "grpc"`: func(c *v2client.Config) { c.Protocol = "rest" },
		`breaker.minimumCalls: 0: use 1 or more`:                                            func(c *v2client.Config) { c.Breaker.MinimumCalls = 0 },
		`breaker.failureRate: 1.5: use a share above 0 and up to 1, such as 0.5`:            func(c *v2client.Config) { c.Breaker.FailureRate = 1.5 },
		`breaker.failureRate: NaN: use a share above 0 and up to 1, such as 0.5`:            func(c *v2client.Config) { c.Breaker.FailureRate = math.NaN() },
		`breaker.window: 1ms: use 100ms or more, such as 10s`:                               func(c *v2client.Config) { c.Breaker.Window = time.Millisecond },
		`retry.attempts: 0: use 1 (no retries) to 10`:                                       func(c *v2client.Config) { c.Retry.Attempts = 0 },
		`retry.baseDelay: 0s: use a duration above 0, such as 25ms`:                         func(c *v2client.Config) { c.Retry.BaseDelay = 0 },
		`retry.maxDelay: 0s: use retry.baseDelay (1ms) or more`:                             func(c *v2client.Config) { c.Retry.MaxDelay = 0 },
		`retry.budget: 2: use a share from 0 to 1, such as 0.2`:                             func(c *v2client.Config) { c.Retry.Budget = 2 },
		`breaker.openFor: 0s: use a duration above 0, such as 5s`:                           func(c *v2client.Config) { c.Breaker.OpenFor = 0 },
		`upstream.readTimeout: 0s: use a duration above 0, such as 20s`:                     func(c *v2client.Config) { c.ReadTimeout = 0 },
	} {
		config := v2client.Config{
			Upstream: wiretest.Upstream(t, "https://x", upstream.HostUpstream), Protocol: v2client.ProtocolConnect,
			Breaker: breaker(), Retry: wiretest.NoRetry(), ReadTimeout: 10 * time.Second,
		}
		change(&config)
		if _, err := v2client.New(config); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got %v, want an error that begins with %s", err, want)
		}
	}
}
