package usage

import (
	"encoding/csv"
	"io"
	"slices"
	"strconv"
	"time"

	"zitadel-v1-adapter/internal/printable"
)

// WriteCSV writes rows that were added up by some parts (none: all) as CSV, with a head. Of a caller
// it says the login name, and of a method what takes its place, if successor is not nil. Cells are no formulas to a spreadsheet,
// whatever clients call themselves.
func WriteCSV(out io.Writer, by []string, rows []Row, successor func(api, method string) string) error {
	if len(by) == 0 {
		by = Parts()
	}
	head := append(slices.Clone(by), "calls", "first", "last")
	hasCaller := slices.Contains(by, "caller")
	if hasCaller {
		head = append(head, "name")
	}
	hasMethod := successor != nil && slices.Contains(by, "api") && slices.Contains(by, "method")
	if hasMethod {
		head = append(head, "successor")
	}
	writer := csv.NewWriter(out)
	_ = writer.Write(head) // the writer keeps the error
	for _, row := range rows {
		cells := make([]string, 0, len(head))
		for _, name := range by {
			cells = append(cells, printable.Cell(row.Part(name)))
		}
		cells = append(cells, strconv.FormatInt(row.Calls, 10), row.First.Format(time.RFC3339), row.Last.Format(time.RFC3339))
		if hasCaller {
			cells = append(cells, printable.Cell(row.Name))
		}
		if hasMethod {
			cells = append(cells, successor(row.API, row.Method))
		}
		_ = writer.Write(cells)
	}
	writer.Flush()
	return writer.Error()
}
