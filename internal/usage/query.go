package usage

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Query asks for calls, added up.
type Query struct {
	// Since is the first day. A month that was folded counts if its last call is not before.
	Since time.Time
	// By are the parts of a [Key] that are told apart, of Parts; the others are "". Default: all.
	By []string
	// Where has the values that a part may have.
	Where map[string][]string
	// Except has the values that a part may not have.
	Except map[string][]string
	// Search is a text that the caller's name, or some call of the caller in one of its parts, has to
	// contain, in upper or lower case. Default: any.
	Search string
	// Order is a part (callers by their names, where these are known), "calls", "first" or "last", of
	// which the least comes first, or with a minus before it the greatest. Default: the latest day and the most calls first.
	Order string
	// Limit is how many rows are wanted at most, from Offset on; 0 is all.
	Limit, Offset int
	// WithoutCallers leaves [Row.Callers] at 0, which is quicker.
	WithoutCallers bool
}

// Parts are the parts of a [Key], by their names in a [Query], in JSON, and in the database.
func Parts() []string {
	return []string{"day", "caller", "api", "method", "organization", "client", "protocol", "way", "outcome"}
}

// partOf is where a Key has a part.
func partOf(k *Key, name string) *string {
	switch name {
	case "day":
		return &k.Day
	case "caller":
		return &k.Caller
	case "api":
		return &k.API
	case "method":
		return &k.Method
	case "organization":
		return &k.Organization
	case "client":
		return &k.Client
	case "protocol":
		return &k.Protocol
	case "way":
		return &k.Way
	case "outcome":
		return &k.Outcome
	}
	return nil
}

// Part is the value of a part, or "" if Parts has no such name.
func (k Key) Part(name string) string {
	if value := partOf(&k, name); value != nil {
		return *value
	}
	return ""
}

// check refuses parts that do not exist: their names become SQL.
func (q Query) check() error {
	parts := Parts()
	for _, name := range slices.Concat(q.By, slices.Collect(maps.Keys(q.Where)), slices.Collect(maps.Keys(q.Except))) {
		if !slices.Contains(parts, name) {
			return fmt.Errorf("%q: use %s", name, strings.Join(parts, ", "))
		}
	}
	return nil
}

// order is the ORDER BY of a query.
func (q Query) order() string {
	by := strings.Join(q.By, ", ")
	column, descending := strings.CutPrefix(q.Order, "-")
	direction := ", "
	if descending {
		direction = " DESC, "
	}
	switch {
	case column == "caller":
		return "shown" + direction + by
	case column == "calls":
		return "calls_sum" + direction + by
	case column == "first", column == "last":
		return column + direction + by
	case slices.Contains(Parts(), column):
		return "MIN(" + column + ")" + direction + by
	case slices.Contains(q.By, "day"):
		return "day DESC, calls_sum DESC, " + by
	}
	return "calls_sum DESC, " + by
}

// arguments are those of a statement.
type arguments []any

// add adds an argument. It returns its place in the statement.
func (a *arguments) add(value any) string {
	*a = append(*a, value)
	return fmt.Sprintf("$%d", len(*a))
}

// sql is a query's statement.
func (q Query) sql() (statement string, args arguments) {
	by := strings.Join(q.By, ", ")
	shown, callers := "''", "COUNT(DISTINCT caller)"
	switch {
	case slices.Contains(q.By, "caller"):
		shown, callers = "COALESCE((SELECT login_name FROM names WHERE id = caller), caller)", "1"
	case q.WithoutCallers:
		callers = "0"
	}
	statement = fmt.Sprintf(`SELECT %s, CAST(SUM(calls) AS BIGINT) AS calls_sum, MIN(first_ms) AS first, MAX(last_ms) AS last, %s,
		%s AS shown FROM calls WHERE %s GROUP BY %s ORDER BY %s`, by, callers, shown, q.condition(&args), by, q.order())
	if q.Limit > 0 {
		statement += fmt.Sprintf(" LIMIT %s OFFSET %s", args.add(q.Limit), args.add(q.Offset))
	}
	return statement, args
}

// condition is what calls have to be for a query.
func (q Query) condition(args *arguments) string {
	var b strings.Builder
	recent := fmt.Sprintf("(day >= %s OR LENGTH(day) = 7 AND last_ms >= %s)", args.add(dayOf(q.Since)), args.add(startOfDay(q.Since).UnixMilli()))
	b.WriteString(recent)
	in := func(operator string, of map[string][]string) {
		for _, name := range Parts() {
			values, ok := of[name]
			if !ok {
				continue
			}
			places := make([]string, len(values))
			for i, value := range values {
				places[i] = args.add(value)
			}
			fmt.Fprintf(&b, " AND %s %s (%s)", name, operator, strings.Join(places, ", "))
		}
	}
	in("IN", q.Where)
	in("NOT IN", q.Except)
	if q.Search != "" {
		pattern := args.add("%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(strings.ToLower(q.Search)) + "%")
		fmt.Fprintf(&b, ` AND (caller IN (SELECT caller FROM calls WHERE %[1]s AND LOWER(%[2]s) LIKE %[3]s ESCAPE '\')
			OR caller IN (SELECT id FROM names WHERE LOWER(login_name) LIKE %[3]s ESCAPE '\'))`, recent, strings.Join(Parts()[1:], ` || ' ' || `), pattern)
	}
	return b.String()
}

// Rows adds up the calls that a query asks for, in the database. The error is the database's, or
// says what is wrong with the query.
func (s *Store) Rows(ctx context.Context, q Query) ([]Row, error) {
	if len(q.By) == 0 {
		q.By = Parts()
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	if err := s.migrate(ctx); err != nil {
		return nil, err
	}
	statement, args := q.sql()
	found, err := s.db.QueryContext(ctx, statement, args...) //nolint:gosec // check lets only names of columns in
	if err != nil {
		return nil, err
	}
	defer func() { _ = found.Close() }()
	rows := []Row{}
	for found.Next() {
		var row Row
		var first, last int64
		into := make([]any, 0, len(q.By)+5)
		for _, name := range q.By {
			into = append(into, partOf(&row.Key, name))
		}
		if err := found.Scan(append(into, &row.Calls, &first, &last, &row.Callers, &row.Name)...); err != nil {
			return nil, err
		}
		if row.Name == row.Caller {
			row.Name = ""
		}
		row.First, row.Last = time.UnixMilli(first).UTC(), time.UnixMilli(last).UTC()
		rows = append(rows, row)
	}
	return rows, found.Err()
}

// Coverage is what a ledger knows of the time that it counted.
type Coverage struct {
	// Began is when counting began; zero is never.
	Began time.Time `json:"began,omitzero"`
	// Gaps are the days on which nobody counted, between the first one asked for and today, in
	// UTC.
	Gaps []string `json:"gaps,omitempty"`
	// Requests is how many requests were seen in that time, of v1 or not.
	Requests int64 `json:"requests"`
	// Replicas is how many processes counted in the last day.
	Replicas int `json:"replicas"`
}

// Coverage is what the ledger knows of the days since a time, in UTC.
func (s *Store) Coverage(ctx context.Context, since, now time.Time) (c Coverage, err error) {
	if err := s.migrate(ctx); err != nil {
		return c, err
	}
	found, err := s.db.QueryContext(ctx, "SELECT day, CAST(SUM(requests) AS BIGINT), MIN(first_ms), COUNT(*) FROM coverage GROUP BY day ORDER BY day")
	if err != nil {
		return c, err
	}
	defer func() { _ = found.Close() }()
	covered := map[string]bool{}
	for found.Next() {
		var day string
		var requests, first int64
		var writers int
		if err := found.Scan(&day, &requests, &first, &writers); err != nil {
			return c, err
		}
		if c.Began.IsZero() {
			c.Began = time.UnixMilli(first).UTC()
		}
		covered[day] = true
		if day >= dayOf(since) {
			c.Requests += requests
		}
		if day == dayOf(now) {
			c.Replicas = writers
		}
	}
	from := startOfDay(since)
	if from.Before(c.Began) {
		from = startOfDay(c.Began)
	}
	for day := from; !c.Began.IsZero() && day.Before(startOfDay(now)); day = day.AddDate(0, 0, 1) {
		if !covered[dayOf(day)] {
			c.Gaps = append(c.Gaps, dayOf(day))
		}
	}
	return c, found.Err()
}

// Week is how many whole days before today [Active.Week] looks at.
const Week = 7

// Active is who called in some time.
type Active struct {
	// Callers is how many there were, not counting strangers and ZITADEL's own pages.
	Callers int64 `json:"callers"`
	// AtLeast says that there may have been more.
	AtLeast bool `json:"at_least,omitempty"`
	// Week is how many of them called today or in the 7 days before, and WeekAtLeast says that there
	// may have been more.
	Week        int64 `json:"week"`
	WeekAtLeast bool  `json:"week_at_least,omitempty"`
	// Calls is how many calls these made, and Last when the last one was.
	Calls int64     `json:"calls"`
	Last  time.Time `json:"last,omitzero"`
}

// Active is who called since a time, of the calls that pass a query's Where.
func (s *Store) Active(ctx context.Context, since, now time.Time, where map[string][]string) (a Active, err error) {
	q := Query{Since: since, Where: where, Except: map[string][]string{"caller": Apart()}}
	if err := q.check(); err != nil {
		return a, err
	}
	if err := s.migrate(ctx); err != nil {
		return a, err
	}
	var args arguments
	count := func(condition string) string {
		return "COALESCE(SUM(CASE WHEN " + condition + " THEN 1 ELSE 0 END), 0)"
	}
	thisWeek := "last >= " + args.add(startOfDay(now).AddDate(0, 0, -Week).UnixMilli())
	const isUnnamed = "caller LIKE '(%'"
	//nolint:gosec // check lets only names of columns in
	statement := fmt.Sprintf(`SELECT COUNT(*), %s, %s, %s, CAST(COALESCE(SUM(calls_sum), 0) AS BIGINT), COALESCE(MAX(last), 0)
		FROM (SELECT caller, SUM(calls) AS calls_sum, MAX(last_ms) AS last FROM calls WHERE %s GROUP BY caller) AS callers WHERE last >= %s`,
		count(isUnnamed), count(thisWeek), count(thisWeek+" AND "+isUnnamed), q.condition(&args), args.add(since.UnixMilli()))
	var last, unnamed, unnamedThisWeek int64
	err = s.db.QueryRowContext(ctx, statement, args...).Scan(&a.Callers, &unnamed, &a.Week, &unnamedThisWeek, &a.Calls, &last)
	if last > 0 {
		a.Last = time.UnixMilli(last).UTC()
	}
	a.AtLeast, a.WeekAtLeast = unnamed > 0, unnamedThisWeek > 0
	return a, err
}

// Evidence is what the ledger knows of the time since then, of the calls that pass a query's Where.
func (s *Store) Evidence(ctx context.Context, since, now time.Time, where map[string][]string) (e Evidence, err error) {
	if e.Active, err = s.Active(ctx, since, now, where); err != nil {
		return e, err
	}
	e.Coverage, err = s.Coverage(ctx, since, now)
	return e, err
}
