package usage_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/usage"
)

// "Yes" needs a ledger that is old enough and has no gaps, requests, and no callers.
func TestVerdict(t *testing.T) {
	t.Parallel()
	const day, quiet = 24 * time.Hour, 30 * 24 * time.Hour
	now := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	called := func(callers int64, atLeast bool) usage.Active {
		return usage.Active{Callers: callers, AtLeast: atLeast, Calls: 3, Last: now.Add(-day)}
	}
	counted := func(began time.Duration, requests int64, gaps ...string) usage.Coverage {
		return usage.Coverage{Began: now.Add(-began), Requests: requests, Gaps: gaps}
	}
	healthy := counted(50*day, 1000)
	for name, test := range map[string]struct {
		evidence usage.Evidence
		want     usage.Answer
		reason   string
	}{
		"quiet":                 {usage.Evidence{Coverage: healthy}, usage.AnswerYes, "nobody called v1 in the last 30d"},
		"a caller":              {usage.Evidence{Coverage: healthy, Active: called(1, false)}, usage.AnswerNo, "1 caller called v1 in the last 30d, the last time at 2027-02-28 12:00 UTC"},
		"callers without names": {usage.Evidence{Coverage: healthy, Active: called(2, true)}, usage.AnswerNo, "at least 2 callers called"},
		"not written":           {usage.Evidence{Coverage: healthy, Unwritten: 1}, usage.AnswerNo, "usage.store has not taken 1 call yet"},
		"young":                 {usage.Evidence{Coverage: counted(time.Minute, 9)}, usage.AnswerNo, "counting began at 2027-03-01 11:59 UTC and has to go on until 2027-03-31 11:59 UTC"},
		"a day too young":       {usage.Evidence{Coverage: counted(29*day, 9)}, usage.AnswerNo, "counting began"},
		"empty":                 {usage.Evidence{}, usage.AnswerUnknown, "nothing was counted yet"},
		"gaps":                  {usage.Evidence{Coverage: counted(50*day, 9, "2027-02-03", "2027-02-04", "2027-02-05", "2027-02-06")}, usage.AnswerUnknown, "no adapter counted on 2027-02-03, 2027-02-04, 2027-02-05 and 1 more"},
		"no traffic":            {usage.Evidence{Coverage: counted(50*day, 0)}, usage.AnswerUnknown, "no request at all came through the adapter in the last 30d"},
		"a caller and a gap":    {usage.Evidence{Coverage: counted(50*day, 9, "2027-02-03"), Active: called(1, false)}, usage.AnswerNo, "no adapter counted on 2027-02-03"},
	} {
		got := usage.NewVerdict(now, quiet, test.evidence)
		if got.Answer != test.want || !slices.ContainsFunc(got.Reasons, func(reason string) bool { return strings.HasPrefix(reason, test.reason) }) {
			t.Errorf("%s: got %+v, want %s: %s", name, got, test.want, test.reason)
		}
	}
}

// Of several ledgers, one that says no is enough, and yes needs all.
func TestVerdictsAreJoined(t *testing.T) {
	t.Parallel()
	yes := usage.Verdict{Answer: usage.AnswerYes, Reasons: []string{"quiet"}}
	no, unknown := usage.Verdict{Answer: usage.AnswerNo, Reasons: []string{"called"}}, usage.Verdict{Answer: usage.AnswerUnknown, Reasons: []string{"gap"}}
	other := usage.Verdict{Answer: usage.AnswerNo, Reasons: []string{"also called"}}
	for name, test := range map[string]struct {
		of   []usage.Verdict
		want usage.Answer
		why  string
	}{
		"none": {nil, usage.AnswerUnknown, "no ledger was asked"}, "one": {[]usage.Verdict{yes}, usage.AnswerYes, "quiet"},
		"all yes": {[]usage.Verdict{yes, yes}, usage.AnswerYes, "quiet"}, "one no": {[]usage.Verdict{yes, no, unknown}, usage.AnswerNo, "called"},
		"two no": {[]usage.Verdict{no, yes, other}, usage.AnswerNo, "also called, called"}, "one unknown": {[]usage.Verdict{unknown, yes}, usage.AnswerUnknown, "gap"},
		"unknown last": {[]usage.Verdict{yes, unknown}, usage.AnswerUnknown, "gap"},
	} {
		if got := usage.Join(test.of); got.Answer != test.want || strings.Join(got.Reasons, ", ") != test.why {
			t.Errorf("%s: got %+v, want %s: %s", name, got, test.want, test.why)
		}
	}
}
