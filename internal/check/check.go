// Package check asks an upstream, and the database of the ledger, whether all that the adapter needs
// is there, and says what to do about what is not. It changes nothing.
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
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/forwarded"
	"zitadel-v1-adapter/internal/messages"
	"zitadel-v1-adapter/internal/probe"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/v1wire"
	"zitadel-v1-adapter/v2client"
)

// Status is how a check went.
type Status string

// How a check can go.
const (
	OK      Status = "ok"      // as it should be
	Warning Status = "warning" // the adapter works, with a difference
	Failed  Status = "failed"  // the adapter cannot work so
	Skipped Status = "skipped" // it does not matter, or cannot be told
)

// Result is what came of one check.
type Result struct {
	Name   string `json:"check"`
	Status Status `json:"status"`
	Detail string `json:"detail,omitempty"` // what was found
	Hint   string `json:"hint,omitempty"`   // what to do about it
}

// Config says what to check.
type Config struct {
	Settings   config.Config // valid ones
	Upstream   *upstream.Upstream
	Forwarding forwarded.Policy // what the adapter makes of clients' headers
	Client     *v2client.Client // of the upstream; Run closes it
	Host       string           // what clients dial; "" means server.listen as well as the name in upstream.url
	Token      string           // one whose organization is to be found, or ""
}

// Run makes all checks, in an order in which the first failure explains those after it.
func Run(ctx context.Context, what Config) []Result {
	c := &checker{Config: what, probe: probe.New(what.Upstream)}
	defer c.probe.Close()
	defer c.Client.Close()
	ledger := c.checkLedger(ctx) // before ZITADEL has taken all the time
	c.checkZITADEL(ctx)
	c.add("the ledger of who calls v1", ledger)
	return c.results
}

// checkZITADEL makes the checks of the upstream, and of what is told of it.
func (c *checker) checkZITADEL(ctx context.Context) {
	c.checkInstances(ctx)
	if c.client == nil { // every other check would say the same again
		c.add("all else of ZITADEL", result(Skipped, "needs an instance that answers", ""))
		return
	}
	users := c.checkUsers(ctx)
	c.add("user service v2 (GetUserByID)", users)
	c.checkRelease(ctx, users.Status == OK)
	c.add("what sets a password", c.checkWrite(ctx))
	c.add("native v1", c.checkNative(ctx))
	if catalog, err := messages.Load(c.Settings.Messages.Dir); err == nil { // "" has none, and others are validated
		c.add("languages in messages.dir", result(OK, strings.Join(catalog.Languages(), " "), ""))
	}
	c.add("the token's organization", c.checkToken(ctx))
	c.add("what callers are told of v1's end", c.checkDeprecation(time.Now()))
	if len(c.Settings.Deprecation.Brownouts) > 0 {
		c.add("next brownouts", c.checkBrownouts(time.Now()))
	}
}

type checker struct {
	Config

	probe   *probe.Client
	client  *http.Request // a client's Host and headers, with which an instance answers; nil: none does
	results []Result
}

func result(status Status, detail, hint string) Result {
	return Result{Status: status, Detail: detail, Hint: hint}
}

// add adds a result, on one line: errors may have several.
func (c *checker) add(name string, result Result) {
	result.Name, result.Detail = name, strings.Join(strings.Fields(result.Detail), " ")
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

// checkUsers looks for the service that does all the work.
func (c *checker) checkUsers(ctx context.Context) Result {
	_, err := c.Client.UserOrganization(ctx, c.caller(""), "0")
	failure, ok := errors.AsType[*v2client.Error](err)
	switch {
	case ok && failure.Origin == v2client.OriginZITADEL && failure.Code == connect.CodeUnauthenticated:
		return result(OK, "answers over "+string(c.Client.Protocol()), "")
	case ok && failure.Code == connect.CodeDeadlineExceeded:
		return result(Failed, err.Error(), hintHang)
	case ok && failure.Origin == v2client.OriginZITADEL && failure.Code == connect.CodeResourceExhausted:
		return result(Failed, err.Error(), hintLimit)
	case err == nil:
		err = errors.New("it answers a caller without a token")
	}
	if c.Settings.Upstream.Protocol == v2client.ProtocolConnect && c.speaks(ctx, v2client.ProtocolGRPC) {
		return result(Failed, err.Error(), "this ZITADEL speaks gRPC but no Connect (it is older than v4): set upstream.protocol: auto")
	}
	return c.blamingProxy(ctx, userv2connect.UserServiceGetUserByIDProcedure, result(Failed, err.Error(),
		"is upstream.url ZITADEL's, v2.58 or later? A proxy between may not let POST /zitadel.user.v2.UserService/* pass"))
}

// checkWrite looks for the method that does all the work.
func (c *checker) checkWrite(ctx context.Context) Result {
	switch protocol := c.Client.Protocol(); {
	case c.has(ctx, protocol, userv2connect.UserServiceSetPasswordProcedure):
		return result(OK, "SetPassword", "")
	case c.has(ctx, protocol, userv2connect.UserServiceUpdateUserProcedure):
		return result(OK, "UpdateUser: this ZITADEL has no SetPassword, and answers have no details.sequence", "")
	}
	return result(Failed, "neither SetPassword nor UpdateUser answers", "a proxy between may not let POST /zitadel.user.v2.UserService/* pass")
}

// releases are told by the ListAdministrators that they have.
var releases = map[string]string{
	"v2":     "v4.5 or later: ListAdministrators v2",
	"v2beta": "v4.0 to v4.4: ListAdministrators v2beta",
	"":       "v3 or earlier: gRPC only, no ListAdministrators",
}

// checkRelease tells the release by what is there, and what that means.
func (c *checker) checkRelease(ctx context.Context, hasUsers bool) {
	const name = "release"
	lists, err := c.Client.ListsAdministrators(ctx, c.caller(""))
	if err != nil {
		c.add(name, c.blamingProxy(ctx, internal_permissionv2connect.InternalPermissionServiceListAdministratorsProcedure,
			result(Warning, err.Error(), "ListAdministrators did not answer: try again")))
		return
	}
	found := result(OK, releases[lists], "")
	switch {
	case lists != "":
	case c.speaks(ctx, v2client.ProtocolConnect):
		found.Detail = "v4.0 or later, without ListAdministrators"
	case !hasUsers:
		found = result(Skipped, "cannot be told: neither the user service nor ListAdministrators answers", "")
	}
	c.add(name, found)
	c.checkCallers(ctx, lists != "")
}

// checkCallers looks for the Auth API v1, or else userinfo and ListAdministrators.
func (c *checker) checkCallers(ctx context.Context, listsAdministrators bool) {
	const name = "who calls, and what they may do"
	if c.Settings.OrgScope != adapter.OrgScopeStrict {
		c.add(name, result(Skipped, "orgScope: off does not need to know", ""))
		return
	}
	got, err := c.ask(ctx, c.client, "GET /auth/v1/users/me", "", nil)
	switch {
	case err == nil && got.StatusCode == http.StatusUnauthorized && got.isREST():
		c.add(name, result(OK, "the Auth API v1 tells, for every kind of token", ""))
		return
	case err == nil && got.isProxys() && got.StatusCode != http.StatusNotFound && got.StatusCode != http.StatusNotImplemented:
		c.add(name, result(Failed, got.byProxy(), "so calls fail: "+got.proxyHint()))
		return
	}
	found := result(Failed, "neither the Auth API v1 nor ListAdministrators answers",
		"refusals that depend on roles would all be AUTH-5mWD2, and callers could not set their own password")
	if listsAdministrators {
		found = result(Warning, "no Auth API v1; userinfo and ListAdministrators have to do",
			"session tokens of users with roles are refused, and "+c.judgedBy())
	}
	found.Hint += ": let GET /auth/v1/users/me and POST /auth/v1/permissions/zitadel/me/_search pass if a proxy is between"
	c.add(name, found)
	c.add("OIDC userinfo", c.checkUserinfo(ctx))
}

// judgedBy says which mapping of roles counts without the Auth API v1.
func (c *checker) judgedBy() string {
	if own := c.Settings.Roles.UserWrite; len(own) > 0 {
		return "roles are judged by roles.userWrite: " + strings.Join(own, ", ") + " may set passwords"
	}
	return "roles are judged by ZITADEL's default mapping: set roles.userWrite if your instance has its own"
}

// retryHint says what to do about a request that failed after others did not.
func retryHint(err error) string {
	if isHang(err) {
		return hintHang
	}
	return "the connection was fine a moment ago: try again"
}

// checkUserinfo looks for what tells whose a token is.
func (c *checker) checkUserinfo(ctx context.Context) Result {
	got, err := c.ask(ctx, c.client, "GET /oidc/v1/userinfo", "", nil)
	const hint = "calls without x-zitadel-orgid need GET /oidc/v1/userinfo: a proxy between must let it pass"
	switch {
	case err != nil:
		return result(Failed, err.Error(), retryHint(err))
	case got.StatusCode == http.StatusUnauthorized && !got.isPage():
		return result(OK, "", "")
	case got.isREST():
		return result(Failed, got.String(), hint)
	}
	return result(Failed, got.byProxy(), hint+": "+got.proxyHint())
}

// checkNative looks whether v1 itself is still there, by a call without a token and a password.
func (c *checker) checkNative(ctx context.Context) Result {
	path := strings.Replace(adapter.Methods()[0].Pattern, ":user_id", "0", 1)
	got, err := c.ask(ctx, c.client, "POST "+path, "{}", nil)
	if err != nil {
		return result(Failed, err.Error(), retryHint(err))
	}
	isPartial := c.Settings.Rollout.Percent < adapter.RolloutAll
	switch refusal, _ := v1wire.DecodeAnswer("", got.StatusCode, got.Header, nil, got.Content); {
	case refusal.Code == connect.CodeUnauthenticated:
		return result(OK, "still there", "")
	case refusal.Code != connect.CodeNotFound && refusal.Code != connect.CodeUnimplemented: // a proxy may answer 404 too
		found := result(Warning, got.byProxy(),
			"so it cannot be told whether v1 is there: does a proxy between refuse its path? "+got.proxyHint())
		if isPartial {
			found.Status = Failed
		}
		return found
	case isPartial:
		return result(Failed, got.String(), "it is gone, and rollout.percent sends calls to it: set rollout.percent: 100 (and no shadow: there is nothing to compare with)")
	}
	return result(OK, "gone: the adapter answers its two methods, and says of others that they have ended", "")
}

// checkToken finds out whose a token is, as a call without x-zitadel-orgid has to.
func (c *checker) checkToken(ctx context.Context) Result {
	if c.Token == "" {
		return result(Skipped, "no --token-file", "")
	}
	caller := c.caller(c.Token)
	identity, err := c.Client.Identify(ctx, caller)
	hint := "use an access token that is still valid; without the Auth API v1, a personal access token or an OIDC access token"
	if failure, ok := errors.AsType[*v2client.Error](err); ok && failure.Origin == v2client.OriginTransport {
		hint = "this is not ZITADEL's word on the token: " +
			"a proxy in front of it must let GET /auth/v1/users/me and GET /oidc/v1/userinfo pass"
	}
	if err == nil && identity.Organization == "" {
		hint = "the token's user must be allowed to read itself (user.read), or send x-zitadel-orgid"
		identity.Organization, err = c.Client.UserOrganization(ctx, caller, identity.UserID)
	}
	if err != nil {
		return result(Failed, err.Error(), hint)
	}
	found := result(OK, "user "+identity.UserID+", organization "+identity.Organization, "")
	grant, _, err := c.Client.Authorize(ctx, caller, identity)
	if err == nil && grant == v2client.GrantUserWriteOnly && c.Settings.OrgScope == adapter.OrgScopeStrict {
		found.Status = Warning
		found.Hint = "its roles may write users, but not read them: native v1 takes its calls, " +
			"the adapter answers AUTH-5mWD2; add user.read to one of the roles"
	}
	return found
}

// maxSkew is how far clocks may be apart before tokens and deadlines suffer.
const maxSkew = 5 * time.Second

// checkClock compares the Date of an answer.
func checkClock(date string) Result {
	theirs, err := http.ParseTime(date)
	if err != nil {
		return result(Skipped, "the answer has no Date", "")
	}
	difference := time.Since(theirs).Truncate(time.Second) // Date has whole seconds
	if difference.Abs() > maxSkew {
		return result(Warning, difference.String()+" apart",
			"set both clocks by NTP: dates in logs cannot be compared, and tokens end too early or too late")
	}
	return result(OK, difference.String()+" apart", "")
}

// checkDeprecation says what the configuration tells callers.
func (c *checker) checkDeprecation(now time.Time) Result {
	told := c.Settings.Deprecation
	switch end := told.Sunset.Format(time.RFC3339); {
	case told.Since.IsZero():
		return result(Skipped, "nothing",
			"set deprecation.since, and deprecation.sunset once there is a date: then every answer of a v1 method says so")
	case told.Sunset.IsZero():
		return result(OK, "deprecated since "+told.Since.Format(time.DateOnly)+", no date for the end", "")
	case now.Before(told.Sunset):
		return result(OK, "ends on "+end, "")
	case told.AfterSunset == adapter.AfterSunsetRefuse:
		return result(Warning, "ended on "+end, "all calls are refused: is anything left to do for the adapter?")
	default:
		return result(Warning, "ends on "+end,
			"this has passed, and calls are served: set deprecation.afterSunset: refuse, or another date")
	}
}

// checkBrownouts says when the configuration refuses callers.
func (c *checker) checkBrownouts(now time.Time) Result {
	schedule, err := adapter.NewSchedule(c.Settings.Deprecation.Brownouts)
	if err != nil {
		return result(Failed, err.Error(), "")
	}
	const shown = 3
	var windows []string
	for _, window := range schedule.Next(now, shown) {
		windows = append(windows, window.From.UTC().Format(time.RFC3339)+" to "+window.To.UTC().Format(time.RFC3339))
	}
	if len(windows) == 0 {
		return result(Warning, "none: all are over", "remove them from deprecation.brownouts, or add others")
	}
	return result(OK, strings.Join(windows, ", "), "")
}
