package page

import (
	"strconv"
	"time"

	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/usage"
)

// mood is what a section means for whoever has to do something.
type mood string

const (
	moodGood    mood = "good"
	moodWait    mood = "wait"
	moodBad     mood = "bad"
	moodNeutral mood = "neutral"
)

// verdict is the section that says whether v1 can go.
type verdict struct {
	Mood        mood
	Title, Text string
	Figures     []figure
}

// figure is a number with its name.
type figure struct {
	Name, Value, Note string
	At                moment // in place of Note
}

// callersSince is how many callers there were since a time. atLeast is whether there may be
// more of them.
func callersSince(all map[string]usage.Span, since time.Time) (n int64, atLeast bool) {
	for caller, span := range all {
		if !span.Last.Before(since) {
			n++
			atLeast = atLeast || caller == usage.Others
		}
	}
	return n, atLeast
}

func newVerdict(now, started time.Time, known snapshot, inForce config.Config) verdict {
	v := judge(now, started, known)
	if known.at.IsZero() {
		return v
	}
	v.Figures = append(v.Figures,
		callersFigure(now, known, fewDays), callersFigure(now, known, days),
		figure{Name: "Calls a day", Value: callsADay(now, known.rows), Note: "on average of the last 7 days"})
	last := figure{Name: "Last call", Value: "never", Note: "as far as is known"}
	if at := lastCall(known); !at.IsZero() {
		last.Value, last.Note, last.At = ago(now, at), "", momentOf(at)
	}
	return v.with(last, sunsetFigure(now, inForce.Deprecation.Sunset))
}

func (v verdict) with(figures ...figure) verdict {
	v.Figures = append(v.Figures, figures...)
	return v
}

// judge says whether v1 can go.
func judge(now, started time.Time, known snapshot) verdict {
	last := lastCall(known)
	n, atLeast := callersSince(known.callers, startOf(now, days))
	few, _ := callersSince(known.callers, startOf(now, fewDays))
	who := plural(n, "caller")
	if atLeast {
		who = "at least " + who
	}
	since := started // when counting began, as far as is known
	for _, span := range known.callers {
		if span.First.Before(since) {
			since = span.First
		}
	}
	switch {
	case known.at.IsZero():
		return verdict{Mood: moodBad, Title: "Not known: the ledger cannot be read", Text: "`usage.store` does not answer. The adapter works without it, and counts in memory until it is back. The log says what is wrong."}
	case few > 0:
		return verdict{Mood: moodWait, Title: "Not yet: " + who + " still " + verb(n, "calls", "call") + " v1", Text: count(few) + " of them in the last 7 days. Once nobody has called for 30 days, v1 can go."}
	case n > 0:
		return verdict{Mood: moodNeutral, Title: "Nearly: nobody has called v1 for " + span(now.Sub(last)), Text: "If it stays quiet, v1 can go on " + clearOn(last) + "."}
	case now.Sub(since) < days*24*time.Hour:
		return verdict{
			Mood: moodNeutral, Title: "Quiet so far: nobody has called v1 since " + momentOf(since).Text,
			Text: "The ledger goes back no further, and some callers come once a month. If it stays quiet, v1 can go on " + clearOn(since) + ".",
		}
	case last.IsZero():
		last = since
	}
	return verdict{
		Mood: moodGood, Title: "Yes: nobody has called v1 for " + plural(int64(now.Sub(last)/(24*time.Hour)), "day"),
		Text: "Nobody has called v1 since " + momentOf(last).Text + ". As far as the methods counted here are concerned, it can go, and then the adapter too. Well done.",
	}
}

func verb(n int64, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// clearOn is the day on which nobody has called for 30 days, if nobody does.
func clearOn(last time.Time) string { return dayOf(last.AddDate(0, 0, days+1)).Text }

func lastCall(known snapshot) (last time.Time) {
	for _, span := range known.callers {
		if span.Last.After(last) {
			last = span.Last
		}
	}
	return last
}

func callersFigure(now time.Time, known snapshot, days int) figure {
	n, atLeast := callersSince(known.callers, startOf(now, days))
	f := figure{Name: "Callers, last " + strconv.Itoa(days) + " days", Value: count(n)}
	if atLeast {
		f.Value += "+"
	}
	return f
}

func callsADay(now time.Time, rows []usage.Row) string {
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

func sunsetFigure(now, sunset time.Time) figure {
	switch {
	case sunset.IsZero():
		return figure{Name: "Sunset", Value: "no date", Note: "is set in the configuration"}
	case now.Before(sunset):
		return figure{Name: "Days to sunset", Value: count(daysUntil(now, sunset)), At: momentOf(sunset)}
	}
	return figure{Name: "Sunset", Value: ago(now, sunset), At: momentOf(sunset)}
}
