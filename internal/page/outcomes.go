package page

import (
	"time"

	"zitadel-v1-adapter/internal/usage"
)

// allOutcomes are usage's, the successful one first.
func allOutcomes() []string {
	return []string{usage.OutcomeOK, usage.OutcomeRefused, usage.OutcomeBrownout, usage.OutcomeSunset, usage.OutcomeFailed}
}

// outcomes is the section of the calls that did not succeed in the last days.
type outcomes struct {
	Calls int64 // all
	Rows  []outcomeRow
}

// outcomeRow is an outcome that some calls had.
type outcomeRow struct {
	Outcome        string
	Calls, Callers int64
	Percent        string // of all calls
	Last           time.Time
}

func newOutcomes(rows []usage.Row) outcomes {
	var section outcomes
	for _, row := range rows {
		section.Calls += row.Calls
	}
	for _, outcome := range allOutcomes()[1:] {
		of, callers := outcomeRow{Outcome: outcome}, map[string]bool{}
		for _, row := range rows {
			if row.Outcome == outcome {
				of.Calls, of.Last, callers[row.Caller] = of.Calls+row.Calls, later(of.Last, row.Last), true
			}
		}
		if of.Calls > 0 {
			const all = 100
			of.Callers, of.Percent = int64(len(callers)), decimal(float64(of.Calls)/float64(section.Calls)*all)
			section.Rows = append(section.Rows, of)
		}
	}
	return section
}
