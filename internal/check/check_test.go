package check_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/check"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/forwarded"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
	"zitadel-v1-adapter/v2client/v2test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	host    = "localhost"
	callers = "who calls, and what they may do"
)

// run checks an upstream and returns the results by name.
func run(t *testing.T, to upstream.Config, change func(*check.Config)) map[string]check.Result {
	t.Helper()
	return runUntil(t.Context(), t, to, change)
}

// runUntil is run in a context.
func runUntil(ctx context.Context, t *testing.T, to upstream.Config, change func(*check.Config)) map[string]check.Result {
	t.Helper()
	made, err := upstream.New(to)
	if err != nil {
		t.Fatal(err)
	}
	what := check.Config{
		Settings: config.Default(), Upstream: made, Forwarding: forwarded.Policy{TellHost: made.HostByClient()}, Host: host,
	}
	what.Settings.Upstream.Protocol, what.Settings.Server.Listen = v2client.ProtocolConnect, ""
	if change != nil {
		change(&what)
	}
	what.Client, err = v2client.New(v2client.Config{
		ReadTimeout: 10 * time.Second,
		Upstream:    made, Protocol: what.Settings.Upstream.Protocol,
		Breaker: v2client.BreakerConfig{MinimumCalls: 20, FailureRate: 0.5, Window: 10 * time.Second, OpenFor: time.Minute}, Retry: wiretest.NoRetry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	results := check.Run(ctx, what)
	byName := map[string]check.Result{}
	for _, result := range results {
		byName[result.Name] = result
	}
	return byName
}

// expect compares a result's status, and looks for text in it.
func expect(t *testing.T, results map[string]check.Result, name string, status check.Status, texts ...string) {
	t.Helper()
	result := results[name]
	all, _ := json.Marshal(result)
	if result.Status != status {
		t.Errorf("%s: %s, want %s", name, all, status)
	}
	for _, text := range texts {
		if !strings.Contains(result.Detail+" "+result.Hint, text) {
			t.Errorf("%q is not in %s", text, all)
		}
	}
}

// zitadel is an embedded ZITADEL that still has v1.
func zitadel(t *testing.T) http.Handler {
	t.Helper()
	embedded := wiretest.NewZITADEL(t, wiretest.Fixture(t))
	mux := http.NewServeMux()
	mux.Handle("/", embedded)
	mux.HandleFunc("POST /management/v1/users/0/password/_initialize", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("v1 was called with a token")
		}
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"code":16,"message":"auth header missing"}`)
	})
	return mux
}

// behind is what answers everything with one header, a status and a body.
func behind(t *testing.T, header string, status int, body string) http.Handler {
	t.Helper()
	name, value, _ := strings.Cut(header, ": ")
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(name, value)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func at(t *testing.T, handler http.Handler) upstream.Config {
	t.Helper()
	return upstream.Config{URL: "http://" + wiretest.Listen(t, handler), Host: host}
}

func TestWorkingUpstreamPassesEveryCheck(t *testing.T) {
	t.Parallel()
	results := run(t, at(t, zitadel(t)), func(c *check.Config) { c.Token = "pat-org-owner-a" })
	expect(t, results, "upstream reachable", check.OK, "tcp 127.0.0.1:")
	expect(t, results, "TLS", check.Skipped)
	expect(t, results, "instance, for all clients", check.OK, "host localhost, issuer http://localhost")
	expect(t, results, "user service v2 (GetUserByID)", check.OK, "over connect")
	expect(t, results, "release", check.OK, "v4.5 or later")
	expect(t, results, callers, check.OK, "the Auth API v1 tells")
	expect(t, results, "native v1", check.OK, "still there")
	expect(t, results, "clock", check.OK)
	expect(t, results, "the token's organization", check.OK, "organization 400849858564525094")
}

// Each of these is found, and has a hint.
func TestProblemsAreFoundWithAHint(t *testing.T) {
	t.Parallel()
	without := func(paths ...string) http.Handler {
		next := zitadel(t)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if slices.ContainsFunc(paths, func(path string) bool { return strings.HasSuffix(r.URL.Path, path) }) {
				http.NotFound(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	onlyGRPC := func() http.Handler {
		next := zitadel(t)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/zitadel.") && r.Header.Get("Content-Type") != "application/grpc" && !strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc+") {
				http.NotFound(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	skewed := func() http.Handler {
		next := zitadel(t)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat))
			next.ServeHTTP(w, r)
		})
	}
	nobody := "http://" + wiretest.RefusingAddress(t)
	bad := wiretest.Listen(t, zitadel(t))
	for name, test := range map[string]struct {
		to     upstream.Config
		change func(*check.Config)
		check  string
		status check.Status
		texts  []string
	}{
		"nobody listens":                {upstream.Config{URL: nobody, Host: host}, nil, "upstream reachable", check.Failed, []string{"connection refused", "does upstream.url have the right port"}},
		"another host":                  {upstream.Config{URL: "http://" + bad, Host: "other.example"}, nil, "instance, for all clients", check.Failed, []string{"host other.example: 404", "Instance not found", "set upstream.host"}},
		"the client's host":             {upstream.Config{URL: "http://" + bad, Host: "client"}, nil, "instance, for clients of localhost", check.Warning, []string{"issuer http://localhost (under upstream.url's own name: http://127.0.0.1:"}},
		"before v4":                     {at(t, onlyGRPC()), nil, "user service v2 (GetUserByID)", check.Failed, []string{"set upstream.protocol: auto"}},
		"no user service":               {at(t, without("/GetUserByID")), nil, "user service v2 (GetUserByID)", check.Failed, []string{"is upstream.url ZITADEL's"}},
		"no Auth API":                   {at(t, without("/me")), nil, callers, check.Warning, []string{"session tokens of users with roles are refused"}},
		"no userinfo":                   {at(t, without("/me", "/userinfo")), nil, "OIDC userinfo", check.Failed, []string{"404 Not Found", "must let it pass"}},
		"no administrators":             {at(t, without("/me", "/ListAdministrators")), nil, callers, check.Failed, []string{"AUTH-5mWD2"}},
		"not needed":                    {at(t, without("/me", "/ListAdministrators")), func(c *check.Config) { c.Settings.OrgScope = adapter.OrgScopeOff }, callers, check.Skipped, nil},
		"a name that DNS does not know": {upstream.Config{URL: "http://nowhere.invalid", Host: host}, nil, "upstream reachable", check.Failed, []string{"nowhere.invalid"}},
		"SetPassword is gone":           {at(t, wiretest.NewZITADELOf(t, wiretest.Fixture(t), v2test.Config{Release: v2test.NextWithoutSetPassword})), nil, "what sets a password", check.OK, []string{"UpdateUser", "no details.sequence"}},
		"nothing sets a password":       {at(t, without("/SetPassword", "/UpdateUser")), nil, "what sets a password", check.Failed, []string{"neither SetPassword nor UpdateUser"}},
		"no Auth API, own roles":        {at(t, without("/me")), func(c *check.Config) { c.Settings.Roles.UserWrite = []string{"OWN"} }, callers, check.Warning, []string{"roles.userWrite: OWN may set passwords"}},
		"v1 is gone":                    {at(t, wiretest.NewZITADEL(t, wiretest.Fixture(t))), nil, "native v1", check.OK, []string{"gone"}},
		"v1 is gone, rollout":           {at(t, wiretest.NewZITADEL(t, wiretest.Fixture(t))), func(c *check.Config) { c.Settings.Rollout.Percent = 50 }, "native v1", check.Failed, []string{"set rollout.percent: 100"}},
		"a proxy refuses v1":            {at(t, without("/_initialize")), nil, "native v1", check.Warning, []string{"404 Not Found: 404 page not found", "does a proxy between refuse its path"}},
		"a proxy refuses v1, rollout":   {at(t, without("/_initialize")), func(c *check.Config) { c.Settings.Rollout.Percent = 50 }, "native v1", check.Failed, []string{"does a proxy between refuse its path"}},
		"an adapter":                    {at(t, behind(t, "X-V1adapter-Via: 1", 200, "")), nil, "upstream.url is an adapter", check.Failed, []string{"set upstream.url to ZITADEL's own address"}},
		"nginx":                         {at(t, behind(t, "Server: nginx", 404, "<html>\n<head><title>404 Not Found</title></head>")), nil, "instance, for all clients", check.Failed, []string{"404 Not Found, Server: nginx", "this is not ZITADEL"}},
		"another program":               {at(t, behind(t, "A: b", 200, "hello")), nil, "instance, for all clients", check.Failed, []string{"200 OK: hello", "this is not ZITADEL"}},
		"a redirect":                    {at(t, behind(t, "Location: https://zitadel.example.com/", 301, "")), nil, "instance, for all clients", check.Failed, []string{"set upstream.url to what answers at https://zitadel.example.com/"}},
		"ZITADEL is down behind it":     {at(t, behind(t, "Server: nginx", 502, "<html>")), nil, "instance, for all clients", check.Failed, []string{"a proxy answers for a ZITADEL that is not there"}},
		"a proxy's login":               {at(t, behind(t, "A: b", 403, "forbidden")), nil, "instance, for all clients", check.Failed, []string{"wants a login of its own"}},
		"HTTP on nginx's TLS port":      {at(t, behind(t, "Server: nginx", 400, "The plain HTTP request was sent to HTTPS port")), nil, "instance, for all clients", check.Failed, []string{"use an https:// URL"}},
		"clocks apart":                  {at(t, skewed()), nil, "clock", check.Warning, []string{"1m0s apart", "NTP"}},
		"bad token":                     {at(t, zitadel(t)), func(c *check.Config) { c.Token = "s3cret" }, "the token's organization", check.Failed, []string{"personal access token"}},
		"nothing told":                  {at(t, zitadel(t)), nil, told, check.Skipped, []string{"set deprecation.since"}},
		"no date":                       {at(t, zitadel(t)), ending(time.Time{}), told, check.OK, []string{"deprecated since 2025-11-03, no date"}},
		"a date":                        {at(t, zitadel(t)), ending(time.Date(2200, 1, 2, 0, 0, 0, 0, time.UTC)), told, check.OK, []string{"ends on 2200-01-02T00:00:00Z"}},
		"after the date":                {at(t, zitadel(t)), ending(time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)), told, check.Warning, []string{"has passed, and calls are served"}},
		"brownouts":                     {at(t, zitadel(t)), brownouts("2200-01-02T09:00:00Z/2200-01-02T10:00:00Z"), "next brownouts", check.OK, []string{"2200-01-02T09:00:00Z to 2200-01-02T10:00:00Z"}},
		"brownouts, all over":           {at(t, zitadel(t)), brownouts("2020-01-02T09:00:00Z/2020-01-02T10:00:00Z"), "next brownouts", check.Warning, []string{"all are over"}},
		"no token":                      {at(t, zitadel(t)), nil, "the token's organization", check.Skipped, nil},
	} {
		results := run(t, test.to, test.change)
		expect(t, results, test.check, test.status, test.texts...)
		all, _ := json.Marshal(results)
		if strings.Contains(string(all), "s3cret") || strings.Contains(string(all), `\n`) {
			t.Errorf("%s: the token, or a line break, is in %s", name, all)
		}
		said := map[string]string{} // by name, nothing twice
		for name, result := range results {
			if other, again := said[result.Detail]; again && len(result.Detail) > 40 {
				t.Errorf("%s and %s say the same: %s", name, other, result.Detail)
			}
			said[result.Detail] = name
		}
	}
}

const told = "what callers are told of v1's end"

// ending is a change: callers are told that v1 ends then.
func ending(sunset time.Time) func(*check.Config) {
	return func(c *check.Config) {
		c.Settings.Deprecation.Since, c.Settings.Deprecation.Sunset = time.Date(2025, 11, 3, 0, 0, 0, 0, time.UTC), sunset
	}
}

// brownouts is a change: there are these.
func brownouts(texts ...string) func(*check.Config) {
	return func(c *check.Config) { c.Settings.Deprecation.Brownouts = texts }
}

// With upstream.host: client, each host that clients may dial is asked for with the
// headers that the adapter would send, and the issuer is compared (issue 9).
func TestClientsHostsAreCheckedAsDialed(t *testing.T) {
	t.Parallel()
	fixture := wiretest.Fixture(t)
	fixture.InstanceHosts = []string{host}
	_, port, _ := strings.Cut(wiretest.Listen(t, wiretest.NewZITADEL(t, fixture)), ":")
	const beside = "instance, for clients of 127.0.0.1:8080"
	base := "localhost:" + port
	for name, test := range map[string]struct {
		mode, host, listen string
		want               map[string]check.Status // by name; "" is none
		texts              []string
	}{
		"upstream": {upstream.HostUpstream, "", "127.0.0.1:8080", map[string]check.Status{"instance, for all clients": check.OK, beside: ""}, nil},
		"name":     {"localhost", "", "127.0.0.1:8080", map[string]check.Status{"instance, for all clients": check.OK}, []string{"host localhost, issuer http://localhost (under upstream.url's own name: http://" + base}},
		"client":   {upstream.HostClient, "", "127.0.0.1:8080", map[string]check.Status{beside: check.Failed, "instance, for clients of " + base: check.OK}, []string{"host 127.0.0.1:8080: 404", "set upstream.host: upstream"}},
		"client, another issuer": {
			upstream.HostClient, "localhost", "127.0.0.1:8080",
			map[string]check.Status{"instance, for clients of localhost": check.Warning, beside: "", "instance, for clients of " + base: ""},
			[]string{"issuer http://localhost (under upstream.url's own name: http://" + base, "set upstream.host: upstream to keep", "server.trustedProxies"},
		},
		"client, everywhere": {
			upstream.HostClient, "", ":8080",
			map[string]check.Status{"instance, for clients": check.Skipped, "instance, for clients of " + base: check.OK},
			[]string{"check with --host NAME"},
		},
	} {
		results := run(t, upstream.Config{URL: "http://" + base, Host: test.mode}, func(c *check.Config) { c.Host, c.Settings.Server.Listen = test.host, test.listen })
		for check, status := range test.want {
			expect(t, results, check, status)
		}
		all, _ := json.Marshal(results)
		for _, text := range test.texts {
			if !strings.Contains(string(all), text) {
				t.Errorf("%s: %q is not in %s", name, text, all)
			}
		}
		expect(t, results, "user service v2 (GetUserByID)", check.OK) // as whoever is found
	}
}

// Each release that was tried is recognized by what is there (issue 11).
func TestReleaseIsRecognizedByWhatIsThere(t *testing.T) {
	t.Parallel()
	for release, want := range map[v2test.Release]string{
		v2test.NextWithoutSetPassword: "v4.5 or later", v2test.Next: "v4.5 or later",
		v2test.Main: "v4.5 or later", v2test.V42: "v4.0 to v4.4", v2test.V34: "v3 or earlier", v2test.V271: "v3 or earlier", v2test.V258: "v3 or earlier",
	} {
		for _, protocol := range []v2client.Protocol{v2client.ProtocolAuto, v2client.ProtocolGRPC} {
			embedded := wiretest.NewZITADELOf(t, wiretest.Fixture(t), v2test.Config{Release: release})
			results := run(t, at(t, embedded), func(c *check.Config) { c.Settings.Upstream.Protocol = protocol })
			expect(t, results, "release", check.OK, want)
			if release.HasV1() {
				expect(t, results, callers, check.OK, "the Auth API v1 tells")
			} else {
				expect(t, results, callers, check.Warning, "no Auth API v1")
			}
			expect(t, results, "user service v2 (GetUserByID)", check.OK)
		}
	}
}

func TestTLSProblemsAreFound(t *testing.T) {
	t.Parallel()
	ca, dir := wiretest.NewCA(t), t.TempDir()
	cert, key := ca.Issue(t, 24)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	serve := func(config *tls.Config) string {
		server := httptest.NewUnstartedServer(zitadel(t))
		server.TLS = config
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.StartTLS()
		t.Cleanup(server.Close)
		return server.URL
	}
	url := serve(&tls.Config{Certificates: []tls.Certificate{pair}})
	mutual := serve(&tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Pool()})
	trusted := wiretest.WriteFile(t, dir, "ca", ca.PEM)
	certFile, keyFile := wiretest.WriteFile(t, dir, "cert", cert), wiretest.WriteFile(t, dir, "key", key)

	expect(t, run(t, upstream.Config{URL: url, Host: host, TLS: upstream.TLS{CAFile: trusted}}, nil), "TLS", check.OK, "TLS 1.3, certificate of CN=test until ")
	expect(t, run(t, upstream.Config{URL: url, Host: host}, nil), "TLS", check.Failed, "set upstream.tls.caFile")
	expect(t, run(t, upstream.Config{URL: url, Host: host, TLS: upstream.TLS{CAFile: trusted, ServerName: "other"}}, nil), "TLS", check.Failed, "set upstream.tls.serverName")
	expect(t, run(t, upstream.Config{URL: strings.Replace(url, "https", "http", 1), Host: host}, nil), "instance, for all clients", check.Failed, "use an https:// URL")
	expect(t, run(t, upstream.Config{URL: "https://" + wiretest.Listen(t, zitadel(t)), Host: host}, nil), "TLS", check.Failed, "use an http:// URL")
	expect(t, run(t, upstream.Config{URL: mutual, Host: host, TLS: upstream.TLS{CAFile: trusted}}, nil), "answer", check.Failed, "upstream.tls.certFile")
	expect(t, run(t, upstream.Config{URL: mutual, Host: host, TLS: upstream.TLS{CAFile: trusted, CertFile: certFile, KeyFile: keyFile}}, nil), "instance, for all clients", check.OK)
}
