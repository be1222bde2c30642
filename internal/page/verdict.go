package page

import (
	"time"

	"zitadel-v1-adapter/internal/usage"
)

// verdict is the section that says whether v1 can go.
type verdict struct {
	Known       bool      // the ledger could be read
	Month, Week active    // the callers of the last 30 and 7 days
	Last        time.Time // call; zero: none
	Quiet       time.Time // since when nobody calls: Last, or when counting began
	Settled     bool      // counting began at least 30 days ago
	Free        time.Time // when nobody will have called for 30 days, if it stays quiet
	CallsPerDay string
	Sunset      time.Time
}

// active is how many callers there were in some days.
type active struct {
	Callers int64
	AtLeast bool // there may be more
}

func newVerdict(now, started time.Time, read snapshot, callsOfWeek int64, sunset time.Time) verdict {
	v := verdict{
		Known: !read.at.IsZero(), Month: activeSince(read.callers, startOf(now, days)), Week: activeSince(read.callers, startOf(now, fewDays)),
		CallsPerDay: callsPerDay(now, callsOfWeek), Sunset: sunset,
	}
	began := started // counting, as far as is known
	for _, caller := range read.callers {
		if caller.First.Before(began) {
			began = caller.First
		}
		v.Last = later(v.Last, caller.Last)
	}
	v.Quiet, v.Settled = v.Last, now.Sub(began) >= days*24*time.Hour
	if v.Last.IsZero() {
		v.Quiet = began
	}
	v.Free = v.Quiet.AddDate(0, 0, days+1)
	return v
}

func activeSince(callers map[string]usage.Span, since time.Time) (a active) {
	for name, caller := range callers {
		if !caller.Last.Before(since) {
			a.Callers++
			a.AtLeast = a.AtLeast || name == usage.Others
		}
	}
	return a
}

// callsPerDay is the mean of the last days.
func callsPerDay(now time.Time, calls int64) string {
	const exact, day = 10, 24 * time.Hour // from exact on, no decimal
	switch mean := float64(calls) / (float64(now.Sub(startOf(now, fewDays))) / float64(day)); {
	case calls == 0:
		return "0"
	case mean < exact:
		return decimal(mean)
	default:
		return count(int64(mean + 0.5)) //nolint:mnd // rounded
	}
}
