package page_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/usage"
)

// names are the callers, as they are sorted.
func names(section element) []string {
	rows := section.rows()
	all := make([]string, len(rows))
	for i, row := range rows {
		all[i] = row[0]
	}
	return all
}

func TestCallers(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	if got := s.document(t, "").id(t, "callers").text(); !strings.Contains(got, "Nobody. There is no one left to write to.") {
		t.Errorf("got %q", got)
	}
	s.clock = s.clock.Add(time.Minute)
	for i, each := range []struct {
		caller, organization, client string
		daysAgo, calls               int
	}{{"7", "1001", "okhttp/4", 20, 1}, {"8", "1002", "curl/8", 10, 3}, {"9", "1001", "grpc-go/1.60", 1, 2}, {"token:abc", "", "curl/8", 5, 5}, {"", "", "scanner", 3, 1}, {usage.CallerOthers, "", "", 3, 1}} {
		for range each.calls {
			s.call(each.daysAgo, func(e *adapter.Event) {
				e.Caller, e.Organization, e.UserAgent = each.caller, each.organization, each.client
				e.Route = []string{"v1", "v2"}[i%2]
			})
		}
	}
	s.call(50, func(e *adapter.Event) { e.UserAgent = "older" })
	for i := range 5 {
		s.call(20, func(e *adapter.Event) { e.UserAgent = fmt.Sprint("client ", i) })
	}
	for query, want := range map[string][]string{
		"":                            {"7", "token:abc", "8", "9", "(others)"},
		"?sort=calls":                 {"(others)", "9", "8", "token:abc", "7"},
		"?sort=caller":                {"(others)", "7", "8", "9", "token:abc"},
		"?sort=-caller":               {"token:abc", "9", "8", "7", "(others)"},
		"?sort=-last":                 {"9", "(others)", "token:abc", "8", "7"},
		"?sort=first":                 {"7", "8", "token:abc", "(others)", "9"},
		"?sort=organization":          {"(others)", "token:abc", "7", "9", "8"},
		"?sort=none":                  {"7", "token:abc", "8", "9", "(others)"},
		"?q=CURL":                     {"token:abc", "8"},
		"?q=1001&sort=-caller":        {"9", "7"},
		"?q=client+1":                 {"7"},
		"?q=nobody":                   nil,
		"?q=SetHumanPassword&sort=-x": {"7", "token:abc", "8", "9", "(others)"},
	} {
		if got := names(s.document(t, query).id(t, "callers")); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", query, got, want)
		}
	}
	section := s.document(t, "").id(t, "callers")
	want := []string{"7", "(others) 1001", "(others) client 0 client 1 and 3 more", "SetHumanPassword", "native v1 v2", "6", "2027-01-24 12:00", "2027-02-23 12:00"}
	if got := section.rows()[0]; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := s.document(t, "?q=nobody").id(t, "callers").text(); !strings.Contains(got, "Nothing matches “nobody”. Show all") {
		t.Errorf("got %q", got)
	}
}

// A head says how the table is sorted, and its link turns that round and keeps the search.
func TestHeads(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.call(0, nil)
	for query, want := range map[string]map[string]string{
		"":                {"calls": "descending /?sort=calls#callers", "caller": " /?sort=caller#callers", "last": " /?sort=-last#callers"},
		"?sort=calls&q=o": {"calls": "ascending /?q=o&sort=-calls#callers", "caller": " /?q=o&sort=caller#callers"},
		"?sort=-caller":   {"calls": " /?sort=-calls#callers", "caller": "descending /?sort=caller#callers"},
	} {
		section := s.document(t, query).id(t, "callers")
		for column, want := range want {
			link := section.id(t, "sort-"+column)
			if got := (element{link.Parent}).attribute("aria-sort") + " " + link.attribute("href"); got != want {
				t.Errorf("%q: %s: got %q, want %q", query, column, got, want)
			}
		}
	}
}

func TestManyCallers(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for i := range 1234 {
		s.call(0, func(e *adapter.Event) { e.Caller = fmt.Sprintf("%04d", i) })
	}
	for query, want := range map[string]struct {
		first      string
		rows       int
		less, more string
	}{
		"?sort=caller":           {"0000", 25, "", "/?from=25&sort=caller#callers"},
		"?sort=caller&from=25":   {"0025", 25, "/?sort=caller#callers", "/?from=50&sort=caller#callers"},
		"?sort=caller&from=1225": {"1225", 9, "/?from=1200&sort=caller#callers", ""},
	} {
		section := s.document(t, query).id(t, "callers")
		link := func(id string) (to string) {
			for _, each := range section.all(func(e element) bool { return e.attribute("id") == id }) {
				to = each.attribute("href")
			}
			return to
		}
		if got := names(section); len(got) != want.rows || got[0] != want.first || link("less") != want.less || link("more") != want.more {
			t.Errorf("%s: got %q, links %q and %q", query, got, link("less"), link("more"))
		}
	}
	if got := s.document(t, "").id(t, "figures").text(); !strings.Contains(got, "Callers, last 30 days 1,234") {
		t.Errorf("got %q", got)
	}
	if got := names(s.document(t, "?q=1233").id(t, "callers")); !slices.Equal(got, []string{"1233"}) {
		t.Errorf("got %q", got)
	}
}

// A caller whose login name is known is shown by it, with the id beneath, and found by it.
func TestCallersAreNamed(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	for caller, name := range map[string]string{"7": `<b>zoe</b>@acme.example`, "8": "", "9": "Adam@acme.example"} {
		s.call(1, func(e *adapter.Event) { e.Caller, e.LoginName = caller, name })
	}
	for query, want := range map[string][]string{
		"?sort=caller":  {"8", "<b>zoe</b>@acme.example 7", "Adam@acme.example 9"},
		"?sort=-caller": {"Adam@acme.example 9", "<b>zoe</b>@acme.example 7", "8"},
		"?q=adam@":      {"Adam@acme.example 9"},
		"?q=9":          {"Adam@acme.example 9"},
	} {
		callers := s.document(t, query).id(t, "callers")
		if got := names(callers); !slices.Equal(got, want) || len(callers.tags("b")) > 0 {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
}
