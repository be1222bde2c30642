package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/go-analyze/charts"
)

// draw writes the plots of a report.
func draw(dir string, measured report) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	if err := drawCPU(filepath.Join(dir, "cpu.svg"), measured.Results); err != nil {
		return err
	}
	if measured.Growth == nil {
		return nil
	}
	perSecond := func(row grown) float64 { return row.PerSecond }
	memory := func(row grown) float64 { return row.Memory }
	for _, each := range []struct {
		file, title string
		rows        []grown
		figure      func(grown) float64
	}{
		{"connections.svg", "Requests a second by connections", measured.Growth.Connections, perSecond},
		{"slow.svg", "Memory in MiB by calls that wait for ZITADEL", measured.Growth.Slow, memory},
	} {
		if err := drawGrowth(filepath.Join(dir, each.file), each.title, each.rows, each.figure); err != nil {
			return err
		}
	}
	return nil
}

const plotWidth, plotHeight = 900, 480

// drawCPU draws a bar for each target but downloads, whose cost is of another size.
func drawCPU(file string, results []result) error {
	var names []string
	var cpu []float64
	for _, each := range slices.Backward(results) {
		if each.CPU != 0 && each.P50 != 0 {
			names, cpu = append(names, each.Name), append(cpu, each.CPU)
		}
	}
	painter, err := charts.HorizontalBarRender([][]float64{cpu}, charts.SVGOutputOptionFunc(),
		charts.DimensionsOptionFunc(plotWidth, plotHeight), charts.SeriesShowLabel(true),
		charts.TitleTextOptionFunc("CPU for each request, in microseconds"), charts.YAxisLabelsOptionFunc(names))
	return write(file, painter, err)
}

// drawGrowth draws a line for each name and number of cores in rows.
func drawGrowth(file, title string, rows []grown, figure func(grown) float64) error {
	var names, counts []string
	var lines [][]float64
	for _, row := range rows {
		name := fmt.Sprintf("%s, GOMAXPROCS=%d", row.Name, row.Cores)
		if len(names) == 0 || names[len(names)-1] != name {
			names, lines = append(names, name), append(lines, nil)
		}
		last := len(lines) - 1
		lines[last] = append(lines[last], figure(row))
		if last == 0 {
			counts = append(counts, strconv.Itoa(row.Count))
		}
	}
	painter, err := charts.LineRender(lines, charts.SVGOutputOptionFunc(), charts.DimensionsOptionFunc(plotWidth, plotHeight),
		charts.TitleTextOptionFunc(title), charts.XAxisLabelsOptionFunc(counts), charts.LegendLabelsOptionFunc(names))
	return write(file, painter, err)
}

func write(file string, painter *charts.Painter, err error) error {
	if err != nil {
		return err
	}
	drawn, err := painter.Bytes()
	if err != nil {
		return err
	}
	return os.WriteFile(file, drawn, 0o600)
}
