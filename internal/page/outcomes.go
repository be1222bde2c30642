package page

import (
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/usage"
)

// allOutcomes are usage's, the successful one first.
func allOutcomes() []string {
	return []string{adapter.OutcomeOK, adapter.OutcomeRefused, adapter.OutcomeBrownout, adapter.OutcomeSunset, adapter.OutcomeFailed}
}

// outcomes is the section of the calls that did not succeed in the last few days.
type outcomes struct {
	Calls int64 // all of these days
	Rows  []outcomeRow
}

// outcomeRow is an outcome that some calls had.
type outcomeRow struct {
	Outcome string
	Calls   int64
	Percent string // of all calls
	Last    time.Time
	Callers string // a link to them
}

func newOutcomes(now time.Time, daily []usage.Row) outcomes {
	var section outcomes
	first, byOutcome := startOf(now, fewDays).Format(time.DateOnly), map[string]outcomeRow{}
	for _, row := range daily {
		if row.Day < first {
			continue
		}
		section.Calls += row.Calls
		sum := byOutcome[row.Outcome]
		sum.Calls, sum.Last = sum.Calls+row.Calls, later(sum.Last, row.Last)
		byOutcome[row.Outcome] = sum
	}
	for _, outcome := range allOutcomes()[1:] {
		if row, ok := byOutcome[outcome]; ok {
			const all = 100
			row.Outcome, row.Percent = outcome, decimal(float64(row.Calls)/float64(section.Calls)*all)
			row.Callers = question{Query: outcome, Sort: "-calls"}.link()
			section.Rows = append(section.Rows, row)
		}
	}
	return section
}
