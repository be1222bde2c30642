package page

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"zitadel-v1-adapter/internal/usage"
)

// callers is the section with the table of callers.
type callers struct {
	question

	Columns []header
	Rows    []caller
	Less    string // a link to the rows before these, or ""
	More    string // a link to the rows after these, or ""
	Hashed  bool   // some are known by their tokens only
	Unnamed bool   // some are added up
}

// header is a column's head, with a link that sorts by it.
type header struct {
	ID, Name, Link string
	Sort           string // aria-sort, or ""
	Number         bool

	downFirst bool // the first click sorts the largest first
}

// caller is a row of the table.
type caller struct {
	usage.Row

	Named                           bool // Caller is an id or a hash
	Organizations, Clients, Methods texts
	Routes                          texts
}

// texts are those of a caller's calls.
type texts []string

const (
	// shownCallers is how many rows are shown at once, and shownTexts how many texts in a cell.
	shownCallers = 25
	shownTexts   = 3
)

// Shown are the texts to show.
func (t texts) Shown() texts { return t[:min(len(t), shownTexts)] }

// Hidden is how many are not shown.
func (t texts) Hidden() int64 { return int64(len(t) - len(t.Shown())) }

// with are the texts and another one, if that is not there yet.
func (t texts) with(text string) texts {
	if at, there := slices.BinarySearch(t, text); text != "" && !there {
		return slices.Insert(t, at, text)
	}
	return t
}

// question is what a reader asks to see.
type question struct {
	Query string
	Sort  string // a column's ID; with a minus, the largest first
	From  int    // how many rows come before the first one shown
}

func questionOf(parameters url.Values) question {
	const most, mostFrom = 200, 1_000_000 // bytes and rows
	query := strings.TrimSpace(parameters.Get("q"))
	if len(query) > most {
		query = strings.ToValidUTF8(query[:most], "")
	}
	from, err := strconv.Atoi(parameters.Get("from"))
	if err != nil || from < 0 || from > mostFrom {
		from = 0
	}
	q := question{query, parameters.Get("sort"), from}
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
	if q.From > 0 {
		parameters.Set("from", strconv.Itoa(q.From))
	}
	return "/?" + parameters.Encode() + "#callers"
}

// ShowAll is the address of the answer without the search.
func (q question) ShowAll() string { return question{Sort: q.Sort}.link() }

// headers are the columns' heads, without what depends on the question. Their IDs are orders of a
// [usage.Query].
func headers() []header {
	return []header{
		{ID: "caller", Name: "Caller"},
		{ID: "organization", Name: "Organization"},
		{ID: "client", Name: "Clients"},
		{ID: "method", Name: "Methods"},
		{ID: "way", Name: "Answered by"},
		{ID: "calls", Name: "Calls", Number: true, downFirst: true},
		{ID: "first", Name: "First seen", downFirst: true},
		{ID: "last", Name: "Last seen", downFirst: true},
	}
}

// columns are the heads of the table that answers a question. A head's link keeps the search; the
// link of the sorted column reverses the order.
func (q question) columns() []header {
	columns := headers()
	for i := range columns {
		column := &columns[i]
		down, next := "-"+column.ID, column.ID
		switch q.Sort {
		case column.ID:
			column.Sort, next = "ascending", down
		case down:
			column.Sort = "descending"
		default:
			if column.downFirst {
				next = down
			}
		}
		column.Link = question{Query: q.Query, Sort: next}.link()
	}
	return columns
}

// callers answers a question. The database searches, sorts and adds up.
func (p *Page) callers(ctx context.Context, now time.Time, q question) (callers, error) {
	section := callers{question: q, Columns: q.columns()}
	since := startOf(now, days)
	rows, err := p.config.Ledger.Rows(ctx, usage.Query{
		Since: since, By: []string{"caller"}, Except: map[string][]string{"caller": usage.Apart()},
		Search: q.Query, Order: q.Sort, Limit: shownCallers + 1, Offset: q.From,
	})
	if q.From > 0 {
		section.Less = question{q.Query, q.Sort, max(q.From-shownCallers, 0)}.link()
	}
	if len(rows) > shownCallers {
		rows, section.More = rows[:shownCallers], question{q.Query, q.Sort, q.From + shownCallers}.link()
	}
	for _, row := range rows {
		section.Hashed = section.Hashed || strings.HasPrefix(row.Caller, "token:")
		section.Unnamed = section.Unnamed || !row.IsNamed()
		section.Rows = append(section.Rows, caller{Row: row, Named: row.IsNamed()})
	}
	if len(rows) == 0 {
		return section, err
	}
	names, byName := make([]string, len(rows)), map[string]*caller{}
	for i := range section.Rows {
		names[i], byName[section.Rows[i].Caller] = section.Rows[i].Caller, &section.Rows[i]
	}
	// Of a caller and method there are few kinds of calls: the ledger bounds them.
	details, detailsErr := p.config.Ledger.Rows(ctx, usage.Query{
		Since: since, By: []string{"caller", "method", "organization", "client", "way"}, Where: map[string][]string{"caller": names},
	})
	ever, everErr := p.config.Ledger.Rows(ctx, usage.Query{By: []string{"caller"}, Where: map[string][]string{"caller": names}})
	for _, row := range ever {
		if c := byName[row.Caller]; c != nil {
			c.First = row.First
		}
	}
	for _, row := range details {
		c := byName[row.Caller]
		if c == nil {
			continue
		}
		c.Organizations, c.Clients = c.Organizations.with(row.Organization), c.Clients.with(row.Client)
		c.Methods, c.Routes = c.Methods.with(row.Method), c.Routes.with(routeName(row.Way))
	}
	return section, errors.Join(err, detailsErr, everErr)
}
