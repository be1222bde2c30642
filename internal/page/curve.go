package page

import (
	"slices"
	"strconv"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/usage"
)

// curve is the section of calls by day: a chart for each way that calls took, and a table.
type curve struct {
	Charts []chart
	Legend []outcome
	Rows   []curveRow // the latest day first
	First  moment     // day
	Last   moment
}

// chart is of one way. All have the same scale.
type chart struct {
	Title, Alternative string
	Top, Half          string // of the scale
	Width              int
	Columns            []column
}

// column is a day in a chart.
type column struct {
	Title string
	X     int
	Bars  []bar
}

// bar is the calls of one outcome.
type bar struct{ Outcome, Y, Height string }

// curveRow is a day and a way in the table. Its counts are in the order of outcomesInOrder.
type curveRow struct {
	Day    moment
	Way    string
	Counts []int64
	Calls  int64
}

// dayAndWay is what a column is of.
type dayAndWay struct{ day, way string }

const (
	// columnWidth is that of a day, in the units of the drawing, which is stretched.
	columnWidth = 10
	// chartHeight is how high the scale's top is, and leastHeight a bar's that is not empty.
	chartHeight = 100
	leastHeight = 1.5
)

// wayName is a way in words.
func wayName(way string) string {
	if way == adapter.RouteNative {
		return "native v1"
	}
	return "v2"
}

func newCurve(now time.Time, rows []usage.Row) curve {
	c := curve{First: dayOf(startOf(now, days)), Last: dayOf(now)}
	calls, present, most := map[dayAndWay]map[string]int64{}, map[string]bool{}, int64(0)
	for _, row := range rows {
		key := dayAndWay{row.Day, row.Way}
		if row.Day < c.First.Text {
			continue
		}
		if calls[key] == nil {
			calls[key] = map[string]int64{}
		}
		calls[key][row.Outcome] += row.Calls
		present[row.Outcome] = true
	}
	var byWay [2][]curveRow
	routes := [2]string{adapter.RouteTranslated, adapter.RouteNative}
	for i := range days + 1 {
		day := dayOf(startOf(now, days-i))
		for way, route := range routes {
			row := rowOf(day, route, calls[dayAndWay{day.Text, route}])
			byWay[way], most = append(byWay[way], row), max(most, row.Calls)
			if row.Calls > 0 {
				c.Rows = append(c.Rows, row)
			}
		}
	}
	slices.Reverse(c.Rows)
	for way, route := range routes {
		if drawn := draw(route, byWay[way], most); drawn.Columns != nil {
			c.Charts = append(c.Charts, drawn)
		}
	}
	for _, each := range outcomesInOrder() {
		if present[each.ID] {
			c.Legend = append(c.Legend, each)
		}
	}
	return c
}

func rowOf(day moment, route string, calls map[string]int64) curveRow {
	row := curveRow{Day: day, Way: wayName(route)}
	for _, each := range outcomesInOrder() {
		row.Counts = append(row.Counts, calls[each.ID])
		row.Calls += calls[each.ID]
	}
	return row
}

// draw is the chart of a way, of all days; one without columns if it had no calls.
func draw(route string, rows []curveRow, most int64) chart {
	top := niceTop(most)
	c := chart{Title: "Answered by ZITADEL v2", Width: len(rows) * columnWidth, Top: count(top), Half: strconv.FormatFloat(float64(top)/2, 'f', -1, 64)}
	if route == adapter.RouteNative {
		c.Title = "Answered by native v1"
	}
	var all, peak int64
	var peakDay string
	for i, row := range rows {
		if row.Calls == 0 {
			continue
		}
		all += row.Calls
		if row.Calls > peak {
			peak, peakDay = row.Calls, row.Day.Text
		}
		c.Columns = append(c.Columns, stack(row, i*columnWidth, float64(chartHeight)/float64(top)))
	}
	c.Alternative = plural(all, "call") + " from " + rows[0].Day.Text + " to " + rows[len(rows)-1].Day.Text + ", most of them on " + peakDay + ": " + count(peak) + ". The table below has all days."
	return c
}

// stack is the column of a day. What is good stands at the bottom.
func stack(row curveRow, x int, scale float64) column {
	c, y := column{Title: row.Day.Text + ": " + plural(row.Calls, "call"), X: x + 1}, float64(chartHeight)
	for i, each := range outcomesInOrder() {
		if row.Counts[i] == 0 {
			continue
		}
		height := max(float64(row.Counts[i])*scale, leastHeight)
		y -= height
		c.Title += ", " + count(row.Counts[i]) + " " + each.Name
		c.Bars = append(c.Bars, bar{each.ID, decimal(y), decimal(height)})
	}
	return c
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

// niceTop is a round number that is not below n.
func niceTop(n int64) int64 {
	for unit := int64(1); ; unit *= 10 {
		for _, step := range []int64{2, 4, 6, 8, 10} {
			if top := step * unit; top >= n {
				return top
			}
		}
	}
}
