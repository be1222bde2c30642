package page_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/usage"
	"zitadel-v1-adapter/v2client"
)

func TestVerdict(t *testing.T) {
	t.Parallel()
	running := func(days int) func(*site) { return func(s *site) { s.clock = now().AddDate(0, 0, -days) } }
	for name, test := range map[string]struct {
		change func(*site)
		calls  func(*site)
		want   string
		mood   string
		text   string
	}{
		"nobody, just started": {nil, nil, "Quiet so far: nobody has called v1 since 2027-03-15 11:45 UTC", "neutral", "v1 can go on 2027-04-15"},
		"nobody for long":      {running(40), nil, "Yes: nobody has called v1 for 30 days", "good", "All of v1 was counted in that time"},
		"long ago":             {running(40), func(s *site) { s.call(85, nil) }, "Yes: nobody has called v1 for 30 days", "good", "v1 can go, and then the adapter too"},
		"just 31 days":         {running(40), func(s *site) { s.call(31, nil) }, "Yes: nobody has called v1 for 30 days", "good", "v1 can go"},
		"strangers":            {running(40), func(s *site) { s.call(1, func(e *adapter.Event) { e.Caller = "" }) }, "Yes: nobody has called v1 for 30 days", "good", "(no valid token) with 1 call"},
		"29 days":              {running(29), nil, "Quiet so far: nobody has called v1 since 2027-02-14 12:00 UTC", "neutral", "counting began at 2027-02-14 12:00 UTC"},
		"30 days":              {running(40), func(s *site) { s.call(30, nil) }, "Nearly: nobody has called v1 for 30 days", "neutral", "v1 can go on 2027-03-16"},
		"a while ago":          {running(40), func(s *site) { s.call(12, nil) }, "Nearly: nobody has called v1 for 12 days", "neutral", "v1 can go on 2027-04-03"},
		"one":                  {nil, func(s *site) { s.call(1, nil) }, "Not yet: 1 caller still calls v1", "wait", "of them in the last 7 days"},
		"two": {nil, func(s *site) {
			s.call(1, nil)
			s.call(20, func(e *adapter.Event) { e.Caller = "8" })
		}, "Not yet: 2 callers still call v1", "wait", "of them in the last 7 days"},
		"too many": {nil, func(s *site) { s.call(1, func(e *adapter.Event) { e.Caller = usage.CallerOthers }) }, "Not yet: at least 1 caller still calls v1", "wait", "of them in the last 7 days"},
		"away":     {func(s *site) { s.ledger.away = true }, nil, "Not known: the ledger cannot be read", "bad", "usage.store does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, test.change)
			if test.calls != nil {
				test.calls(s)
			}
			section := s.document(t, "").id(t, "verdict")
			title := section.tags("h2")[0]
			if title.text() != test.want || title.attribute("class") != test.mood {
				t.Errorf("got %s: %q, want %s: %q", title.attribute("class"), title.text(), test.mood, test.want)
			}
			if got := section.text(); !strings.Contains(got, test.text) {
				t.Errorf("got %q, want %q in it", got, test.text)
			}
		})
	}
}

func TestFigures(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(s *site) {
		s.settings.Deprecation.Since, s.settings.Deprecation.Sunset = now().AddDate(0, -3, 0), now().AddDate(0, 0, 90)
	})
	for range 30 {
		s.call(2, nil)
	}
	s.call(9, func(e *adapter.Event) { e.Caller = "8" })
	got := map[string]string{}
	for _, each := range s.document(t, "").id(t, "figures").tags("div") {
		got[each.tags("dt")[0].text()] = each.tags("dd")[0].text()
	}
	for name, want := range map[string]string{
		"Callers, last 7 days": "1", "Callers, last 30 days": "2", "Calls a day": "4.0 ", "Last call": "2 days ago 2027-03-13 12:00 UTC", "Days to sunset": "90 2027-06-13 12:00 UTC",
	} {
		if !strings.HasPrefix(got[name], want) {
			t.Errorf("%s: got %q, want %q", name, got[name], want)
		}
	}
}

// A store that goes away leaves what it said, and the page says so until it is back.
func TestStoreIsAway(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.call(1, nil)
	notice := func() string { return s.document(t, "").id(t, "notice").text() }
	if got := notice(); got != "" {
		t.Errorf("got notice %q", got)
	}
	s.ledger.away, s.clock = true, s.clock.Add(time.Minute)
	if got := notice(); !strings.Contains(got, "usage.store does not answer. These are the figures of 2027-03-15 12:00 UTC") {
		t.Errorf("got notice %q", got)
	}
	if got := s.document(t, "").id(t, "verdict").text(); !strings.Contains(got, "Not yet: 1 caller") {
		t.Errorf("got %v, want what was known", got)
	}
	s.ledger.away, s.clock = false, s.clock.Add(time.Minute)
	if got := notice(); got != "" {
		t.Errorf("got notice %q", got)
	}
}

// A store that was slow holds up no further reader, unless what is known is old.
func TestStoreIsSlow(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.call(1, nil)
	verdict := func() string { return s.document(t, "").id(t, "verdict").text() }
	s.ledger.daily = func() { s.waited.Add(int64(time.Second)) }
	if got := verdict(); !strings.Contains(got, "Not yet: 1 caller") {
		t.Fatalf("got %s", got)
	}
	answered := make(chan struct{})
	s.ledger.daily = func() { <-answered }
	s.call(1, func(e *adapter.Event) { e.Caller = "8" })
	s.clock = s.clock.Add(59 * time.Second)
	for range 3 {
		if got := verdict(); !strings.Contains(got, "Not yet: 1 caller") {
			t.Errorf("while the store is read: got %s, want what was known", got)
		}
	}
	s.clock = s.clock.Add(time.Second)
	time.AfterFunc(10*time.Millisecond, func() { close(answered) })
	if got := verdict(); !strings.Contains(got, "Not yet: 2 callers") {
		t.Errorf("a minute later: got %s, want 2 callers", got)
	}
}

func TestCurve(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	if got := s.document(t, "").id(t, "curve").text(); !strings.Contains(got, "No calls in the last 30 days") {
		t.Errorf("got %q", got)
	}
	for range 3 {
		s.call(0, nil)
	}
	s.call(0, func(e *adapter.Event) { e.Code = "permission_denied" })
	s.call(30, func(e *adapter.Event) { e.Route, e.Code = "v1", "503" })
	s.call(31, nil) // too long ago
	s.call(0, func(e *adapter.Event) { e.Code, e.RefusedBy = "unavailable", adapter.RefusedByBrownout })
	s.clock = s.clock.Add(time.Minute)
	section := s.document(t, "").id(t, "curve")
	want := [][]string{
		{"2027-03-15", "the adapter", "0", "0", "1", "0", "0", "1"},
		{"2027-03-15", "v2", "3", "1", "0", "0", "0", "4"},
		{"2027-02-13", "native v1", "0", "0", "0", "0", "1", "1"},
	}
	if got := section.rows(); !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got table %v, want %v", got, want)
	}
	charts := section.tags("svg")
	if len(charts) != 3 {
		t.Fatalf("got %d charts, want 3", len(charts))
	}
	if got := charts[0].attribute("aria-label"); got != "Answered by ZITADEL v2. 4 calls from 2027-02-13 to 2027-03-15, most of them on 2027-03-15: 4. The table below has all days." {
		t.Errorf("got %q", got)
	}
	if got := charts[0].tags("title")[0].text(); got != "2027-03-15: 4 calls, 3 ok, 1 refused" {
		t.Errorf("got %q", got)
	}
	bars := texts(
		charts[0].all(func(e element) bool { return strings.HasPrefix(e.attribute("class"), "bar ") }),
		func(e element) string {
			return e.attribute("class") + " " + e.attribute("y") + " " + e.attribute("height")
		})
	if want := []string{"bar ok 25.00 75.00", "bar refused 0.00 25.00"}; !slices.Equal(bars, want) {
		t.Errorf("got %v, want %v", bars, want)
	}
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	text := func() string {
		s.clock = s.clock.Add(time.Minute)
		return s.document(t, "").id(t, "outcomes").text()
	}
	if got := text(); !strings.HasSuffix(got, "None, because nobody called.") {
		t.Errorf("got %q", got)
	}
	s.call(1, nil)
	if got := text(); !strings.HasSuffix(got, "None: the only call was answered well.") {
		t.Errorf("got %q", got)
	}
	for _, change := range []func(*adapter.Event){
		func(e *adapter.Event) { e.Code = "permission_denied" },
		func(e *adapter.Event) { e.Code, e.Caller = "not_found", "8" },
		func(e *adapter.Event) { e.Code = "unavailable" },
		func(e *adapter.Event) { e.Code, e.RefusedBy = "unavailable", adapter.RefusedByBrownout },
	} {
		s.call(1, change)
	}
	s.call(9, func(e *adapter.Event) { e.Code, e.RefusedBy = "unimplemented", adapter.RefusedBySunset }) // too long ago
	got := text()
	for _, want := range []string{
		"refused 2 calls (40.0%), the last 2027-03-14 12:00 UTC: who? Refused in v1’s own words",
		"brownout 1 call (20.0%), the last", "failed 1 call (20.0%), the last",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
	if strings.Contains(got, "sunset") {
		t.Errorf("got %q, want no sunset", got)
	}
	if got := s.document(t, "").id(t, "outcomes").tags("a")[0].attribute("href"); got != "/?q=refused&sort=-calls#callers" {
		t.Errorf("got link %q, want one to the callers who were refused", got)
	}
}

func TestPresent(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	text := func() string { return s.document(t, "").id(t, "present").text() }
	for state, want := range map[v2client.BreakerState]string{
		v2client.BreakerClosed:   "Breaker closed Calls go to ZITADEL.",
		v2client.BreakerHalfOpen: "Breaker half-open The adapter asks",
		v2client.BreakerOpen:     "Breaker open ZITADEL does not answer",
	} {
		s.breaker = state
		if got := text(); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
	if got := text(); !strings.Contains(got, "No calls in the last 15 minutes.") {
		t.Errorf("got %q", got)
	}
	for i := range 100 {
		s.call(0, func(e *adapter.Event) { e.Duration = time.Duration(i+1) * 10 * time.Millisecond })
	}
	s.call(0, func(e *adapter.Event) { e.Route, e.Duration = "v1", 1234*time.Microsecond })
	want := [][]string{{"v2", "100", "500 ms", "990 ms"}, {"native v1", "1", "1.23 ms", "1.23 ms"}}
	if got := s.document(t, "").id(t, "present").rows(); !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %v, want %v", got, want)
	}
	for range 3000 { // more than are remembered
		s.call(0, func(e *adapter.Event) { e.Duration = 20 * time.Millisecond })
	}
	if got, want := s.document(t, "").id(t, "present").rows(), []string{"v2", "2,048", "20.0 ms", "20.0 ms"}; len(got) != 1 || !slices.Equal(got[0], want) {
		t.Errorf("got %v, want %v", got, want)
	}
	s.clock = s.clock.Add(16 * time.Minute)
	if got := text(); !strings.Contains(got, "No calls in the last 15 minutes.") {
		t.Errorf("got %q", got)
	}
}

func TestEnd(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*site)
		want   []string
	}{
		"nothing": {nil, []string{"Callers are told nothing yet."}},
		"since":   {func(s *site) { s.settings.Deprecation.Since = now().AddDate(0, 0, -10) }, []string{"Deprecated since 10 days ago 2027-03-05 12:00 UTC"}},
		"sunset": {func(s *site) {
			d := &s.settings.Deprecation
			d.Since, d.Sunset, d.AfterSunset = now().AddDate(0, 0, -10), now().AddDate(0, 0, 10), adapter.AfterSunsetRefuse
		}, []string{"Sunset in 10 days 2027-03-25 12:00 UTC. From then on all calls are refused"}},
		"brownouts": {func(s *site) {
			d := &s.settings.Deprecation
			d.Brownouts, d.BrownoutPercent = []string{"30 11 15 3 * for 1h", "2027-03-20T09:00:00Z/2027-03-20T10:00:00Z"}, 25
			d.Exempt = []string{"7"}
		}, []string{"Brownout now 2027-03-15 11:30 UTC to 2027-03-15 12:30 UTC", "Brownout in 5 days 2027-03-20", "Brownouts refuse 25% of callers.", "1 caller is never refused"}},
		"some callers": {func(s *site) {
			s.settings.Deprecation.Brownouts, s.settings.Deprecation.BrownoutCallers = []string{"0 9 * * 1 for 1h"}, []string{"7", "8"}
		}, []string{"Brownouts refuse only the 2 callers in deprecation.brownoutCallers."}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := newSite(t, test.change).document(t, "").id(t, "end").text()
			for _, want := range test.want {
				if !strings.Contains(got, want) {
					t.Errorf("got %q, want %q in it", got, want)
				}
			}
		})
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(s *site) { s.settings.Rollout.Percent = 80 })
	section := s.document(t, "").id(t, "settings")
	if got := section.rows(); len(got) != 1 || !slices.Equal(got[0], []string{"rollout.percent", "80"}) {
		t.Errorf("got %q", got)
	}
	s.settings.Rollout.Percent = 100
	s.Set(s.settings)
	if got := s.document(t, "").id(t, "settings").text(); !strings.Contains(got, "Everything is the default.") {
		t.Errorf("after Set: got %q", got)
	}
	if got := s.document(t, "").id(t, "footer").text(); !strings.Contains(got, "Version v1.2.3. Started 2027-03-15 11:45 UTC, runs for 15 minutes.") {
		t.Errorf("got %q", got)
	}
}

// What shadow mode finds is there while it is on.
func TestShadow(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(s *site) { s.settings.Rollout.Shadow = true })
	section := func() element { return s.document(t, "").id(t, "shadow") }
	if got := section().text(); !strings.Contains(got, "No call of native v1 has been compared yet.") {
		t.Errorf("got %q, want that there is nothing", got)
	}
	for result, times := range map[string]int{adapter.ShadowAgrees: 1200, adapter.ShadowUndecided: 3, adapter.ShadowDropped: 2} {
		for range times {
			s.ledger.ObserveShadow(adapter.Shadow{Method: "SetHumanPassword", Result: result})
		}
	}
	if got := section().text(); !strings.Contains(got, "Agrees All 1,200 calls") || !strings.Contains(got, "only the write can know: 3.") || !strings.Contains(got, "ZITADEL failed: 2.") {
		t.Errorf("got %q, want agreement", got)
	}
	for i := range 30 {
		s.ledger.ObserveShadow(adapter.Shadow{Method: "SetHumanPassword", Result: adapter.ShadowDiffers, Native: "ok", Verdict: fmt.Sprintf("COMMAND-%d", i%25)})
	}
	if got := section().text(); !strings.Contains(got, "Differs 30 of 1,230 calls") {
		t.Errorf("got %q, want 30 that differ", got)
	}
	if got := section().rows(); len(got) != 20 || !slices.Equal(got[0], []string{"SetHumanPassword", "ok", "COMMAND-0", "2"}) {
		t.Errorf("got %q, want 20 kinds of differences", got)
	}
	if got := newSite(t, nil).document(t, "").all(func(each element) bool { return each.attribute("id") == "shadow" }); len(got) > 0 {
		t.Error("the section is there while shadow mode is off")
	}
}
