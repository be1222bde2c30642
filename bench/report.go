package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// report is all that came of a run.
type report struct {
	Results []result  `json:"results"`
	Bars    []verdict `json:"bars"`
}

func writeJSON(out io.Writer, measured report) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(measured)
}

func writeTable(out io.Writer, measured report) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "WHAT\tCPU us\tTO REVERSEPROXY\tREQUESTS/s\tp50 us\tp99 us\tIDLE MiB\tLOADED MiB\tSTART ms")
	for _, each := range measured.Results {
		if each.CPU == 0 {
			fmt.Fprintf(table, "%s\t\t\t%.0f\t%.0f\t%.0f\t\t\t\n", each.Name, each.PerSecond, each.P50, each.P99)
			continue
		}
		fmt.Fprintf(table, "%s\t%.1f\t%.2f (%.2f-%.2f)\t%.0f\t%.0f\t%.0f\t%.1f\t%.1f\t%.0f\n", each.Name,
			each.CPU, each.Ratio, each.Low, each.High, each.PerSecond, each.P50, each.P99, each.Idle, each.Loaded, each.Start)
	}
	fmt.Fprintln(table, "\nCPU OF\tTO\tIS\tAT MOST\t")
	for _, each := range measured.Bars {
		holds := "holds"
		if !each.Holds {
			holds = "does not hold"
		}
		fmt.Fprintf(table, "%s\t%s\t%.2f\t%.2f\t%s\n", each.Of, each.To, each.Ratio, each.Most, holds)
	}
	return table.Flush()
}
