package v1api_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/v1api"
)

// slow finds methods as Catalogue does, one regular expression after another.
type slow struct {
	methods    []*v1api.Method
	patterns   []*regexp.Regexp
	procedures []string
}

func newSlow(tb testing.TB) *slow {
	tb.Helper()
	s := &slow{}
	for m := range load(tb).All() {
		s.methods = append(s.methods, m)
		s.procedures = append(s.procedures, procedure(m))
		expression := regexp.MustCompile(`/\\\{\w+=\\\*\\\*\\\}`).ReplaceAllString(regexp.QuoteMeta(m.Pattern), `(/.*)?`)
		expression = regexp.MustCompile(`\\\{[\w.]+\\\}`).ReplaceAllString(expression, `[^/]*`)
		s.patterns = append(s.patterns, regexp.MustCompile(`(?s)^`+expression+`$`))
	}
	return s
}

func (s *slow) find(verb, path string) string {
	for i, m := range slices.Backward(s.methods) { // the last registered one is tried first
		if path != "" && (s.procedures[i] == path || m.Verb == verb && s.patterns[i].MatchString(path)) {
			return m.API + " " + m.Name
		}
	}
	for _, each := range []struct{ prefix, api string }{
		{`^/(zitadel\.management\.v1\.|management/v1/)`, "management"},
		{`^/(zitadel\.admin\.v1\.|admin/v1/)`, "admin"},
		{`^/(zitadel\.auth\.v1\.|auth/v1/)`, "auth"},
		{`^/(zitadel\.system\.v1\.|system/v1/)`, "system"},
		{`^/assets/v1/`, "assets"},
		{`^/(zitadel\.[^/]*\.v2beta\.|v2beta/)`, "v2beta"},
	} {
		if regexp.MustCompile(each.prefix).MatchString(path) {
			return each.api + " " + v1api.Unknown
		}
	}
	return ""
}

func find(c *v1api.Catalogue, verb, path string) string {
	m, ok := c.Find(verb, path)
	if !ok {
		return ""
	}
	return m.API + " " + m.Name
}

func FuzzFind(f *testing.F) {
	c, s := load(f), newSlow(f)
	for i, m := range s.methods {
		if i%10 == 0 {
			f.Add(m.Verb, fill(m.Pattern, "1", "a/b", false))
			f.Add(m.Verb, s.procedures[i])
		}
	}
	f.Fuzz(func(t *testing.T, verb, path string) {
		for _, verb := range []string{verb, "GET", "POST", "PUT", "PATCH", "DELETE"} {
			if got, want := find(c, verb, path), s.find(verb, path); got != want {
				t.Errorf("%s %q: %q, not %q", verb, path, got, want)
			}
		}
	})
}

// Where two patterns have a request in common, the method that is registered later gets it.
func TestTheLastOfTwoPatternsWins(t *testing.T) {
	c, s := load(t), newSlow(t)
	common := 0
	for i, later := range s.methods {
		for _, earlier := range s.methods[:i] {
			path, ok := both(earlier.Pattern, later.Pattern)
			if !ok || earlier.Verb != later.Verb {
				continue
			}
			common++
			if got, want := find(c, later.Verb, path), s.find(later.Verb, path); got != want {
				t.Errorf("%s %s: %q, not %q", later.Verb, path, got, want)
			}
		}
	}
	if common != 68+21 { // GetFile has all GETs of assets
		t.Errorf("%d pairs of patterns", common)
	}
	for path, want := range map[string]string{
		"GET /management/v1/users/_is_unique":       "IsUserUnique",
		"PUT /management/v1/idps/oauth/oidc_config": "UpdateGenericOAuthProvider",
		"POST /admin/v1/idps/gitlab/_deactivate":    "UpdateGitLabProvider",
		"PUT /management/v1/projects/1/roles":       "UpdateProjectRole",
		"GET /assets/v1/users/me/avatar":            "GetMyUserAvatar",
		"GET /assets/v1/users/me":                   "GetFile",
	} {
		verb, path, _ := strings.Cut(path, " ")
		if m, _ := c.Find(verb, path); m == nil || m.Name != want {
			t.Errorf("%s %s: %+v", verb, path, m)
		}
	}
}

// both is a path that two patterns have in common.
func both(a, b string) (string, bool) {
	if a == "" || b == "" {
		return "", false
	}
	one, other := strings.Split(a, "/"), strings.Split(b, "/")
	var path []string
	for i := range max(len(one), len(other)) {
		switch {
		case i < len(one) && strings.HasSuffix(one[i], "=**}"):
			return join(path, other[i:]), true
		case i < len(other) && strings.HasSuffix(other[i], "=**}"):
			return join(path, one[i:]), true
		case i == len(one) || i == len(other):
			return "", false
		case strings.HasPrefix(one[i], "{"):
			path = append(path, other[i])
		case one[i] == other[i] || strings.HasPrefix(other[i], "{"):
			path = append(path, one[i])
		default:
			return "", false
		}
	}
	return join(path, nil), true
}

func join(path, rest []string) string {
	return fill(strings.Join(append(path, rest...), "/"), "1", "a/b", false)
}

// What looks like a call and is none is Unknown under an API's prefix, and else not found.
func TestWhatOnlyLooksLikeACall(t *testing.T) {
	c, seen := load(t), map[string]bool{}
	check := func(want, verb, path string) {
		t.Helper()
		seen[verb+path] = true
		if got := find(c, verb, path); got != want {
			t.Errorf("%s %s: %q, not %q", verb, path, got, want)
		}
	}
	for m := range c.All() {
		unknown, path := m.API+" "+v1api.Unknown, fill(m.Pattern, "1", "a", false)
		if m.Pattern != "" {
			for _, verb := range []string{http.MethodHead, http.MethodOptions, http.MethodTrace, strings.ToLower(m.Verb), ""} {
				check(unknown, verb, path)
			}
			check("", m.Verb, "/api"+path)
			check("", m.Verb, path[1:])
			check("", m.Verb, strings.ToUpper(path))
			check("", m.Verb, strings.Replace(path, "v", "w", 1))
			if m.API != "assets" && !strings.Contains(m.Pattern, "=**") {
				check(unknown, m.Verb, path+"/zz/zz")
			}
		}
		if m.Service != "" {
			path := procedure(m)
			check(unknown, http.MethodPost, path+"/")
			check(unknown, http.MethodPost, path+"2")
			check(unknown, http.MethodPost, strings.Replace(path, "Service", "", 1))
			check("", http.MethodPost, "/api"+path)
			check("", http.MethodPost, path[1:])
			check("", http.MethodPost, strings.NewReplacer(".v1.", ".v2.", ".v2beta.", ".v2.").Replace(path))
		}
	}
	for _, path := range []string{
		"", "/", "//", "/v2beta", "/management/v1", "/management/v1x/users", "/assets/v1", "/zitadel.", "/zitadel.v2beta",
		"/zitadel.user.v2.UserService/.v2beta.", "/zitadel.management.v1", "//management/v1/users/1", "/auth/v1",
	} {
		check("", http.MethodPost, path)
	}
	t.Log(len(seen), "requests")
}

// What takes the place of a method is not deprecated itself, unless nothing takes its place.
func TestSuccessorsEndChains(t *testing.T) {
	c, deprecated := load(t), map[string]bool{}
	for m := range c.All() {
		if m.Via != "" {
			deprecated[m.Via] = true
		}
	}
	for m := range c.All() {
		if deprecated[m.Successor] {
			t.Errorf("%s: %s is deprecated", m.Name, m.Successor)
		}
	}
	if len(deprecated) != 6 {
		t.Error(deprecated)
	}
}
