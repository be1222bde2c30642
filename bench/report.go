package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

func writeJSON(out io.Writer, results []result) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(results)
}

func writeTable(out io.Writer, results []result) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "WHAT\tCPU us\tTO REVERSEPROXY\tREQUESTS/s\tp50 us\tp99 us\tIDLE MiB\tLOADED MiB\tSTART ms")
	for _, each := range results {
		if each.CPU == 0 {
			fmt.Fprintf(table, "%s\t\t\t%.0f\t%.0f\t%.0f\t\t\t\n", each.Name, each.PerSecond, each.P50, each.P99)
			continue
		}
		fmt.Fprintf(table, "%s\t%.1f\t%.2f (%.2f-%.2f)\t%.0f\t%.0f\t%.0f\t%.1f\t%.1f\t%.0f\n", each.Name,
			each.CPU, each.Ratio, each.Low, each.High, each.PerSecond, each.P50, each.P99, each.Idle, each.Loaded, each.Start)
	}
	return table.Flush()
}
