package compare_test

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/gen/zitadel/user/v2/userv2connect"
	"zitadel-v1-adapter/internal/app"
	"zitadel-v1-adapter/internal/compare"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
	"zitadel-v1-adapter/v2client/v2test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	token     = "pat-org-owner-a"
	userA     = "400850336480234534"
	otherUser = "400850336731892774"
)

// world is a ZITADEL with v1, with an adapter in front of it.
type world struct {
	zitadel *v2test.Server
	fixture v2test.Fixture
	strict  bool // orgScope
	config  compare.Config
}

// between stands before native v1, and may answer in its place, or change its answer.
type between func(native http.Handler) http.Handler

func newWorld(t *testing.T, wrong between, change ...func(*config.Config)) *world {
	t.Helper()
	return newWorldOf(t, v2test.Main, wrong, change...)
}

func newWorldOf(t *testing.T, release v2test.Release, wrong between, change ...func(*config.Config)) *world {
	t.Helper()
	w := &world{fixture: wiretest.Fixture(t)}
	var native http.Handler
	native, w.zitadel = wiretest.NewNativeV1Of(t, w.fixture, release)
	if wrong != nil {
		native = wrong(native)
	}
	_, port, _ := strings.Cut(wiretest.Listen(t, native), ":")
	settings := config.Default()
	settings.Upstream.URL = "http://localhost:" + port
	for _, each := range change {
		each(&settings)
	}
	w.strict = settings.OrgScope == adapter.OrgScopeStrict
	beside, stop, err := app.StartCompared(t.Context(), settings, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
		w.checkNothingWritten(t)
	})
	w.config, err = app.NewCompareConfig(settings, beside)
	if err != nil {
		t.Fatal(err)
	}
	w.config.Token, w.config.User, w.config.OtherUser = token, userA, otherUser
	return w
}

func (w *world) run(t *testing.T) ([]compare.Row, error) {
	t.Helper()
	plan, err := compare.NewPlan(w.config)
	if err != nil {
		t.Fatal(err)
	}
	return plan.Run(t.Context())
}

// checkNothingWritten looks at the embedded ZITADEL, which counts; native v1 fails the test
// itself. With orgScope: off, SetPassword itself refuses tokens and users that do not exist.
func (w *world) checkNothingWritten(t *testing.T) {
	t.Helper()
	if calls := w.zitadel.Calls(userv2connect.UserServiceSetPasswordProcedure); calls != 0 && w.strict {
		t.Errorf("SetPassword calls: got %d, want none", calls)
	}
	for user := range maps.Values(w.fixture.Users) {
		if writes := w.zitadel.Writes(user.ID); writes != 0 {
			t.Errorf("user %s: got %d writes, want none", user.ID, writes)
		}
	}
}

func text(t *testing.T, value any) string {
	t.Helper()
	out, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// The recorded v1 and the adapter are the same; what differs is known.
func TestNothingDiffersFromRecordedV1(t *testing.T) {
	t.Parallel()
	const expose, scope, texts = "the headers that browsers may read", "with orgScope: off", "without messages.dir"
	german := func(native http.Handler) http.Handler {
		return changed(native, func(response *http.Response, body string) string {
			response.Header.Set("Grpc-Message", strings.Replace(response.Header.Get("Grpc-Message"), "Password not found", "Passwort nicht gefunden", 1))
			return strings.ReplaceAll(body, "Password not found", "Passwort nicht gefunden")
		})
	}
	for name, test := range map[string]struct {
		wrong  between
		change func(*config.Config)
		known  []string // reasons
	}{
		"as it comes":           {nil, func(*config.Config) {}, []string{expose}},
		"without passthrough":   {nil, func(c *config.Config) { c.Passthrough.Enabled = false }, []string{expose}},
		"orgScope: off":         {nil, func(c *config.Config) { c.OrgScope = adapter.OrgScopeOff }, []string{expose, scope}},
		"upstream.host: client": {nil, func(c *config.Config) { c.Upstream.Host = upstream.HostClient }, []string{expose}},
		"another language":      {german, func(*config.Config) {}, []string{expose, texts}},
		"nothing translated":    {nil, func(c *config.Config) { c.Rollout.Percent = 0 }, []string{expose}}, // it is compared all the same
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows, err := newWorld(t, test.wrong, test.change).run(t)
			if err != nil {
				t.Fatal(err)
			}
			var all strings.Builder
			for _, row := range rows {
				if row.Status == compare.Differs {
					t.Errorf("differs: %s", text(t, row))
				}
				all.WriteString(row.Reason + "\n")
			}
			other := all.String()
			for _, reason := range test.known {
				other = regexp.MustCompile(`(?m)^`+reason+`.*\n`).ReplaceAllString(other, "\n")
			}
			if rest := strings.TrimSpace(other); rest != "" {
				t.Errorf("known for other reasons: %s", rest)
			}
			const least = 90
			if len(rows) < least {
				t.Errorf("got %d rows, want at least %d", len(rows), least)
			}
		})
	}
}

// A healthy ZITADEL of each release has no difference, however its build spells JSON and
// whatever its pages may read: spaces between elements, a no-break space after "proto:", and
// two exposed headers in place of five were 38 of 100 differences.
func TestNothingDiffersFromHealthyReleases(t *testing.T) {
	t.Parallel()
	for _, release := range v2test.Releases() {
		for _, protocol := range []v2client.Protocol{v2client.ProtocolAuto, v2client.ProtocolGRPC} {
			t.Run(string(release)+" "+string(protocol), func(t *testing.T) {
				t.Parallel()
				rows, err := newWorldOf(t, release, nil, func(c *config.Config) { c.Upstream.Protocol = protocol }).run(t)
				if err != nil {
					t.Fatal(err)
				}
				const all = 100
				if len(rows) != all {
					t.Errorf("got %d rows, want %d", len(rows), all)
				}
				for _, row := range rows {
					if row.Status == compare.Differs {
						t.Errorf("differs: %s", text(t, row))
					}
				}
			})
		}
	}
}

// What may not be answered with success ends everything at once.
func TestSuccessStopsTheRun(t *testing.T) {
	t.Parallel()
	for name, succeeds := range map[string]func(*http.Request) bool{
		"at once": func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/management/") },
		"gRPC":    func(r *http.Request) bool { return strings.Contains(r.URL.Path, ".management.v1.") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var successes atomic.Int32
			rows, err := newWorld(t, func(native http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if !succeeds(r) {
						native.ServeHTTP(w, r)
						return
					}
					successes.Add(1)
					if strings.Contains(r.URL.Path, ".management.v1.") {
						w.Header().Set("Content-Type", "application/grpc")
						w.Header().Set("Grpc-Status", "0")
					}
				})
			}).run(t)
			if err == nil || !strings.Contains(err.Error(), "with success, which it must refuse") {
				t.Errorf("got %v, want an error", err)
			}
			if got := successes.Load(); got != 1 {
				t.Errorf("after %d rows: got %d successes, want one, and no call after it", len(rows), got)
			}
		})
	}
}

// What cannot be compared says why, and what to do.
func TestErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	none := func(http.Handler) http.Handler { return http.NotFoundHandler() }
	onlyV2 := func(http.Handler) http.Handler { return wiretest.NewZITADEL(t, wiretest.Fixture(t)) }
	unknown := func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"code":5,"message":"ID=QUERY-1kIjX Message=Instance not found."}`)
		})
	}
	nobody := "http://" + wiretest.RefusingAddress(t)
	at := func(address string) *upstream.Upstream { return wiretest.Upstream(t, address, "localhost") }
	for name, test := range map[string]struct {
		native between
		change func(*world)
		want   string
	}{
		"v1 is gone":          {onlyV2, nil, "native v1 is not there any more: there is nothing to compare"},
		"a proxy keeps it":    {none, nil, "does a proxy between keep back /management/v1"},
		"no instance":         {unknown, nil, "set upstream.host"},
		"the token ended":     {nil, func(w *world) { w.config.Token = "ended" }, "use an access token that is still valid"},
		"nobody listens":      {nil, func(w *world) { w.config.Native = at(nobody) }, "ZITADEL did not answer"},
		"ZITADEL is adapter":  {nil, func(w *world) { w.config.Native = w.config.Adapter }, "upstream.url is an adapter"},
		"no adapter listens":  {nil, func(w *world) { w.config.Adapter = at(nobody) }, "the adapter did not answer"},
		"adapter is ZITADEL":  {nil, func(w *world) { w.config.Adapter = w.config.Native }, "is no zitadel-v1-adapter"},
		"user that is none":   {nil, func(w *world) { w.config.User = "../3001" }, "--user: not a user id"},
		"other user likewise": {nil, func(w *world) { w.config.OtherUser = "3001/x" }, "--other-user: not a user id"},
		"no token":            {nil, func(w *world) { w.config.Token = "" }, "--token-file: missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, test.native)
			if test.change != nil {
				test.change(w)
			}
			plan, err := compare.NewPlan(w.config)
			if err == nil {
				_, err = plan.Run(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}

// A run that takes too long says so; what was compared until then is not lost.
func TestRunThatTakesTooLong(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var calls atomic.Int32
	w := newWorld(t, func(native http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			const some = 20
			if calls.Add(1) == some {
				cancel()
			}
			native.ServeHTTP(w, r)
		})
	})
	plan, err := compare.NewPlan(w.config)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := plan.Run(ctx)
	if err == nil || !strings.Contains(err.Error(), "give it more with --timeout") || len(rows) == 0 {
		t.Errorf("got %d rows and %v, want some, and an error that names --timeout", len(rows), err)
	}
}
