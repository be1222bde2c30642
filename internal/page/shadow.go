package page

import (
	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/usage"
)

// shadow is the section of what shadow mode finds.
type shadow struct {
	On                                  bool
	Compared                            int64 // agrees or differs
	Agrees, Differs, Undecided, Dropped int64
	Differences                         []usage.ShadowRow
}

// shownDifferences is how many kinds of differences are shown; the log has all.
const shownDifferences = 20

func newShadow(on bool, rows []usage.ShadowRow) shadow {
	section := shadow{On: on}
	for _, row := range rows {
		switch row.Result {
		case adapter.ShadowAgrees:
			section.Agrees += row.Calls
		case adapter.ShadowUndecided:
			section.Undecided += row.Calls
		case adapter.ShadowDropped:
			section.Dropped += row.Calls
		case adapter.ShadowDiffers:
			section.Differs += row.Calls
			if len(section.Differences) < shownDifferences {
				section.Differences = append(section.Differences, row)
			}
		}
	}
	section.Compared = section.Agrees + section.Differs
	return section
}
