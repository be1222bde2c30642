package check

import (
	"strings"
	"time"

	"zitadel-v1-adapter/adapter"
)

const (
	nameDeprecation = "what callers are told of v1's end"
	nameBrownouts   = "next brownouts"
)

// checkDeprecation says what the configuration tells callers, and when it refuses them.
func (c *checker) checkDeprecation(now time.Time) {
	told := c.Deprecation
	switch {
	case told.Since.IsZero():
		c.add(Result{
			Name: nameDeprecation, Status: Skipped, Detail: "nothing",
			Hint: "set deprecation.since, and deprecation.sunset once there is a date: then every answer of a v1 method says so",
		})
	case told.Sunset.IsZero():
		c.add(Result{Name: nameDeprecation, Status: OK, Detail: "deprecated since " + told.Since.Format(time.DateOnly) + ", no date for the end"})
	default:
		result := Result{Name: nameDeprecation, Status: OK, Detail: "ends on " + told.Sunset.Format(time.RFC3339)}
		if !now.Before(told.Sunset) {
			result.Status, result.Hint = Warning, "this has passed, and calls are served: set deprecation.afterSunset: refuse, or another date"
			if told.AfterSunset == adapter.AfterSunsetRefuse {
				result.Detail, result.Hint = "ended on "+told.Sunset.Format(time.RFC3339), "all calls are refused: is anything left to do for the adapter?"
			}
		}
		c.add(result)
	}
	if len(told.Brownouts) == 0 {
		return
	}
	const shown = 3
	schedule, err := adapter.NewSchedule(told.Brownouts)
	if err != nil { // the configuration was checked
		return
	}
	var windows []string
	for _, window := range schedule.Next(now, shown) {
		windows = append(windows, window.From.UTC().Format(time.RFC3339)+" to "+window.To.UTC().Format(time.RFC3339))
	}
	if len(windows) == 0 {
		c.add(Result{Name: nameBrownouts, Status: Warning, Detail: "none: all are over", Hint: "remove them from deprecation.brownouts, or add others"})
		return
	}
	c.add(Result{Name: nameBrownouts, Status: OK, Detail: strings.Join(windows, ", ")})
}
