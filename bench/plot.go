package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/go-analyze/charts"
)

const plotWidth, plotHeight = 900, 480

// draw writes the plots of what was measured as there was more of everything.
func draw(dir string, all *growth) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	perSecond := func(row grown) float64 { return row.perSecond }
	memory := func(row grown) float64 { return row.memory }
	return errors.Join(
		drawGrowth(filepath.Join(dir, "connections.svg"), "Requests a second by connections", all.connections, perSecond),
		drawGrowth(filepath.Join(dir, "slow.svg"), "Memory in MiB by calls that wait for ZITADEL", all.slow, memory))
}

// drawGrowth draws a line for each name and number of cores in rows.
func drawGrowth(file, title string, rows []grown, figure func(grown) float64) error {
	var names, counts []string
	var lines [][]float64
	for _, row := range rows {
		name := fmt.Sprintf("%s, GOMAXPROCS=%d", row.name, row.cores)
		if len(names) == 0 || names[len(names)-1] != name {
			names, lines = append(names, name), append(lines, nil)
		}
		last := len(lines) - 1
		lines[last] = append(lines[last], figure(row))
		if last == 0 {
			counts = append(counts, strconv.Itoa(row.count))
		}
	}
	painter, err := charts.LineRender(lines, charts.SVGOutputOptionFunc(), charts.DimensionsOptionFunc(plotWidth, plotHeight),
		charts.TitleTextOptionFunc(title), charts.XAxisLabelsOptionFunc(counts), charts.LegendLabelsOptionFunc(names))
	if err != nil {
		return err
	}
	drawn, err := painter.Bytes()
	if err != nil {
		return err
	}
	return os.WriteFile(file, drawn, 0o600)
}
