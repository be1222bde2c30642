package page

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"time"

	"zitadel-v1-adapter/internal/usage"
)

// callers is the section with the table of callers.
type callers struct {
	question

	Columns []header
	Rows    []caller
	Found   int64 // those that the question asks for
	All     int64
	Hashed  bool // some are known by their tokens only
	Others  bool // some are not known
}

// header is a column's head, with a link that sorts by it.
type header struct {
	ID, Name, Link string
	Sort           string // aria-sort, or ""
	Number         bool
}

// arrow shows the order.
func (h header) arrow() string {
	switch h.Sort {
	case "ascending":
		return " ↑"
	case "descending":
		return " ↓"
	}
	return ""
}

// caller is one row.
type caller struct {
	Name                          string
	Unknown                       bool // Name is no id
	Organizations, Clients        texts
	Methods, Ways                 texts
	Calls                         int64
	First, Last                   moment
	firstAt, lastAt               time.Time
	organizations, clients, other []string
}

// texts are a few of many.
type texts struct {
	Shown []string
	More  int64
}

const (
	// shownCallers is how many rows there are at most, and shownTexts how many texts in one.
	shownCallers = 200
	shownTexts   = 3
)

// question is what a reader asks to see.
type question struct{ query, sort string }

func questionOf(parameters url.Values) question {
	const most = 200 // bytes
	query := strings.TrimSpace(parameters.Get("q"))
	if len(query) > most {
		query = strings.ToValidUTF8(query[:most], "")
	}
	sort := parameters.Get("sort")
	if orders()[strings.TrimPrefix(sort, "-")] == nil {
		sort = "-calls"
	}
	return question{query, sort}
}

// link is the address of the answer with another order.
func (q question) link(sort string) string {
	parameters := url.Values{"sort": {sort}}
	if q.query != "" {
		parameters.Set("q", q.query)
	}
	return "/?" + parameters.Encode() + "#callers"
}

// orders are those of the columns, the smallest first.
func orders() map[string]func(a, b caller) int {
	return map[string]func(a, b caller) int{
		"caller":       func(a, b caller) int { return 0 }, //nolint:revive // what is equal is sorted by it
		"organization": func(a, b caller) int { return slices.Compare(a.organizations, b.organizations) },
		"client":       func(a, b caller) int { return slices.Compare(a.clients, b.clients) },
		"method":       func(a, b caller) int { return slices.Compare(a.Methods.Shown, b.Methods.Shown) },
		"way":          func(a, b caller) int { return slices.Compare(a.Ways.Shown, b.Ways.Shown) },
		"calls":        func(a, b caller) int { return cmp.Compare(a.Calls, b.Calls) },
		"first":        func(a, b caller) int { return a.firstAt.Compare(b.firstAt) },
		"last":         func(a, b caller) int { return a.lastAt.Compare(b.lastAt) },
	}
}

// headers are the columns. A second click turns the order round; numbers and times begin with
// the largest.
func headers(q question) []header {
	columns := []header{
		{ID: "caller", Name: "Caller"},
		{ID: "organization", Name: "Organization"},
		{ID: "client", Name: "Clients"},
		{ID: "method", Name: "Methods"},
		{ID: "way", Name: "Ways"},
		{ID: "calls", Name: "Calls", Number: true},
		{ID: "first", Name: "First seen"},
		{ID: "last", Name: "Last seen"},
	}
	for i := range columns {
		c := &columns[i]
		down, next := "-"+c.ID, c.ID
		switch q.sort {
		case c.ID:
			c.Sort, next = "ascending", down
		case down:
			c.Sort = "descending"
		default:
			if c.Number || c.ID == "first" || c.ID == "last" {
				next = down
			}
		}
		c.Link = q.link(next)
	}
	return columns
}

func newCallers(now time.Time, known snapshot, q question) callers {
	section := callers{question: q, Columns: headers(q)}
	rows := callersOf(known, startOf(now, days))
	section.All = int64(len(rows))
	for _, each := range rows {
		section.Hashed = section.Hashed || strings.HasPrefix(each.Name, "token:")
		section.Others = section.Others || each.Name == usage.Others
	}
	rows = slices.DeleteFunc(rows, func(each caller) bool { return !each.matches(q.query) })
	column, down := strings.CutPrefix(q.sort, "-")
	order := orders()[column]
	slices.SortFunc(rows, func(a, b caller) int {
		sorted := cmp.Or(order(a, b), strings.Compare(a.Name, b.Name))
		if down {
			return -sorted
		}
		return sorted
	})
	section.Found = int64(len(rows))
	section.Rows = rows[:min(len(rows), shownCallers)]
	return section
}

// callersOf has a row for each caller since a time.
func callersOf(known snapshot, since time.Time) []caller {
	byName := map[string]*caller{}
	day := since.Format(time.DateOnly)
	for _, row := range known.rows {
		if row.Day < day {
			continue
		}
		each := byName[row.Caller]
		if each == nil {
			whole := known.callers[row.Caller]
			each = &caller{Name: row.Caller, firstAt: whole.First, lastAt: whole.Last}
			byName[row.Caller] = each
		}
		each.Calls += row.Calls
		each.organizations = append(each.organizations, row.Organization)
		each.clients = append(each.clients, row.Client)
		each.Methods.Shown = append(each.Methods.Shown, row.Method)
		each.Ways.Shown = append(each.Ways.Shown, wayName(row.Way))
		each.other = append(each.other, row.Protocol)
		if each.firstAt.IsZero() || row.First.Before(each.firstAt) {
			each.firstAt = row.First
		}
		if row.Last.After(each.lastAt) {
			each.lastAt = row.Last
		}
	}
	rows := make([]caller, 0, len(byName))
	for _, each := range byName {
		rows = append(rows, each.finished())
	}
	return rows
}

// finished is a row that can be shown.
func (c *caller) finished() caller {
	c.organizations, c.Organizations = few(c.organizations)
	c.clients, c.Clients = few(c.clients)
	c.Methods.Shown, _ = few(c.Methods.Shown)
	c.Ways.Shown, _ = few(c.Ways.Shown)
	c.other, _ = few(c.other)
	c.First, c.Last = momentOf(c.firstAt), momentOf(c.lastAt)
	switch c.Name {
	case "":
		c.Name, c.Unknown = "(no token)", true
	case usage.Others:
		c.Unknown = true
	}
	return *c
}

// few are the texts that are not empty, each once, and those of them to show.
func few(all []string) ([]string, texts) {
	slices.Sort(all)
	all = slices.DeleteFunc(slices.Compact(all), func(text string) bool { return text == "" })
	shown := min(len(all), shownTexts)
	return all, texts{all[:shown], int64(len(all) - shown)}
}

// matches reports whether a text is found somewhere in the row.
func (c *caller) matches(query string) bool {
	query = strings.ToLower(query)
	for _, text := range slices.Concat([]string{c.Name}, c.organizations, c.clients, c.Methods.Shown, c.Ways.Shown, c.other) {
		if strings.Contains(strings.ToLower(text), query) {
			return true
		}
	}
	return false
}
