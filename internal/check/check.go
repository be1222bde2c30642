// Package check asks an upstream whether everything is there that the adapter
// needs, and says what to do about what is not. It changes nothing.
package check

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/gen/zitadel/internal_permission/v2/internal_permissionv2connect"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
	"zitadel-v1-adapter/internal/forwarded"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/v2client"
)

// Status is how a check went.
type Status string

const (
	// OK means that it is as it should be.
	OK Status = "ok"
	// Warning means that the adapter works, with a difference.
	Warning Status = "warning"
	// Failed means that the adapter cannot work so.
	Failed Status = "failed"
	// Skipped means that it does not matter, or cannot be told.
	Skipped Status = "skipped"
)

// Result is what came of one check.
type Result struct {
	Name   string `json:"check"`
	Status Status `json:"status"`
	// Detail is what was found.
	Detail string `json:"detail,omitempty"`
	// Hint is what to do about it.
	Hint string `json:"hint,omitempty"`
}

// Config says what to check.
type Config struct {
	Upstream *upstream.Upstream
	// Forwarding is what the adapter makes of clients' headers.
	Forwarding forwarded.Policy
	// TLS says that clients use it.
	TLS bool
	// Host is what clients dial: it matters with upstream.HostClient. "" means both
	// Listen, as a client beside the adapter would dial it, and the upstream's own name.
	Host string
	// Listen is where the adapter listens.
	Listen   string
	Protocol v2client.Protocol
	OrgScope adapter.OrgScope
	Rollout  adapter.Rollout
	// Deprecation is what callers are told.
	Deprecation adapter.Deprecation
	// Languages are those of messages.dir; none without it.
	Languages []string
	// Token, if it is not "", is one whose organization is to be found.
	Token string
	// NewClient makes a client of the upstream.
	NewClient func(v2client.Protocol) (*v2client.Client, error)
}

// Run makes all checks, in an order in which the first failure explains those
// after it. The error is a mistake in config.
func Run(ctx context.Context, config Config) ([]Result, error) {
	v2, err := config.NewClient(config.Protocol)
	if err != nil {
		return nil, err
	}
	defer v2.Close()
	transport := config.Upstream.NewTransport(upstream.TransportConfig{Version: upstream.HTTP1})
	defer transport.CloseIdleConnections()
	c := &checker{Config: config, v2: v2, transport: transport}
	c.checkDiscovery(ctx)
	if c.client == nil { // what else there is to find out would say the same again
		c.add(Result{Name: "all else", Status: Skipped, Detail: "needs an instance that answers"})
		return c.results, nil
	}
	c.checkRelease(ctx, c.checkUsers(ctx))
	c.checkNative(ctx)
	if len(c.Languages) > 0 {
		c.add(Result{Name: nameLanguages, Status: OK, Detail: strings.Join(c.Languages, " ")})
	}
	c.checkToken(ctx)
	c.checkDeprecation(time.Now())
	return c.results, nil
}

// The names of the checks.
const (
	nameReachable = "upstream reachable"
	nameTLS       = "TLS"
	nameItself    = "upstream.url is an adapter"
	nameAnswer    = "answer"
	nameUsers     = "user service v2 (GetUserByID)"
	nameUserinfo  = "OIDC userinfo"
	nameRelease   = "release"
	nameCallers   = "who calls, and what they may do"
	nameNative    = "native v1"
	nameClock     = "clock"
	nameLanguages = "languages in messages.dir"
	nameToken     = "the token's organization"
)

type checker struct {
	Config

	v2        *v2client.Client
	client    *http.Request // as which all but the instances is asked; nil: none works
	transport *upstream.Transport
	results   []Result
}

// add adds a result, on one line: errors may have several.
func (c *checker) add(result Result) {
	result.Detail = strings.Join(strings.Fields(result.Detail), " ")
	c.results = append(c.results, result)
}

// caller is a client with the token, or without one if it is "".
func (c *checker) caller(token string) v2client.Caller {
	header := c.client.Header.Clone()
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return v2client.NewCaller(c.client.Host, header)
}

// refusedStranger reports whether err is how ZITADEL turns away a caller without
// a token, which shows that the method is there.
func refusedStranger(err error) bool {
	failure, ok := errors.AsType[*v2client.Error](err)
	return ok && failure.Origin == v2client.OriginZITADEL && failure.Code == connect.CodeUnauthenticated
}

// checkUsers looks for the service by which everything is done, and reports whether it answers.
func (c *checker) checkUsers(ctx context.Context) bool {
	_, err := c.v2.UserOrganization(ctx, c.caller(""), "0")
	if refusedStranger(err) {
		c.add(Result{Name: nameUsers, Status: OK, Detail: "answers over " + string(c.v2.Protocol())})
		return true
	}
	if err == nil {
		err = errors.New("it answers a caller without a token")
	}
	result := Result{
		Name: nameUsers, Status: Failed, Detail: err.Error(),
		Hint: "is upstream.url ZITADEL's, v2.58 or later? A proxy between may not let POST /zitadel.user.v2.UserService/* pass",
	}
	if c.Protocol == v2client.ProtocolConnect && c.speaks(ctx, v2client.ProtocolGRPC) {
		result.Hint = "this ZITADEL speaks gRPC but no Connect (it is older than v4): set upstream.protocol: auto"
		c.add(result)
		return false
	}
	c.add(c.blamingProxy(ctx, result, userv2connect.UserServiceGetUserByIDProcedure))
	return false
}

func (c *checker) speaks(ctx context.Context, protocol v2client.Protocol) bool {
	client, err := c.NewClient(protocol)
	if err != nil {
		return false
	}
	defer client.Close()
	_, err = client.UserOrganization(ctx, c.caller(""), "0")
	return refusedStranger(err)
}

// checkRelease tells the release by what is there, and what that means.
func (c *checker) checkRelease(ctx context.Context, hasUsers bool) {
	lists, err := c.v2.ListsAdministrators(ctx, c.caller(""))
	if err != nil {
		c.add(c.blamingProxy(ctx, Result{Name: nameRelease, Status: Warning, Detail: err.Error(), Hint: "ListAdministrators did not answer: try again"},
			internal_permissionv2connect.InternalPermissionServiceListAdministratorsProcedure))
		return
	}
	result, detail := Result{Name: nameRelease, Status: OK}, "v3 or earlier: gRPC only, no ListAdministrators"
	switch {
	case lists == "v2":
		detail = "v4.5 or later: ListAdministrators v2"
	case lists == "v2beta":
		detail = "v4.0 to v4.4: ListAdministrators v2beta"
	case c.speaks(ctx, v2client.ProtocolConnect):
		detail = "v4.0 or later, without ListAdministrators"
	case !hasUsers:
		result.Status, detail = Skipped, "cannot be told: neither the user service nor ListAdministrators answers"
	}
	result.Detail = detail
	c.add(result)
	c.checkCallers(ctx, lists != "")
}

// checkCallers looks for what tells who callers are and what they may do: the Auth API
// v1, or else userinfo and ListAdministrators.
func (c *checker) checkCallers(ctx context.Context, listsAdministrators bool) {
	if c.OrgScope != adapter.OrgScopeStrict {
		c.add(Result{Name: nameCallers, Status: Skipped, Detail: "orgScope: off does not need to know"})
		return
	}
	const path = "/auth/v1/users/me"
	got, err := c.ask(ctx, c.client, http.MethodGet, path, "")
	if err == nil && got.code == http.StatusUnauthorized && got.isREST() {
		c.add(Result{Name: nameCallers, Status: OK, Detail: "the Auth API v1 tells, for every kind of token"})
		return
	}
	if err == nil && got.isProxys() && got.code != http.StatusNotFound && got.code != http.StatusNotImplemented {
		c.add(Result{Name: nameCallers, Status: Failed, Detail: got.byProxy("GET " + path), Hint: "so calls fail: " + got.proxyHint("GET "+path)})
		return
	}
	result := Result{
		Name: nameCallers, Status: Failed, Detail: "neither the Auth API v1 nor ListAdministrators answers",
		Hint: "refusals that depend on roles would all be AUTH-5mWD2, and callers could not set their own password",
	}
	if listsAdministrators {
		result.Status, result.Detail = Warning, "no Auth API v1; userinfo and ListAdministrators have to do"
		result.Hint = "session tokens are refused, and roles are judged by ZITADEL's default mapping"
	}
	result.Hint += ": let GET /auth/v1/users/me and POST /auth/v1/permissions/zitadel/me/_search pass if a proxy is between"
	c.add(result)
	c.checkUserinfo(ctx)
}

// checkToken finds out whose a token is, as a call without x-zitadel-orgid has
// to.
func (c *checker) checkToken(ctx context.Context) {
	if c.Token == "" {
		c.add(Result{Name: nameToken, Status: Skipped, Detail: "no --token-file"})
		return
	}
	caller := c.caller(c.Token)
	identity, err := c.v2.Identify(ctx, caller)
	if failure, ok := errors.AsType[*v2client.Error](err); ok && failure.Origin == v2client.OriginTransport {
		c.add(Result{
			Name: nameToken, Status: Failed, Detail: err.Error(),
			Hint: "this is not ZITADEL's word on the token: a proxy in front of it must let GET /auth/v1/users/me and GET /oidc/v1/userinfo pass",
		})
		return
	}
	if err != nil {
		c.add(Result{
			Name: nameToken, Status: Failed, Detail: err.Error(),
			Hint: "use an access token that is still valid; without the Auth API v1, a personal access token or an OIDC access token",
		})
		return
	}
	if identity.Organization == "" {
		identity.Organization, err = c.v2.UserOrganization(ctx, caller, identity.UserID)
	}
	if err != nil {
		c.add(Result{
			Name: nameToken, Status: Failed, Detail: err.Error(),
			Hint: "the token's user must be allowed to read itself (user.read), or send x-zitadel-orgid",
		})
		return
	}
	result := Result{Name: nameToken, Status: OK, Detail: "user " + identity.UserID + ", organization " + identity.Organization}
	if grant, _, err := c.v2.Authorize(ctx, caller, identity); err == nil && grant == v2client.GrantUserWriteOnly && c.OrgScope == adapter.OrgScopeStrict {
		result.Status = Warning
		result.Hint = "its roles may write users, but not read them: native v1 takes its calls, the adapter answers AUTH-5mWD2; add user.read to one of the roles"
	}
	c.add(result)
}

// maxSkew is how far clocks may be apart before tokens and deadlines suffer.
const maxSkew = 5 * time.Second

// checkClock compares the Date of an answer.
func (c *checker) checkClock(got answer) {
	theirs, err := http.ParseTime(got.header.Get("Date"))
	if err != nil {
		c.add(Result{Name: nameClock, Status: Skipped, Detail: "the answer has no Date"})
		return
	}
	difference := time.Since(theirs).Truncate(time.Second) // Date has whole seconds
	result := Result{Name: nameClock, Status: OK, Detail: difference.String() + " apart"}
	if difference.Abs() > maxSkew {
		result.Status = Warning
		result.Hint = "set both clocks by NTP: dates in logs cannot be compared, and tokens end too early or too late"
	}
	c.add(result)
}
