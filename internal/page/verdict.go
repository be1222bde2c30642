package page

import (
	"strconv"
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

func newVerdict(now, started time.Time, read snapshot, sunset time.Time) verdict {
	v := verdict{
		Known: !read.at.IsZero(), Month: activeSince(read.callers, startOf(now, days)), Week: activeSince(read.callers, startOf(now, fewDays)),
		CallsPerDay: callsPerDay(now, read.rows), Sunset: sunset,
	}
	began := started // counting, as far as is known
	for _, caller := range read.callers {
		if caller.First.Before(began) {
			began = caller.First
		}
		if caller.Last.After(v.Last) {
			v.Last = caller.Last
		}
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

func callsPerDay(now time.Time, rows []usage.Row) string {
	since, calls := startOf(now, fewDays), int64(0)
	day := since.Format(time.DateOnly)
	for _, row := range rows {
		if row.Day >= day {
			calls += row.Calls
		}
	}
	const exact = 10 // less has a decimal
	mean := float64(calls) / (float64(now.Sub(since)) / float64(24*time.Hour))
	switch {
	case calls == 0:
		return "0"
	case mean < 0.1:
		return "< 0.1"
	case mean < exact:
		return strconv.FormatFloat(mean, 'f', 1, 64)
	}
	return count(int64(mean + 0.5)) //nolint:mnd // rounded
}
