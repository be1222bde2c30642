package page

import (
	"strconv"
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
	Share          string
	Last           time.Time
}

func newOutcomes(now time.Time, rows []usage.Row) outcomes {
	var section outcomes
	found, callers := map[string]*outcomeRow{}, map[[2]string]bool{}
	day := startOf(now, fewDays).Format(time.DateOnly)
	for _, row := range rows {
		if row.Day < day {
			continue
		}
		section.Calls += row.Calls
		of := found[row.Outcome]
		if of == nil {
			of = &outcomeRow{Outcome: row.Outcome}
			found[row.Outcome] = of
		}
		of.Calls += row.Calls
		if caller := [2]string{row.Outcome, row.Caller}; !callers[caller] {
			callers[caller] = true
			of.Callers++
		}
		if row.Last.After(of.Last) {
			of.Last = row.Last
		}
	}
	for _, outcome := range allOutcomes()[1:] {
		if of := found[outcome]; of != nil {
			of.Share = percent(of.Calls, section.Calls)
			section.Rows = append(section.Rows, *of)
		}
	}
	return section
}

// percent is a share in words.
func percent(part, whole int64) string {
	const all = 100
	share := float64(part) / float64(whole) * all
	if share < 0.1 {
		return "< 0.1%"
	}
	return strconv.FormatFloat(share, 'f', 1, 64) + "%"
}
