package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// tables writes Markdown until a write fails.
type tables struct {
	out io.Writer
	err error
}

func (t *tables) line(text string) {
	_, err := fmt.Fprintln(t.out, text)
	t.err = cmp.Or(t.err, err)
}

func (t *tables) row(cells ...string) { t.line("| " + strings.Join(cells, " | ") + " |") }

func (t *tables) head(cells ...string) {
	t.row(cells...)
	t.row(slices.Repeat([]string{"---"}, len(cells))...)
}

// figure is a cell; 0 is what was not measured.
func figure(format string, value float64) string {
	if value == 0 {
		return ""
	}
	return fmt.Sprintf(format, value)
}

// targets writes what each target cost, and how that compares.
func (t *tables) targets(all []*running) {
	named := func(name string) *running {
		at := slices.IndexFunc(all, func(each *running) bool { return each.name == name })
		if at < 0 {
			return nil
		}
		return all[at]
	}
	t.head("what", "CPU us", "requests/s", "p50 us", "p99 us", "idle MiB", "loaded MiB", "start ms")
	for _, each := range all {
		start := ""
		if each.process != nil {
			start = strconv.FormatInt(each.process.started.Milliseconds(), 10)
		}
		t.row(each.title(), figure("%.1f", each.median(func(r round) float64 { return r.cpu })),
			figure("%.0f", each.median(func(r round) float64 { return r.perSecond })),
			figure("%.0f", each.median(func(r round) float64 { return r.p50 })),
			figure("%.0f", each.median(func(r round) float64 { return r.p99 })),
			figure("%.0f", each.idle), figure("%.0f", each.loaded), start)
	}
	t.line("")
	t.head("CPU of", "to ReverseProxy", "to grpc-gateway", "to vanguard", "to njs")
	for _, each := range all {
		if each.process == nil {
			continue
		}
		to := []string{each.like, "grpc-gateway, REST", "vanguard, REST", "njs, REST"}
		cells := append(make([]string, 0, 1+len(to)), each.title())
		for _, to := range to {
			cell := ""
			if other := named(to); other != nil && (to == each.like || !each.download) {
				cell = each.to(other).String()
			}
			cells = append(cells, cell)
		}
		t.row(cells...)
	}
	t.line("")
	t.head("CPU of", "to", "is", "at most", "aim", "holds")
	for _, bar := range bars(all) {
		if of, to := named(bar.of), named(bar.to); of != nil && to != nil {
			is := of.to(to)
			t.row(bar.of, bar.to, is.String(), fmt.Sprintf("%.2f", bar.most), figure("%.2f", bar.aim), bar.holds(is))
		}
	}
}

// title is the name, in bold for the adapter's own.
func (t target) title() string {
	if strings.HasPrefix(t.name, "adapter") {
		return "**" + t.name + "**"
	}
	return t.name
}

// bar is what one target's CPU time may be at most, as a multiple of another's.
type bar struct {
	of, to    string // names of targets
	most, aim float64
}

// bars are the adapter's to ReverseProxy, and to those of -other.
func bars(all []*running) []bar {
	bars := []bar{
		{"adapter, GET", tuned + "GET", 1, 0.8},
		{"adapter, v1 GET", "adapter, GET", 1.05, 0}, // that it is counted
		{"adapter, POST", tuned + "POST", 1.15, 0.9},
		{"adapter, REST off", tuned + "POST", 1.5, 1.2},
		{"adapter, REST strict", tuned + "POST", 1.5, 1.2},
	}
	for _, each := range all {
		if strings.HasPrefix(each.name, "adapter") {
			bars = append(bars, bar{each.name, "other " + each.name, 1, 0})
		}
	}
	return bars
}

func (b bar) holds(is ratio) string {
	switch {
	case is.median <= b.most:
		return "yes"
	case is.low <= b.most:
		return "within noise"
	}
	return "no"
}

// growth writes what more of everything costs.
func (t *tables) growth(all *growth) {
	for _, each := range []struct {
		of   string
		rows []grown
	}{{"what", all.connections}, {"a password takes", all.slow}} {
		t.line("")
		t.head(each.of, "cores", "connections", "requests/s", "CPU us", "MiB")
		for _, row := range each.rows {
			t.row(row.name, strconv.Itoa(row.cores), strconv.Itoa(row.count), fmt.Sprintf("%.0f", row.perSecond), fmt.Sprintf("%.0f", row.cpu), fmt.Sprintf("%.0f", row.memory))
		}
	}
	t.line("")
	t.head("idle client over", "KiB each")
	for _, row := range all.idle {
		t.row(row.protocol, fmt.Sprintf("%.0f", row.each))
	}
}
