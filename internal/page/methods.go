package page

import (
	"cmp"
	"slices"
	"strings"

	"zitadel-v1-adapter/internal/usage"
)

// methods is the section of the methods that are still called.
type methods struct {
	Rows    []methodRow
	Without int // how many have no successor yet
	APIs    []apiRow
}

// methodRow is a method, and what takes its place.
type methodRow struct {
	usage.Row

	Successor string // "": none yet
}

// apiRow is how many methods of an API are still called.
type apiRow struct {
	API     string
	Methods int64
	Calls   int64
}

// newMethods has a row for each method, the most callers first.
func newMethods(rows []usage.Row, successor func(api, method string) string) methods {
	var section methods
	byAPI := map[string]*apiRow{}
	for _, row := range rows {
		m := methodRow{row, successor(row.API, row.Method)}
		if m.Successor == "" {
			section.Without++
		}
		section.Rows = append(section.Rows, m)
		if byAPI[row.API] == nil {
			byAPI[row.API] = &apiRow{API: row.API}
		}
		byAPI[row.API].Methods++
		byAPI[row.API].Calls += row.Calls
	}
	slices.SortFunc(section.Rows, func(a, b methodRow) int {
		return cmp.Or(cmp.Compare(b.Callers, a.Callers), cmp.Compare(b.Calls, a.Calls), strings.Compare(a.API, b.API), strings.Compare(a.Method, b.Method))
	})
	for _, api := range byAPI {
		section.APIs = append(section.APIs, *api)
	}
	slices.SortFunc(section.APIs, func(a, b apiRow) int { return strings.Compare(a.API, b.API) })
	return section
}

// shownMethods is how many are shown at once.
const shownMethods = 8

// Shown are the rows to show, and Rest the others.
func (m methods) Shown() []methodRow { return m.Rows[:min(len(m.Rows), shownMethods)] }

// Rest are the rows after Shown.
func (m methods) Rest() []methodRow { return m.Rows[len(m.Shown()):] }
