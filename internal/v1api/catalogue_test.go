package v1api_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/v1api"
)

func load(tb testing.TB) *v1api.Catalogue {
	tb.Helper()
	c, err := v1api.Load()
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// call is the name of the method that a request with this target calls.
func call(tb testing.TB, c *v1api.Catalogue, verb, target string) string {
	tb.Helper()
	r := httptest.NewRequest(verb, target, http.NoBody)
	m, ok := c.FindRequest(r, r.URL.Path)
	if !ok {
		return ""
	}
	return m.API + " " + m.Name
}

func TestCounts(t *testing.T) {
	type counts struct{ methods, withSuccessor, deprecated int }
	got := map[string]counts{}
	for m := range load(t).All() {
		n := got[m.API]
		n.methods++
		if m.Successor != "" {
			n.withSuccessor++
		}
		if m.Deprecated {
			n.deprecated++
		}
		got[m.API] = n
	}
	want := map[string]counts{
		"management": {298, 132, 145},
		"admin":      {206, 15, 42},
		"auth":       {53, 2, 3},
		"system":     {24, 8, 11},
		"assets":     {33, 0, 0},
		"v2beta":     {145, 145, 120},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// An administrator's search in v2beta is never answered: ZITADEL registers the update of
// the user "search" after it. All others are found by their own paths.
func TestEveryMethodIsFound(t *testing.T) {
	c, calls := load(t), 0
	for m := range c.All() {
		want := m.API + " " + m.Name
		for _, target := range procedures(m) {
			calls++
			if got := call(t, c, http.MethodPost, target); got != want {
				t.Errorf("%s: %q, not %q", target, got, want)
			}
		}
		if want == "v2beta InternalPermissionService/ListAdministrators" {
			want = "v2beta InternalPermissionService/UpdateAdministrator"
		}
		for _, target := range paths(m) {
			calls++
			if got := call(t, c, m.Verb, target); got != want {
				t.Errorf("%s %s: %q, not %q", m.Verb, target, got, want)
			}
		}
	}
	t.Log(calls, "calls")
}

// procedure is a method's path over gRPC.
func procedure(m *v1api.Method) string {
	if m.Service == "" {
		return ""
	}
	return "/" + m.Service + "/" + m.Name[strings.LastIndexByte(m.Name, '/')+1:]
}

// procedures are three spellings of it.
func procedures(m *v1api.Method) []string {
	path := procedure(m)
	if path == "" {
		return nil
	}
	service, name, _ := strings.Cut(path[1:], "/")
	return []string{path, "/" + service + "/" + escaped(name), path + "?connect=v1"}
}

// paths are spellings of a method's path over REST: identifiers, percent-encoding in
// every segment behind the prefix, and what else a segment may be.
func paths(m *v1api.Method) []string {
	if m.Pattern == "" {
		return nil
	}
	all := []string{
		fill(m.Pattern, "4711", "a/b", false),
		fill(m.Pattern, "%34711", "a%2Fb", true),
		fill(m.Pattern, "a:b", "a//b", false) + "?x=/y:z",
		fill(m.Pattern, "%e4%25", "", false) + "?",
	}
	if strings.HasSuffix(m.Pattern, "/{"+lastName(m.Pattern)+"}") {
		all = append(all, fill(m.Pattern, "", "", false)) // a slash at the end
	}
	return all
}

func lastName(pattern string) string {
	_, name, _ := strings.Cut(pattern[strings.LastIndexByte(pattern, '/'):], "{")
	return strings.TrimSuffix(name, "}")
}

// fill makes a path of a pattern.
func fill(pattern, one, rest string, escape bool) string {
	segments := strings.Split(pattern, "/")
	for i, segment := range segments {
		switch {
		case strings.HasSuffix(segment, "=**}"):
			segments[i] = rest
		case strings.HasPrefix(segment, "{"):
			segments[i] = one
		case escape && i > 2:
			segments[i] = escaped(segment)
		}
	}
	return strings.Join(segments, "/")
}

// escaped is a text with its first character percent-encoded, which is never necessary.
func escaped(text string) string { return fmt.Sprintf("%%%02X", text[0]) + text[1:] }

func TestSuccessors(t *testing.T) {
	for _, each := range []struct{ api, name, successor, via string }{
		{"management", "SetHumanInitialPassword", "user.v2.UserService/UpdateUser", "user.v2.UserService/SetPassword"},
		{"management", "ResendHumanPhoneVerification", "user.v2.UserService/ResendPhoneCode", ""},
		{"v2beta", "UserService/AddHumanUser", "user.v2.UserService/CreateUser", "user.v2.UserService/AddHumanUser"},
		{"v2beta", "AppService/RegenerateClientSecret", "application.v2.ApplicationService/GenerateClientSecret", ""},
		{"v2beta", "SettingsService/GetLegalAndSupportSettings", "settings.v2.SettingsService/GetLegalAndSupportSettings", ""},
		{"admin", "Healthz", "", ""},
		{"admin", v1api.Unknown, "", ""},
	} {
		m, ok := load(t).Named(each.api, each.name)
		if !ok || m.Successor != each.successor || m.Via != each.via {
			t.Errorf("%s %s: %+v", each.api, each.name, m)
		}
	}
	if m, ok := load(t).Named("admin", "Nope"); ok {
		t.Error(m)
	}
}

func TestForms(t *testing.T) {
	c := load(t)
	for _, each := range []struct{ verb, contentType, override, path, want string }{
		{"POST", "application/x-www-form-urlencoded", "", "/management/v1/users/1", "GetUserByID"},
		{"POST", "application/x-www-form-urlencoded", "post", "/management/v1/users/1", "GetUserByID"},
		{"POST", "application/x-www-form-urlencoded", "delete", "/management/v1/users/1", "RemoveUser"},
		{"POST", "application/x-www-form-urlencoded", "PUT", "/management/v1/users/1", v1api.Unknown},
		{"POST", "application/x-www-form-urlencoded", "", "/management/v1/users/1/password", "SetHumanPassword"},
		{"POST", "application/x-www-form-urlencoded; charset=utf-8", "DELETE", "/management/v1/users/1", v1api.Unknown},
		{"POST", "application/json", "DELETE", "/management/v1/users/1", v1api.Unknown},
		{"PUT", "application/x-www-form-urlencoded", "DELETE", "/management/v1/users/1", v1api.Unknown},
		{"POST", "application/x-www-form-urlencoded", "DELETE", "/v2/users/1", ""},
	} {
		r := httptest.NewRequest(each.verb, each.path, http.NoBody)
		r.Header.Set("Content-Type", each.contentType)
		r.Header.Set("X-HTTP-Method-Override", each.override)
		m, ok := c.FindRequest(r, r.URL.Path)
		if ok != (each.want != "") || ok && m.Name != each.want {
			t.Errorf("%+v: %+v", each, m)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	c := load(t)
	for _, each := range measured() {
		if n := testing.AllocsPerRun(100, func() { c.Find(each.verb, each.path) }); n != 0 {
			t.Errorf("%s: %v allocations", each.name, n)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	c := load(b)
	for _, each := range measured() {
		b.Run(each.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Find(each.verb, each.path)
			}
		})
	}
}

type measure struct{ name, verb, path string }

func measured() []measure {
	return []measure{
		{"other", "POST", "/oauth/v2/token"},
		{"other/long", "GET", "/ui/console/" + strings.Repeat("a/", 2000)},
		{"other/v2", "POST", "/zitadel.user.v2.UserService/ListUsers"},
		{"rest", "POST", "/management/v1/users/401037506155383846/password/_initialize"},
		{"rest/rest", "DELETE", "/management/v1/projects/401037506155383846/roles/a/b/c"},
		{"rest/unknown", "POST", "/management/v1/users/401037506155383846/nope"},
		{"rest/slashes", "POST", "/management/v1/" + strings.Repeat("/", 4000)},
		{"rest/v2beta", "GET", "/v2beta/settings/password/complexity"},
		{"grpc", "POST", "/zitadel.management.v1.ManagementService/SetHumanInitialPassword"},
		{"grpc/v2beta", "POST", "/zitadel.user.v2beta.UserService/AddHumanUser"},
		{"grpc/unknown", "POST", "/zitadel.management.v1.ManagementService/Nope"},
	}
}
