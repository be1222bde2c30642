package usage

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Answer is what a [Verdict] says of "can v1 go?".
type Answer string

// The answers. AnswerUnknown is neither: something is missing that the answer needs.
const (
	AnswerYes     Answer = "yes"
	AnswerNo      Answer = "no"
	AnswerUnknown Answer = "unknown"
)

// Evidence is what a ledger knows of the time that somebody asks for.
type Evidence struct {
	Coverage
	Active

	// Unwritten is the number of calls that the database did not take yet.
	Unwritten int64 `json:"unwritten,omitempty"`
}

// Verdict is whether v1 can go.
type Verdict struct {
	Answer Answer `json:"answer"`
	// Reasons say why, or what is missing, each in a sentence.
	Reasons []string `json:"reasons"`
}

// minute is how a Verdict says a time, all of which are in UTC.
const minute = "2006-01-02 15:04 UTC"

// NewVerdict judges by what a ledger knows: v1 can go if nobody called it for as long as quiet,
// while the ledger counted, and requests came through the adapter at all. Those who are
// [Apart] do not count.
func NewVerdict(now time.Time, quiet time.Duration, e Evidence) Verdict {
	var no, missing []string
	if e.Callers > 0 {
		atLeast := map[bool]string{true: "at least "}[e.AtLeast]
		no = append(no, fmt.Sprintf("%s%s called v1 in the last %s, the last time at %s", atLeast, plural(e.Callers, "caller"), Days(quiet), e.Last.Format(minute)))
	}
	if e.Unwritten > 0 {
		no = append(no, fmt.Sprintf("usage.store has not taken %s yet", plural(e.Unwritten, "call")))
	}
	switch age := now.Sub(e.Began); {
	case e.Began.IsZero():
		missing = append(missing, "nothing was counted yet")
	case age < quiet:
		no = append(no, fmt.Sprintf("counting began at %s and has to go on until %s", e.Began.Format(minute), e.Began.Add(quiet).Format(minute)))
	}
	if len(e.Gaps) > 0 {
		missing = append(missing, "no adapter counted on "+abridged(e.Gaps))
	}
	if e.Requests == 0 && !e.Began.IsZero() {
		missing = append(missing, fmt.Sprintf("no request at all came through the adapter in the last %s: is ZITADEL's traffic sent through it?", Days(quiet)))
	}
	switch {
	case len(no) > 0:
		return Verdict{AnswerNo, append(no, missing...)}
	case len(missing) > 0:
		return Verdict{AnswerUnknown, missing}
	}
	return Verdict{AnswerYes, []string{"nobody called v1 in the last " + Days(quiet)}}
}

// Days is a duration in days where it is some, such as "30d".
func Days(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return d.String()
}

// abridged names the first of many days.
func abridged(days []string) string {
	const most = 3
	if len(days) <= most {
		return strings.Join(days, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(days[:most], ", "), len(days)-most)
}

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.FormatInt(n, 10) + " " + what + "s"
}

// Join is the verdict on several ledgers: "no" of one is "no", and "yes" needs all.
func Join(verdicts []Verdict) Verdict {
	joined := Verdict{Answer: AnswerUnknown, Reasons: []string{"no ledger was asked"}}
	for i, v := range verdicts {
		switch {
		case i == 0:
			joined = v
		case v.Answer == joined.Answer:
			joined.Reasons = append(slices.Clone(joined.Reasons), v.Reasons...)
		case v.Answer == AnswerNo || joined.Answer == AnswerYes:
			joined = v
		}
	}
	slices.Sort(joined.Reasons)
	joined.Reasons = slices.Compact(joined.Reasons)
	return joined
}
