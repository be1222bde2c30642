package page

import (
	"time"

	"zitadel-v1-adapter/internal/usage"
)

// verdict is the section that says whether v1 can go.
type verdict struct {
	usage.Verdict

	Known       bool         // the ledger could be read
	Month       usage.Active // the callers of the last 30 days
	Methods     int          // that they call
	Began       time.Time    // counting; zero: never
	Free        time.Time    // when v1 can go, if it stays quiet
	CallsPerDay string
	Sunset      time.Time
	Apart       []usage.Row // strangers and ZITADEL's own pages
}

// newVerdict needs the number of calls of the last few days, too.
func newVerdict(now time.Time, read snapshot, calls int64, sunset time.Time) verdict {
	v := verdict{
		Verdict: usage.NewVerdict(now, days*24*time.Hour, read.evidence), Known: !read.at.IsZero(), Month: read.evidence.Active,
		Methods: len(read.methods), Began: read.evidence.Began, CallsPerDay: callsPerDay(now, calls), Sunset: sunset, Apart: read.apart,
	}
	v.Free = later(v.Month.Last, v.Began).AddDate(0, 0, days+1)
	return v
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
