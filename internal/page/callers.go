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
	Found   int64 // by the question
	All     int64
	Hashed  bool // some are known by their tokens only
	Others  bool // some are not known
}

// header is a column's head, with a link that sorts by it.
type header struct {
	ID, Name, Link string
	Sort           string // aria-sort, or ""
	Number         bool

	downFirst bool // the first click sorts the largest first
	compare   func(a, b *caller) int
}

// caller is a row of the table.
type caller struct {
	Name                                    string
	Unknown                                 bool // Name is no id
	Organizations, Clients, Methods, Routes texts
	Calls                                   int64
	First, Last                             time.Time

	protocols texts // are searched, and not shown
}

// texts are those of a caller's calls.
type texts []string

const (
	// shownCallers is how many rows are shown, and shownTexts how many texts in a cell.
	shownCallers = 200
	shownTexts   = 3
)

// Shown are the texts to show.
func (t texts) Shown() texts { return t[:min(len(t), shownTexts)] }

// Hidden is how many are not shown.
func (t texts) Hidden() int64 { return int64(len(t) - len(t.Shown())) }

// distinct are the texts in order, each once, without "".
func (t texts) distinct() texts {
	slices.Sort(t)
	return slices.DeleteFunc(slices.Compact(t), func(text string) bool { return text == "" })
}

// question is what a reader asks to see.
type question struct {
	Query string
	Sort  string // a column's ID; with a minus, the largest first
}

func questionOf(parameters url.Values) question {
	const most = 200 // bytes
	query := strings.TrimSpace(parameters.Get("q"))
	if len(query) > most {
		query = strings.ToValidUTF8(query[:most], "")
	}
	q := question{query, parameters.Get("sort")}
	if !slices.ContainsFunc(headers(), func(h header) bool { return h.ID == strings.TrimPrefix(q.Sort, "-") }) {
		q.Sort = "-calls"
	}
	return q
}

// link is the address of the answer to a question.
func (q question) link() string {
	parameters := url.Values{"sort": {q.Sort}}
	if q.Query != "" {
		parameters.Set("q", q.Query)
	}
	return "/?" + parameters.Encode() + "#callers"
}

// ShowAll is the address of the answer without the search.
func (q question) ShowAll() string { return question{Sort: q.Sort}.link() }

// headers are the columns' heads, without what depends on the question.
func headers() []header {
	return []header{
		{ID: "caller", Name: "Caller", compare: func(a, b *caller) int { return strings.Compare(a.Name, b.Name) }},
		{ID: "organization", Name: "Organization", compare: func(a, b *caller) int { return slices.Compare(a.Organizations, b.Organizations) }},
		{ID: "client", Name: "Clients", compare: func(a, b *caller) int { return slices.Compare(a.Clients, b.Clients) }},
		{ID: "method", Name: "Methods", compare: func(a, b *caller) int { return slices.Compare(a.Methods, b.Methods) }},
		{ID: "way", Name: "Ways", compare: func(a, b *caller) int { return slices.Compare(a.Routes, b.Routes) }},
		{ID: "calls", Name: "Calls", Number: true, downFirst: true, compare: func(a, b *caller) int { return cmp.Compare(a.Calls, b.Calls) }},
		{ID: "first", Name: "First seen", downFirst: true, compare: func(a, b *caller) int { return a.First.Compare(b.First) }},
		{ID: "last", Name: "Last seen", downFirst: true, compare: func(a, b *caller) int { return a.Last.Compare(b.Last) }},
	}
}

// newCallers sorts and searches the callers. The links of the heads keep the search, and that
// of the column that is sorted by turns the order round.
func newCallers(ledger []usage.Row, seen map[string]usage.Span, q question) callers {
	section := callers{question: q, Columns: headers()}
	rows := callersOf(ledger, seen)
	section.All = int64(len(rows))
	for _, row := range rows {
		section.Hashed = section.Hashed || strings.HasPrefix(row.Name, "token:")
		section.Others = section.Others || row.Name == usage.Others
	}
	rows = slices.DeleteFunc(rows, func(row caller) bool { return !row.matches(q.Query) })
	for i := range section.Columns {
		column := &section.Columns[i]
		order := func(a, b caller) int { return cmp.Or(column.compare(&a, &b), strings.Compare(a.Name, b.Name)) }
		down, next := "-"+column.ID, column.ID
		switch q.Sort {
		case column.ID:
			column.Sort, next = "ascending", down
			slices.SortFunc(rows, order)
		case down:
			column.Sort = "descending"
			slices.SortFunc(rows, func(a, b caller) int { return order(b, a) })
		default:
			if column.downFirst {
				next = down
			}
		}
		column.Link = question{q.Query, next}.link()
	}
	section.Found, section.Rows = int64(len(rows)), rows[:min(len(rows), shownCallers)]
	return section
}

// callersOf has a row for each caller in the ledger's rows. seen is when callers were seen,
// also before these.
func callersOf(ledger []usage.Row, seen map[string]usage.Span) []caller {
	byName := map[string]*caller{}
	for _, row := range ledger {
		c := byName[row.Caller]
		if c == nil {
			span := seen[row.Caller]
			c = &caller{Name: row.Caller, Unknown: row.Caller == "" || row.Caller == usage.Others, First: span.First, Last: span.Last}
			byName[row.Caller] = c
		}
		c.Calls += row.Calls
		c.Organizations = append(c.Organizations, row.Organization)
		c.Clients = append(c.Clients, row.Client)
		c.Methods = append(c.Methods, row.Method)
		c.Routes = append(c.Routes, routeName(row.Way))
		c.protocols = append(c.protocols, row.Protocol)
		if c.First.IsZero() || row.First.Before(c.First) {
			c.First = row.First
		}
		c.Last = later(c.Last, row.Last)
	}
	rows := make([]caller, 0, len(byName))
	for _, c := range byName {
		if c.Name == "" {
			c.Name = "(no token)"
		}
		for _, of := range []*texts{&c.Organizations, &c.Clients, &c.Methods, &c.Routes, &c.protocols} {
			*of = of.distinct()
		}
		rows = append(rows, *c)
	}
	return rows
}

// matches reports whether a text is found somewhere in the row.
func (c *caller) matches(query string) bool {
	query = strings.ToLower(query)
	for _, text := range slices.Concat(texts{c.Name}, c.Organizations, c.Clients, c.Methods, c.Routes, c.protocols) {
		if strings.Contains(strings.ToLower(text), query) {
			return true
		}
	}
	return false
}
