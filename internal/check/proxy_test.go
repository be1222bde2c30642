package check_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"zitadel-v1-adapter/internal/check"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
	"zitadel-v1-adapter/v2client/v2test"
)

// page is what a proxy answers in ZITADEL's place.
type page struct {
	status int
	header string // "Name: value", or ""
	body   string
}

// keeping answers with a page what goes to a path that begins so, and lets all else pass.
func keeping(next http.Handler, answer page, prefixes ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, prefix := range prefixes {
			if strings.HasPrefix(r.URL.Path, prefix) {
				_, _ = io.Copy(io.Discard, r.Body)
				if name, value, ok := strings.Cut(answer.header, ": "); ok {
					w.Header().Set(name, value)
				}
				w.WriteHeader(answer.status)
				_, _ = io.WriteString(w, answer.body)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// pages are what gateways answer, each with what check says to do.
func pages() map[string]struct {
	page

	hint string
} {
	type row = struct {
		page

		hint string
	}
	const html = "<html><h1>Request blocked</h1></html>"
	return map[string]row{
		"redirect":         {page{http.StatusFound, "Location: https://login.example/", ""}, "redirects to https://login.example/"},
		"permanent":        {page{http.StatusPermanentRedirect, "Location: https://login.example/", html}, "redirects to https://login.example/"},
		"login":            {page{http.StatusUnauthorized, "Content-Type: text/html", html}, "a login in the proxy"},
		"firewall":         {page{http.StatusForbidden, "Server: CloudFront", html}, "a firewall (WAF)"},
		"firewall, JSON":   {page{http.StatusForbidden, "Content-Type: application/json", `{"message":"Forbidden"}`}, "a firewall (WAF)"},
		"method":           {page{http.StatusMethodNotAllowed, "", html}, "has no route"},
		"too large":        {page{http.StatusRequestEntityTooLarge, "Server: nginx", html}, "raise its limit"},
		"headers":          {page{http.StatusRequestHeaderFieldsTooLarge, "", ""}, "raise its limit"},
		"misdirected":      {page{http.StatusMisdirectedRequest, "", "Misdirected Request"}, "set upstream.host, and over TLS upstream.tls.serverName"},
		"rate":             {page{http.StatusTooManyRequests, "Retry-After: 60", html}, "take the adapter out of that limit"},
		"ZITADEL is away":  {page{http.StatusBadGateway, "Server: nginx", html}, "is ZITADEL running"},
		"answers anybody":  {page{http.StatusOK, "Content-Type: application/json", `{"details":{"resourceOwner":"1"}}`}, "let it pass POST /zitadel.user.v2.UserService/GetUserByID"},
		"another 200":      {page{http.StatusOK, "Content-Type: text/html", html}, "let it pass POST /zitadel.user.v2.UserService/GetUserByID"},
		"not found":        {page{http.StatusNotFound, "Server: nginx", html}, "A proxy between may not let POST /zitadel.user.v2.UserService/* pass"},
		"not found, plain": {page{http.StatusNotFound, "", "404 page not found"}, "A proxy between may not let POST /zitadel.user.v2.UserService/* pass"},
	}
}

// A gateway that answers the user service with a page of its own is named, with the status
// and what to do, over each protocol; so is one that does not speak HTTP/2, whose page made
// "http2: frame too large" over gRPC.
func TestProxyThatKeepsUserServiceIsNamed(t *testing.T) {
	t.Parallel()
	const users = "user service v2 (GetUserByID)"
	for name, test := range pages() {
		handler := keeping(zitadel(t), test.page, "/zitadel.user.v2.")
		old := httptest.NewServer(handler) // HTTP/1.1 alone
		t.Cleanup(old.Close)
		for servers, to := range map[string]upstream.Config{"both": at(t, handler), "HTTP/1.1": {URL: old.URL, Host: host}} {
			for _, protocol := range []v2client.Protocol{v2client.ProtocolAuto, v2client.ProtocolConnect, v2client.ProtocolGRPC} {
				t.Run(fmt.Sprint(name, " ", servers, " ", protocol), func(t *testing.T) {
					results := run(t, to, func(c *check.Config) { c.Settings.Upstream.Protocol = protocol })
					texts := []string{fmt.Sprint("to POST /zitadel.user.v2.UserService/GetUserByID the proxy in front of ZITADEL answered HTTP ", test.status), test.hint}
					if servers == "HTTP/1.1" && protocol == v2client.ProtocolGRPC {
						texts = append(texts, "does not speak HTTP/2, which gRPC needs")
					}
					expect(t, results, users, check.Failed, texts...)
					all, _ := json.Marshal(results[users])
					if strings.Contains(string(all), "frame too large") || protocol == v2client.ProtocolConnect && strings.Contains(string(all), "HTTP/2") {
						t.Errorf("got %s, want words of what answered", all)
					}
				})
			}
		}
	}
}

// The same is said of each other path that a gateway keeps for itself.
func TestProxyThatKeepsAnotherPathIsNamed(t *testing.T) {
	t.Parallel()
	const says = "the proxy in front of ZITADEL answered HTTP "
	html := "<html>"
	forbidden, missing, large := page{http.StatusForbidden, "", html}, page{http.StatusNotFound, "", html}, page{http.StatusRequestEntityTooLarge, "", html}
	elsewhere, strange := page{http.StatusFound, "Location: https://login.example/", ""}, page{http.StatusMisdirectedRequest, "", html}
	login := page{http.StatusUnauthorized, "Content-Type: text/html", html}
	const everything, me, userinfo, v1 = "/", "/auth/v1/", "/oidc/v1/userinfo", "/management/v1/"
	for name, test := range map[string]struct {
		page     page
		prefixes []string
		check    string
		status   check.Status
		texts    []string
	}{
		"all, 403":                   {forbidden, []string{everything}, "instance, for all clients", check.Failed, []string{says + "403", "a firewall (WAF)"}},
		"all, 404":                   {missing, []string{everything}, "instance, for all clients", check.Failed, []string{says + "404", "this is not ZITADEL"}},
		"all, 404, plain":            {page{http.StatusNotFound, "", "404 page not found"}, []string{everything}, "instance, for all clients", check.Failed, []string{says + "404", "this is not ZITADEL"}},
		"all, 413":                   {large, []string{everything}, "instance, for all clients", check.Failed, []string{says + "413", "raise its limit"}},
		"all, 421":                   {strange, []string{everything}, "instance, for all clients", check.Failed, []string{says + "421", "set upstream.host"}},
		"all, redirect":              {elsewhere, []string{everything}, "instance, for all clients", check.Failed, []string{says + "302", "redirects to https://login.example/, where it wants a login"}},
		"all, login of oauth2-proxy": {page{http.StatusFound, "Location: /oauth2/start?rd=%2F", ""}, []string{everything}, "instance, for all clients", check.Failed, []string{says + "302", "wants a login, which the adapter cannot make: let it pass GET /.well-known/"}},
		"all, another name":          {page{http.StatusFound, "Location: https://login.example/.well-known/openid-configuration", ""}, []string{everything}, "instance, for all clients", check.Failed, []string{"set upstream.url to what answers at https://login.example/"}},
		"all, a login's page":        {page{http.StatusOK, "Content-Type: text/html", `<form>Sign in <input type="password"></form>`}, []string{everything}, "instance, for all clients", check.Failed, []string{"200 OK, a web page", "wants a login, which the adapter cannot make"}},
		"all, 429":                   {page{http.StatusTooManyRequests, "Retry-After: 60", html}, []string{everything}, "instance, for all clients", check.Failed, []string{says + "429", "the proxy limits requests"}},
		"all, 429 of ZITADEL's":      {page{http.StatusTooManyRequests, "Content-Type: application/json", `{"code":8,"message":"Quota.Access.Exhausted"}`}, []string{everything}, "instance, for all clients", check.Failed, []string{"429 Too Many Requests: ", "a quota of ZITADEL's instance is used up"}},
		"users, 429 of ZITADEL's":    {page{http.StatusTooManyRequests, "Content-Type: application/json", `{"code":"resource_exhausted","message":"x"}`}, []string{"/zitadel.user.v2."}, "user service v2 (GetUserByID)", check.Failed, []string{"a quota of ZITADEL's instance is used up"}},
		"ListAdministrators, 403":    {forbidden, []string{"/zitadel.internal_permission."}, "release", check.Warning, []string{says + "403", "a firewall (WAF)"}},
		"v2 of all kinds, 404":       {missing, []string{"/zitadel."}, "release", check.Skipped, []string{"cannot be told"}},
		"Auth API, 403":              {forbidden, []string{me}, callers, check.Failed, []string{"to GET /auth/v1/users/me " + says + "403", "calls fail", "a firewall (WAF)"}},
		"Auth API, 401":              {login, []string{me}, callers, check.Failed, []string{says + "401", "a login in the proxy"}},
		"Auth API, redirect":         {elsewhere, []string{me}, callers, check.Failed, []string{says + "302", "redirects to https://login.example/"}},
		"Auth API, 404":              {missing, []string{me}, callers, check.Warning, []string{"no Auth API v1"}}, // as where it is gone
		"userinfo, 403":              {forbidden, []string{userinfo}, callers, check.OK, nil},
		"both, userinfo 404":         {missing, []string{me, userinfo}, "OIDC userinfo", check.Failed, []string{"to GET /oidc/v1/userinfo " + says + "404", "has no route"}},
		"v1, 403":                    {forbidden, []string{v1}, "native v1", check.Warning, []string{"to POST /management/v1/users/0/password/_initialize " + says + "403", "a firewall (WAF)"}},
		"v1, 421":                    {strange, []string{v1}, "native v1", check.Warning, []string{says + "421", "set upstream.host"}},
		"v1, 401":                    {login, []string{v1}, "native v1", check.Warning, []string{says + "401", "a login in the proxy"}},
		"token, 403":                 {forbidden, []string{me, userinfo}, "the token's organization", check.Failed, []string{"HTTP 403", "not ZITADEL's word on the token"}},
	} {
		results := run(t, at(t, keeping(zitadel(t), test.page, test.prefixes...)), func(c *check.Config) { c.Token = "pat-org-owner-a" })
		expect(t, results, test.check, test.status, test.texts...)
		if t.Failed() {
			t.Fatalf("%s: see above", name)
		}
	}
}

// overdue is a context whose deadline passes when it is told to.
type overdue struct {
	context.Context

	over chan struct{}
}

func (e overdue) Done() <-chan struct{} { return e.over }

func (e overdue) Err() error {
	select {
	case <-e.over:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// What takes a request and never answers is found, and has a hint, wherever it begins to hang.
func TestHangIsNamed(t *testing.T) {
	t.Parallel()
	for name, hangs := range map[string]string{
		"answer": "/.well-known/", "user service v2 (GetUserByID)": "/zitadel.user.v2.", "native v1": "/management/",
	} {
		next := zitadel(t)
		ctx := overdue{t.Context(), make(chan struct{})}
		over := sync.OnceFunc(func() { close(ctx.over) })
		results := runUntil(ctx, t, at(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, hangs) {
				over()
				<-r.Context().Done()
				return
			}
			next.ServeHTTP(w, r)
		})), nil)
		expect(t, results, name, check.Failed, "does not answer: is ZITADEL still starting", "--timeout waits longer")
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // says nothing to a handshake
	if err != nil {
		t.Fatal(err)
	}
	ctx := overdue{t.Context(), make(chan struct{})}
	go func() {
		conn, err := silent.Accept()
		close(ctx.over)
		if err == nil {
			_, _ = io.Copy(io.Discard, conn)
			_ = conn.Close()
		}
	}()
	defer func() { _ = silent.Close() }()
	results := runUntil(ctx, t, upstream.Config{URL: "https://" + silent.Addr().String(), Host: host}, nil)
	expect(t, results, "TLS", check.Failed, "does not answer: is ZITADEL still starting")
}

// A ZITADEL that does not know a call is not taken for a proxy.
func TestOwnRefusalsAreNotAProxys(t *testing.T) {
	t.Parallel()
	for _, release := range v2test.Releases() {
		for _, protocol := range []v2client.Protocol{v2client.ProtocolAuto, v2client.ProtocolConnect, v2client.ProtocolGRPC} {
			embedded := wiretest.NewZITADELOf(t, wiretest.Fixture(t), v2test.Config{Release: release})
			for _, to := range []http.Handler{embedded, keeping(embedded, page{http.StatusForbidden, "", "no"}, "/management/v1/none")} {
				for name, result := range run(t, at(t, to), func(c *check.Config) { c.Settings.Upstream.Protocol = protocol }) {
					if strings.Contains(result.Detail, "proxy in front") {
						t.Errorf("%s, %s, %s: %s", release, protocol, name, result.Detail)
					}
				}
			}
		}
	}
}

// The token's organization is looked up by its user where neither the Auth API nor userinfo
// names it, and what keeps that back is said.
func TestOrganizationOfTokenIsLookedUp(t *testing.T) {
	t.Parallel()
	const name = "the token's organization"
	embedded := wiretest.NewZITADELOf(t, wiretest.Fixture(t), v2test.Config{WithoutAuthAPI: true})
	refusing := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/GetUserByID") && r.Header.Get("Authorization") != "" {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"code":"permission_denied","message":"No matching permissions found (AUTH-5mWD2)"}`)
			return
		}
		embedded.ServeHTTP(w, r)
	})
	for _, test := range []struct {
		handler http.Handler
		token   string
		status  check.Status
		text    string
	}{
		{embedded, "pat-iam-owner", check.OK, "user 400849858565049382, organization 400849858564525094"}, // whose userinfo names none
		{embedded, "pat-org-owner-a", check.OK, "user 400850337704971302, organization 400849858564525094"},
		{refusing, "pat-iam-owner", check.Failed, "the token's user must be allowed to read itself (user.read)"},
		{refusing, "pat-org-owner-a", check.OK, "organization 400849858564525094"},
	} {
		results := run(t, at(t, test.handler), func(c *check.Config) { c.Token = test.token })
		expect(t, results, name, test.status, test.text)
	}
}

// A role that may write users but not read them is a warning: native v1 would take its calls.
func TestRoleThatCannotReadUsersIsNamed(t *testing.T) {
	t.Parallel()
	fixture := v2test.Fixture{
		InstanceHosts: []string{"localhost", "127.0.0.1"}, Orgs: map[string]string{"a": "1001"},
		Callers: map[string]v2test.Caller{"writer": {
			Token: "writer", UserID: "2001", HomeOrg: "1001",
			AdministratorOf: []v2test.AdministratorOf{{Organization: "1001", Roles: []string{v2test.RoleUserWriteOnly}}},
		}},
	}
	results := run(t, at(t, wiretest.NewZITADEL(t, fixture)), func(c *check.Config) { c.Token = "writer" })
	expect(t, results, "the token's organization", check.Warning, "add user.read to one of the roles")
}

// How JSON is spelled tells nothing of who answers: native v1's refusals, there and gone, and
// with spaces that a proxy added.
func TestRefusalsOfNativeV1InAnySpelling(t *testing.T) {
	t.Parallel()
	for body, test := range map[string]struct {
		status int
		detail string
	}{
		`{ "code": 16, "message": "auth header missing" }`:   {http.StatusUnauthorized, "still there"},
		"{\n  \"message\": \"Not Found\",\n  \"code\": 5\n}": {http.StatusNotFound, "gone"},
		`{"code" :12}`: {http.StatusNotImplemented, "gone"},
	} {
		native := keeping(zitadel(t), page{test.status, "Content-Type: application/json", body}, "/management/v1/")
		expect(t, run(t, at(t, native), nil), "native v1", check.OK, test.detail)
	}
}
