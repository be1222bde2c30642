package page

import (
	"strconv"
	"time"

	"zitadel-v1-adapter/internal/usage"
)

// outcome is what a call came to.
type outcome struct {
	ID, Name    string // ID is usage's
	Means, ToDo string
}

// outcomesInOrder are all of them, the best first.
func outcomesInOrder() []outcome {
	return []outcome{
		{ID: usage.OutcomeOK, Name: "ok"},
		{
			ID: usage.OutcomeRefused, Name: "refused",
			Means: "Refused in v1’s own words: no permission, a wrong token, a user that is not there, a password that the policy forbids; or too many calls with one token.",
			ToDo:  "Mostly the caller’s to mend. `code`, `error_id` and `caller` in the log say who and why; the rate is `limits.callerRate`.",
		},
		{
			ID: usage.OutcomeBrownout, Name: "brownout",
			Means: "Refused on purpose, in one of the times in `deprecation.brownouts`.",
			ToDo:  "Tell its callers that v1 ends. Who cannot move yet goes into `deprecation.exempt`.",
		},
		{
			ID: usage.OutcomeSunset, Name: "sunset",
			Means: "Refused on purpose: `deprecation.sunset` has passed.",
			ToDo:  "Tell its callers to use v2. Who cannot yet goes into `deprecation.exempt`.",
		},
		{
			ID: usage.OutcomeFailed, Name: "failed",
			Means: "ZITADEL or the adapter could not do it, or not in time. The caller was told if the outcome is unknown.",
			ToDo:  "Look at the breaker below, then at `cause` in the log’s lines of these calls. The command `check` says what of ZITADEL is not reached.",
		},
	}
}

// outcomes is the section of what did not go well.
type outcomes struct {
	Calls int64 // all
	Rows  []outcomeRow
}

// outcomeRow is an outcome that some calls had.
type outcomeRow struct {
	outcome

	Calls, Callers int64
	Share          string
	Last           moment
}

func newOutcomes(now time.Time, rows []usage.Row) outcomes {
	var section outcomes
	day := startOf(now, fewDays).Format(time.DateOnly)
	for _, row := range rows {
		if row.Day >= day {
			section.Calls += row.Calls
		}
	}
	for _, each := range outcomesInOrder()[1:] {
		found, last, who := outcomeRow{outcome: each}, time.Time{}, map[string]bool{}
		for _, row := range rows {
			if row.Day < day || row.Outcome != each.ID {
				continue
			}
			found.Calls += row.Calls
			who[row.Caller] = true
			if row.Last.After(last) {
				last = row.Last
			}
		}
		if found.Calls > 0 {
			found.Callers, found.Last, found.Share = int64(len(who)), momentOf(last), percent(found.Calls, section.Calls)
			section.Rows = append(section.Rows, found)
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
