package page

import (
	"slices"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/config"
)

// end is the section of what callers are told, and when they are refused.
type end struct {
	config.Deprecation

	Steps []step // in the order of time
}

// step is something that happens at a time.
type step struct {
	Kind     string // "since", "brownout", "sunset"
	From, To time.Time
}

// shownBrownouts is how many of the next ones are shown.
const shownBrownouts = 5

func newEnd(now time.Time, d config.Deprecation) end {
	section := end{Deprecation: d}
	if !d.Since.IsZero() {
		section.Steps = append(section.Steps, step{Kind: "since", From: d.Since})
	}
	if schedule, err := adapter.NewSchedule(d.Brownouts); err == nil { // the configuration was checked
		for _, window := range schedule.Next(now, shownBrownouts) {
			section.Steps = append(section.Steps, step{"brownout", window.From, window.To})
		}
	}
	if !d.Sunset.IsZero() {
		section.Steps = append(section.Steps, step{Kind: "sunset", From: d.Sunset})
	}
	slices.SortStableFunc(section.Steps, func(a, b step) int { return a.From.Compare(b.From) })
	return section
}
