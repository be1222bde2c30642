package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// report is all that came of a run.
type report struct {
	Results []result  `json:"results"`
	Bars    []verdict `json:"bars"`
	Growth  *growth   `json:"growth,omitempty"`
}

func writeJSON(out io.Writer, measured report) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(measured)
}

// writeTables writes Markdown.
func writeTables(out io.Writer, measured report) error {
	tables := &tables{out: out}
	tables.row("what", "CPU us", "to ReverseProxy", "switches", "requests/s", "p50 us", "p99 us", "idle MiB", "loaded MiB", "start ms", "repeats")
	tables.rule(11)
	for _, each := range measured.Results {
		cpu, ratio, switches, idle, loaded, start := "", "", "", "", "", ""
		if each.CPU != 0 {
			cpu, switches = fmt.Sprintf("%.1f", each.CPU), fmt.Sprintf("%.2f", each.Switches)
			ratio = fmt.Sprintf("%.2f (%.2f-%.2f)", each.Ratio, each.Low, each.High)
			idle, loaded, start = fmt.Sprintf("%.1f", each.Idle), fmt.Sprintf("%.1f", each.Loaded), fmt.Sprintf("%.0f", each.Start)
		}
		p50, p99 := "", ""
		if each.P50 != 0 {
			p50, p99 = fmt.Sprintf("%.0f", each.P50), fmt.Sprintf("%.0f", each.P99)
		}
		tables.row(each.Name, cpu, ratio, switches, fmt.Sprintf("%.0f", each.PerSecond), p50, p99, idle, loaded, start, strconv.Itoa(each.Repeats))
	}
	tables.row()
	tables.row("of", "to", "is", "at most", "")
	tables.rule(5)
	for _, each := range measured.Bars {
		holds := "holds"
		if !each.Holds {
			holds = "does not hold"
		}
		tables.row(each.Of, each.To, fmt.Sprintf("%.2f", each.Ratio), fmt.Sprintf("%.2f", each.Most), holds)
	}
	if measured.Growth != nil {
		tables.growth(measured.Growth)
	}
	return tables.err
}

// tables writes rows until one fails.
type tables struct {
	out io.Writer
	err error
}

func (t *tables) row(cells ...string) {
	line := ""
	if len(cells) > 0 {
		line = "| " + strings.Join(cells, " | ") + " |"
	}
	_, err := fmt.Fprintln(t.out, line)
	t.err = cmp.Or(t.err, err)
}

func (t *tables) rule(columns int) {
	cells := make([]string, columns)
	for i := range cells {
		cells[i] = "---"
	}
	t.row(cells...)
}

func (t *tables) growth(all *growth) {
	for _, each := range []struct {
		of   string
		rows []grown
	}{{"what", all.Connections}, {"a password takes", all.Slow}} {
		t.row()
		t.row(each.of, "cores", "connections", "requests/s", "CPU us", "MiB")
		t.rule(6)
		for _, row := range each.rows {
			t.row(row.Name, strconv.Itoa(row.Cores), strconv.Itoa(row.Count), fmt.Sprintf("%.0f", row.PerSecond), fmt.Sprintf("%.1f", row.CPU), fmt.Sprintf("%.0f", row.Memory))
		}
	}
	t.row()
	t.row("idle clients", "number", "KiB each")
	t.rule(3)
	for _, row := range all.Idle {
		t.row(row.Protocol, strconv.Itoa(row.Clients), fmt.Sprintf("%.1f", row.Each))
	}
}
