package page

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/config"
)

// end is the section of what callers are told, and when they are refused.
type end struct {
	Steps     []step
	Concerned string // by brownouts, or ""
	Exempt    int64
	Nothing   bool // is set
}

// step is something that happens at a time.
type step struct {
	Mood       mood
	Name       string
	From, To   moment
	When, Text string
}

// shownBrownouts is how many of the next ones are shown.
const shownBrownouts = 5

func newEnd(now time.Time, d config.Deprecation) end {
	section := end{Nothing: d.Since.IsZero() && len(d.Brownouts) == 0, Exempt: int64(len(d.Exempt))}
	if !d.Since.IsZero() {
		section.Steps = append(section.Steps, step{
			Mood: moodNeutral, Name: "Deprecated since", From: momentOf(d.Since), When: until(now, d.Since),
			Text: "Every answer of a v1 method says so, in the headers `Deprecation` and `Warning`.",
		})
	}
	if schedule, err := adapter.NewSchedule(d.Brownouts); err == nil { // the configuration was checked
		for _, window := range schedule.Next(now, shownBrownouts) {
			section.Steps = append(section.Steps, brownout(now, window))
		}
		if len(d.Brownouts) > 0 {
			section.Concerned = concerned(d)
		}
	}
	if !d.Sunset.IsZero() {
		last := step{Mood: moodNeutral, Name: "Sunset", From: momentOf(d.Sunset), When: until(now, d.Sunset), Text: "Calls go on as before: `deprecation.afterSunset` is `serve`."}
		if d.AfterSunset == adapter.AfterSunsetRefuse {
			last.Mood, last.Text = moodWait, "From then on all calls are refused, with code 12 and HTTP 410."
		}
		section.Steps = append(section.Steps, last)
	}
	slices.SortStableFunc(section.Steps, func(a, b step) int { return strings.Compare(a.From.Machine, b.From.Machine) })
	return section
}

func brownout(now time.Time, window adapter.Window) step {
	s := step{Mood: moodNeutral, Name: "Brownout", From: momentOf(window.From), To: momentOf(window.To), When: until(now, window.From)}
	if !now.Before(window.From) {
		s.Mood, s.When, s.Text = moodWait, "now", "Calls are refused on purpose, with code 14 and HTTP 503."
	}
	return s
}

// until is how far away a time is.
func until(now, at time.Time) string {
	const days = 48 * time.Hour // from here on
	switch left := at.Sub(now); {
	case left >= days:
		return "in " + plural(daysUntil(now, at), "day")
	case left > 0:
		return "in " + span(at.Sub(now))
	}
	return ago(now, at)
}

// concerned is whom brownouts refuse.
func concerned(d config.Deprecation) string {
	switch {
	case len(d.BrownoutCallers) > 0:
		return "Brownouts refuse only the " + plural(int64(len(d.BrownoutCallers)), "caller") + " in `deprecation.brownoutCallers`."
	case d.BrownoutPercent < adapter.RolloutAll:
		return "Brownouts refuse " + strconv.Itoa(int(d.BrownoutPercent)) + "% of callers."
	}
	return "Brownouts refuse all callers."
}
