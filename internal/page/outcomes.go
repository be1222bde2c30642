package page

import (
	"slices"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/usage"
)

// allOutcomes are usage's, the successful one first.
func allOutcomes() []string {
	return []string{adapter.OutcomeOK, adapter.OutcomeRefused, adapter.OutcomeBrownout, adapter.OutcomeSunset, adapter.OutcomeFailed}
}

// outcomes is the section of the calls that did not succeed in the last days.
type outcomes struct {
	Calls int64 // all
	Rows  []outcomeRow
}

// outcomeRow is an outcome that some calls had.
type outcomeRow struct {
	usage.Row

	Percent string // of all calls
}

func newOutcomes(rows []usage.Row) outcomes {
	var section outcomes
	for _, row := range rows {
		section.Calls += row.Calls
	}
	for _, outcome := range allOutcomes()[1:] {
		i := slices.IndexFunc(rows, func(row usage.Row) bool { return row.Outcome == outcome })
		if i >= 0 {
			const all = 100
			section.Rows = append(section.Rows, outcomeRow{rows[i], decimal(float64(rows[i].Calls) / float64(section.Calls) * all)})
		}
	}
	return section
}
