package page_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/usage"
)

// Every answer keeps other pages, caches and foreign scripts away, and the page needs none of
// what the policy forbids.
func TestPolicyForbidsWhatThePageDoesNotNeed(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for path, want := range map[string]string{
		"/": "text/html; charset=UTF-8", "/assets/page.css": "text/css; charset=utf-8",
		"/assets/page.js": "text/javascript; charset=utf-8", "/assets/icon.svg": "image/svg+xml",
	} {
		answer := s.get(path)
		header := answer.Header()
		if answer.Code != http.StatusOK || header.Get("Content-Type") != want {
			t.Errorf("%s: got %d, %s, want 200, %s", path, answer.Code, header.Get("Content-Type"), want)
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; " +
				"base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			if got := header.Get(name); got != want {
				t.Errorf("%s: %s: got %q, want %q", path, name, got, want)
			}
		}
	}
	document := s.document(t, "")
	for _, each := range document.all(func(each element) bool { return each.attribute("style") != "" || each.Data == "style" }) {
		t.Errorf("a style stands in the page: %s", each.Data)
	}
	for _, each := range document.all(func(element) bool { return true }) {
		for _, attribute := range each.Attr {
			if strings.HasPrefix(attribute.Key, "on") {
				t.Errorf("a script stands in the page: %s %s", each.Data, attribute.Key)
			}
			if (attribute.Key == "src" || attribute.Key == "href") && !strings.HasPrefix(attribute.Val, "/") && !strings.HasPrefix(attribute.Val, "#") {
				t.Errorf("a foreign address: %s", attribute.Val)
			}
		}
	}
	for _, script := range document.tags("script") {
		if script.text() != "" {
			t.Errorf("a script stands in the page: %s", script.text())
		}
	}
}

func TestOtherPathsAreNotThere(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for _, path := range []string{"/index.html", "/assets/", "/assets/..", "/assets/../page.go", "/assets/%2e%2e/templates/page.html", "/assets/..%2ftemplates%2fpage.html", "/assets/assets/page.css", "/assets/none", "/templates/page.html", "/events/1"} {
		if got := s.get(path).Code; got == http.StatusOK {
			t.Errorf("%s: got status %d", path, got)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		recorder := httptest.NewRecorder()
		s.ServeHTTP(recorder, httptest.NewRequest(method, "/", http.NoBody))
		if recorder.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: got status %d, want 405", method, recorder.Code)
		}
	}
}

// The page can be read by whoever does not see it: a language, a title, headings in order, a
// way past the head, and tables with captions and heads.
func TestStructure(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.call(0, nil)
	s.call(1, func(e *adapter.Event) { e.Code = "unavailable" })
	document := s.document(t, "")
	if got := document.tags("html")[0].attribute("lang"); got != "en" {
		t.Errorf("got lang %q", got)
	}
	if got := document.tags("title")[0].text(); got == "" {
		t.Error("no title")
	}
	if got := document.tags("a")[0].attribute("href"); got != "#main" {
		t.Errorf("the first link goes to %q, want #main", got)
	}
	document.id(t, "main")
	level := 0
	for _, heading := range document.all(func(e element) bool {
		return len(e.Data) == 2 && e.Data[0] == 'h' && e.Data[1] >= '1' && e.Data[1] <= '6'
	}) {
		next := int(heading.Data[1] - '0')
		if next > level+1 {
			t.Errorf("%q is of level %d after %d", heading.text(), next, level)
		}
		level = next
	}
	for _, table := range document.tags("table") {
		if len(table.tags("caption")) != 1 {
			t.Error("a table without a caption")
		}
	}
	for _, head := range document.tags("th") {
		if head.attribute("scope") == "" {
			t.Errorf("%q heads nothing", head.text())
		}
	}
	for _, picture := range document.tags("svg") {
		if picture.attribute("role") != "img" || picture.attribute("aria-label") == "" {
			t.Error("a chart without a text")
		}
	}
	known := map[string]bool{}
	for _, each := range document.all(func(e element) bool { return e.attribute("id") != "" }) {
		if known[each.attribute("id")] {
			t.Errorf("two elements with id %s", each.attribute("id"))
		}
		known[each.attribute("id")] = true
	}
}

// What clients say is text, and nothing else.
func TestHostileTextsStayTexts(t *testing.T) {
	t.Parallel()
	for _, hostile := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `javascript:alert(1)`, `{{.}}`, "`${1}`", `</table></main>`,
		`<!--`, "\u202egnihtemos", "\u05d0\u05d1\u05d2 abc", "\x00\x1b[31m", "a\xff\xfe", strings.Repeat("W", 5000), strings.Repeat("\u0301", 300), "&lt;b&gt;",
	} {
		s := newSite(t, nil)
		s.call(0, func(e *adapter.Event) { e.UserAgent, e.Organization, e.Caller = hostile, hostile, hostile })
		want := s.document(t, "").all(func(element) bool { return true })
		plain := newSite(t, nil)
		plain.call(0, nil)
		// The same elements, whatever the texts are.
		if got := plain.document(t, "").all(func(element) bool { return true }); len(got) != len(want) {
			t.Errorf("%.40q: got %d elements, want %d as with plain texts", hostile, len(want), len(got))
		}
		rows, _ := s.ledger.Rows(t.Context(), usage.Query{Since: now()})
		cells := s.document(t, "").id(t, "callers").rows()[0]
		for i, want := range []string{rows[0].Caller, rows[0].Organization, rows[0].Client} {
			if got := cells[i]; got != strings.Join(strings.Fields(want), " ") {
				t.Errorf("%.40q: got %q, want %q", hostile, got, want)
			}
		}
		query := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		values := query.URL.Query()
		values.Set("q", hostile)
		values.Set("sort", hostile)
		found := s.document(t, "?"+values.Encode())
		if got := len(found.tags("script")); got != 1 {
			t.Errorf("%.40q asked for: got %d scripts, want 1", hostile, got)
		}
	}
}

// What is configured is shown without secrets.
func TestPageShowsNoSecrets(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(s *site) {
		s.settings.Usage.Store = "postgres://v1adapter:s3cret@db.example.com/zitadel?sslpassword=s3cret"
		s.settings.Upstream.URL = "https://s3cret:s3cret@zitadel.example.com"
		s.settings.Server.TLS.KeyFile = []string{"/etc/tls/key.pem"}
	})
	page := s.get("/").Body.String()
	if strings.Contains(page, "s3cret") {
		t.Error("a secret is shown")
	}
	for _, want := range []string{"postgres://v1adapter:(hidden)@db.example.com/zitadel", "https://(hidden)@zitadel.example.com", "/etc/tls/key.pem"} {
		if !strings.Contains(page, want) {
			t.Errorf("%s is not shown", want)
		}
	}
}
