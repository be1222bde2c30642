package page_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/html"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/page"
	"zitadel-v1-adapter/internal/usage"
	"zitadel-v1-adapter/v2client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// now is when pages are looked at.
func now() time.Time { return time.Date(2027, 3, 15, 12, 0, 0, 0, time.UTC) }

// ledger is one whose store may be away, or slow.
type ledger struct {
	*usage.Ledger

	away bool
	// daily is called before the calls by day are read; nil does nothing.
	daily func()
}

func (l *ledger) Rows(ctx context.Context, q usage.Query) ([]usage.Row, error) {
	switch {
	case l.away:
		return nil, errors.New("away")
	case l.daily != nil && slices.Contains(q.By, "day"):
		l.daily()
	}
	return l.Ledger.Rows(ctx, q)
}

// site is a page under test.
type site struct {
	*page.Page

	ledger   *ledger
	settings config.Config
	breaker  v2client.BreakerState
	clock    time.Time
	waited   atomic.Int64 // how long the store took, in nanoseconds; the page adds it to clock
}

// newSite is a page of an adapter that has run for a quarter of an hour, unless change says
// otherwise.
func newSite(t *testing.T, change func(*site)) *site {
	t.Helper()
	s := &site{ledger: new(ledger), settings: config.Default(), clock: now().Add(-15 * time.Minute)}
	if change != nil {
		change(s)
	}
	s.count(t)
	made, err := page.New(page.Config{
		Ledger: s.ledger, Successor: successor, Breaker: func() v2client.BreakerState { return s.breaker }, Settings: s.settings,
		Version: "v1.2.3", Now: func() time.Time { return s.clock.Add(time.Duration(s.waited.Load())) },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Page = made
	t.Cleanup(s.Close)
	s.clock = now()
	return s
}

// count makes the ledger, which has counted requests every day since the clock's time.
func (s *site) count(t *testing.T) {
	t.Helper()
	began := s.clock
	made, err := usage.NewLedger(usage.Config{Names: true, Now: func() time.Time { return s.clock }})
	if err != nil {
		t.Fatal(err)
	}
	s.ledger.Ledger = made
	t.Cleanup(func() { _ = made.Close(context.Background()) })
	for ; s.clock.Before(now()); s.clock = s.clock.AddDate(0, 0, 1) {
		made.Request()
		if err := made.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.clock = began
}

// successor is one of each method but SetHumanInitialPassword.
func successor(api, method string) string {
	if method == "SetHumanInitialPassword" {
		return ""
	}
	return "v2 of " + api + "/" + method
}

// call adds a call to the ledger that began daysAgo days ago.
func (s *site) call(daysAgo int, change func(*adapter.Event)) {
	event := adapter.Event{
		API: "management", Method: "SetHumanPassword", Protocol: "rest", Route: "v2", Code: "ok", Caller: "7", Organization: "1001", UserAgent: "okhttp/4",
		Started: now().AddDate(0, 0, -daysAgo), Duration: 3 * time.Millisecond,
	}
	if change != nil {
		change(&event)
	}
	s.ledger.Observe(event)
	s.Observe(event)
}

// get asks for a path.
func (s *site) get(path string) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	s.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, http.NoBody))
	return recorder
}

// document is the page that a query gets when all calls are in the store: on a busy machine that
// takes longer than a reader waits for it.
func (s *site) document(t *testing.T, query string) element {
	t.Helper()
	if err := s.ledger.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	answer := s.get("/" + query)
	if answer.Code != http.StatusOK {
		t.Fatalf("got status %d", answer.Code)
	}
	root, err := html.Parse(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return element{root}
}

// element is one of a document.
type element struct{ *html.Node }

// all are the elements within that a condition holds for.
func (e element) all(condition func(element) bool) []element {
	var found []element
	for node := range e.Descendants() {
		if node.Type == html.ElementNode && condition(element{node}) {
			found = append(found, element{node})
		}
	}
	return found
}

// tags are the elements within of a name.
func (e element) tags(name string) []element {
	return e.all(func(each element) bool { return each.Data == name })
}

// id is the element within that has one.
func (e element) id(t *testing.T, id string) element {
	t.Helper()
	found := e.all(func(each element) bool { return each.attribute("id") == id })
	if len(found) != 1 {
		t.Fatalf("got %d elements with id %s, want 1", len(found), id)
	}
	return found[0]
}

func (e element) attribute(name string) string {
	for _, attribute := range e.Attr {
		if attribute.Key == name {
			return attribute.Val
		}
	}
	return ""
}

// text is what is written in the element, with single spaces.
func (e element) text() string {
	var text strings.Builder
	for node := range e.Descendants() {
		switch {
		case node.Type == html.TextNode:
			text.WriteString(node.Data)
		case !slices.Contains([]string{"a", "abbr", "bdi", "code", "span", "strong", "time"}, node.Data): // not inline
			text.WriteByte(' ')
		}
	}
	return strings.Join(strings.Fields(text.String()), " ")
}

// row is what a table's row says, cell by cell.
func (e element) row() []string {
	return texts(e.all(func(each element) bool { return each.Data == "td" || each.Data == "th" }), element.text)
}

// texts are what a function says of each element.
func texts(of []element, what func(element) string) []string {
	all := make([]string, len(of))
	for i, each := range of {
		all[i] = what(each)
	}
	return all
}

// rows are those of the body of the first table within.
func (e element) rows() [][]string {
	bodies := e.tags("tbody")
	if len(bodies) == 0 {
		return nil
	}
	var rows [][]string
	for _, row := range bodies[0].tags("tr") {
		rows = append(rows, row.row())
	}
	return rows
}
