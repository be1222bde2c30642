package page_test

import (
	"strings"
	"testing"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/usage"
)

// Every branch of the templates is shown by some test: a field that is not there is an error
// only when a page is made. These are the branches that the tests above do not show.
func TestRareStates(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change        func(*site)
		calls         func(*site)
		section, want string
	}{
		"a store":                  {func(s *site) { s.settings.Usage.Store = "sqlite:/usage.db" }, nil, "scope", "by all adapters that share usage.store."},
		"a store, in a file":       {func(s *site) { s.settings.Usage.StoreFile = "/usage.store" }, nil, "scope", "by all adapters that share usage.store."},
		"no store":                 {nil, nil, "scope", "and v2beta, by this adapter alone"},
		"sunset passed, served":    {func(s *site) { s.settings.Deprecation.Sunset = now().AddDate(0, 0, -3) }, nil, "end", "Sunset 3 days ago 2027-03-12 12:00 UTC. Calls go on as before: deprecation.afterSunset is serve."},
		"sunset passed, figure":    {func(s *site) { s.settings.Deprecation.Sunset = now().AddDate(0, 0, -3) }, nil, "figures", "Sunset 3 days ago 2027-03-12 12:00 UTC"},
		"brownouts of all":         {func(s *site) { s.settings.Deprecation.Brownouts = []string{"0 9 * * 1 for 1h"} }, nil, "end", "Brownouts refuse all callers."},
		"several exempt":           {func(s *site) { s.settings.Deprecation.Exempt = []string{"7", "8"} }, nil, "end", "2 callers are never refused: deprecation.exempt."},
		"callers without room":     {nil, func(s *site) { s.call(1, func(e *adapter.Event) { e.Caller = usage.CallerOthers }) }, "callers", "(others) are calls of more callers"},
		"how many is not known":    {nil, func(s *site) { s.call(1, func(e *adapter.Event) { e.Caller = usage.CallerOthers }) }, "figures", "Callers, last 7 days 1+"},
		"callers of unknown names": {nil, func(s *site) { s.call(1, func(e *adapter.Event) { e.Caller = "token:abc" }) }, "callers", "token: and a hash is a caller"},
		"all went well": {nil, func(s *site) {
			s.call(1, nil)
			s.call(2, nil)
		}, "outcomes", "None: all 2 calls were answered well."},
		"refused after the sunset": {nil, func(s *site) {
			s.call(1, func(e *adapter.Event) { e.Code, e.RefusedBy = "unimplemented", adapter.RefusedBySunset })
		}, "outcomes", "sunset 1 call (100.0%), the last 2027-03-14 12:00 UTC: who? Refused on purpose: deprecation.sunset has passed."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, test.change)
			if test.calls != nil {
				test.calls(s)
			}
			if got := s.document(t, "").id(t, test.section).text(); !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q in it", got, test.want)
			}
		})
	}
}
