package page

import (
	"slices"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/usage"
)

// daily is the section of calls by day: a chart for each route, and a table.
type daily struct {
	First, Last string // day
	Outcomes    []string
	Legend      []string // the outcomes that there were
	Charts      []chart
	Rows        []dayRow // the latest day first
}

// dayRow is the calls that took a route on a day. Its counts are in the order of allOutcomes.
type dayRow struct {
	Day, Route string
	Counts     []int64
	Calls      int64
}

// chart is of one route. All charts have the same scale.
type chart struct {
	Route       string
	Calls, Peak int64
	PeakDay     string
	Top, Half   int64 // of the scale
	Width       int
	Columns     []column
}

// column is a day in a chart.
type column struct {
	dayRow

	X    int
	Bars []bar
}

// bar is the calls of one outcome.
type bar struct {
	Outcome   string
	Calls     int64
	Y, Height float64
}

const (
	// columnWidth is that of a day, in the units of the drawing, which is stretched.
	columnWidth = 10
	// chartHeight is the height of the scale, and minHeight the height of the smallest bar.
	chartHeight = 100
	minHeight   = 1.5
)

func newDaily(now time.Time, rows []usage.Row) daily {
	dayBefore := func(n int) string { return startOf(now, n).Format(time.DateOnly) }
	section := daily{First: dayBefore(days), Last: dayBefore(0), Outcomes: allOutcomes()}
	type key struct{ day, route, outcome string }
	calls, seen := map[key]int64{}, map[string]bool{}
	for _, row := range rows {
		calls[key{row.Day, row.Way, row.Outcome}] += row.Calls
		seen[row.Outcome] = true
	}
	section.Legend = slices.DeleteFunc(allOutcomes(), func(outcome string) bool { return !seen[outcome] })
	byRoute, most := map[string][]dayRow{}, int64(0)
	routes := []string{adapter.RouteTranslated, adapter.RouteNative, usage.WayNone}
	for i := range days + 1 {
		for _, route := range routes {
			row := dayRow{Day: dayBefore(days - i), Route: route}
			for _, outcome := range allOutcomes() {
				n := calls[key{row.Day, route, outcome}]
				row.Counts, row.Calls = append(row.Counts, n), row.Calls+n
			}
			byRoute[route], most = append(byRoute[route], row), max(most, row.Calls)
			if row.Calls > 0 {
				section.Rows = append(section.Rows, row)
			}
		}
	}
	slices.Reverse(section.Rows)
	for _, route := range routes {
		if drawn := newChart(route, byRoute[route], niceTop(most)); drawn.Calls > 0 {
			section.Charts = append(section.Charts, drawn)
		}
	}
	return section
}

// newChart is the chart of a route, of all days.
func newChart(route string, rows []dayRow, top int64) chart {
	c := chart{Route: route, Width: len(rows) * columnWidth, Top: top, Half: top / 2}
	for i, row := range rows {
		if row.Calls == 0 {
			continue
		}
		c.Calls += row.Calls
		if row.Calls > c.Peak {
			c.Peak, c.PeakDay = row.Calls, row.Day
		}
		c.Columns = append(c.Columns, newColumn(row, i*columnWidth+1, top))
	}
	return c
}

// newColumn is the column of a day. Successful outcomes are stacked at the bottom.
func newColumn(row dayRow, x int, top int64) column {
	c, y := column{dayRow: row, X: x}, float64(chartHeight)
	for i, outcome := range allOutcomes() {
		if n := row.Counts[i]; n > 0 {
			height := max(float64(n)*chartHeight/float64(top), minHeight)
			y -= height
			c.Bars = append(c.Bars, bar{outcome, n, y, height})
		}
	}
	return c
}

// niceTop is a round, even number that is not below n.
func niceTop(n int64) int64 {
	for unit := int64(1); ; unit *= 10 {
		for _, step := range []int64{2, 4, 6, 8, 10} {
			if top := step * unit; top >= n {
				return top
			}
		}
	}
}
