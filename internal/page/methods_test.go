package page_test

import (
	"slices"
	"strings"
	"testing"

	"zitadel-v1-adapter/adapter"
)

// Each method has its successor, or says that there is none.
func TestMethods(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	s.call(1, nil)
	s.call(1, func(e *adapter.Event) { e.Caller = "8" })
	s.call(2, func(e *adapter.Event) { e.Method = "SetHumanInitialPassword" })
	s.call(2, func(e *adapter.Event) { e.API = "auth" })
	s.call(2, func(e *adapter.Event) { e.Caller, e.API = "", "admin" })
	section := s.document(t, "").id(t, "methods")
	want := [][]string{
		{"management SetHumanPassword", "v2 of management/SetHumanPassword", "2", "2"},
		{"auth SetHumanPassword", "v2 of auth/SetHumanPassword", "1", "1"},
		{"management SetHumanInitialPassword", "no v2 method yet", "1", "1"},
	}
	if got := section.rows(); !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, want := range []string{"management 2 methods, 3 calls", "1 method has no v2 method yet"} {
		if got := section.text(); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
}
