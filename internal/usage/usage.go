// Package usage is the ledger of who still calls v1: how many calls each caller made a day,
// how, and with which outcome. It holds ids of users and organizations and the names of
// clients, and no password, token or message.
package usage

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"zitadel-v1-adapter/adapter"
)

// Key is what calls are counted by.
type Key struct {
	// Day is the day of the calls in UTC, such as "2027-01-31".
	Day string `json:"day"`
	// Method is the v1 method's name.
	Method string `json:"method"`
	// Caller is [adapter.Event].Caller; Others are all that there was no room for.
	Caller string `json:"caller"`
	// Organization is that of the calls, which the x-zitadel-orgid header named, or else the
	// caller's own.
	Organization string `json:"organization"`
	// Client is what the client says of itself in User-Agent or X-User-Agent.
	Client string `json:"client"`
	// Protocol is rest, grpc, grpc-web or grpc-web-text.
	Protocol string `json:"protocol"`
	// Way is "v2" for translated calls and "v1" for those of native v1.
	Way string `json:"way"`
	// Outcome is one of the Outcome constants.
	Outcome string `json:"outcome"`
}

// Others is the Key.Caller of calls whose callers the ledger had no room to tell apart.
const Others = "(others)"

// The values of Key.Outcome.
const (
	OutcomeOK       = "ok"
	OutcomeRefused  = "refused"  // in v1's words, or by limits.callerRate
	OutcomeFailed   = "failed"   // ZITADEL or the adapter could not do it, or too late
	OutcomeBrownout = "brownout" // refused by a brownout
	OutcomeSunset   = "sunset"   // refused after deprecation.sunset
)

// Row is what is known of a Key.
type Row struct {
	Key

	Calls int64     `json:"calls"`
	First time.Time `json:"first"` // of the calls, in UTC
	Last  time.Time `json:"last"`
}

// maxText is the length of the longest text in a Key, in bytes: clients choose some of them.
const maxText = 100

// rowOf is the row of one call.
func rowOf(event adapter.Event) Row {
	at := event.Started.UTC().Truncate(time.Millisecond)
	return Row{
		Key: Key{
			Day: at.Format(time.DateOnly), Method: event.Method, Caller: bounded(event.Caller), Organization: bounded(event.Organization),
			Client: bounded(event.UserAgent), Protocol: event.Protocol, Way: event.Route, Outcome: outcomeOf(event),
		},
		Calls: 1, First: at, Last: at,
	}
}

// bounded is a text that a database takes, of at most maxText bytes.
func bounded(text string) string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, ""))
}

func outcomeOf(event adapter.Event) string {
	switch event.RefusedBy {
	case adapter.RefusedByBrownout:
		return OutcomeBrownout
	case adapter.RefusedBySunset:
		return OutcomeSunset
	case adapter.RefusedByRate:
		return OutcomeRefused
	}
	switch event.Code {
	case "ok":
		return OutcomeOK
	case "unavailable", "deadline_exceeded", "internal", "unknown", "canceled", "data_loss", "aborted":
		return OutcomeFailed
	}
	status, err := strconv.Atoi(event.Code) // of REST answered by native v1
	switch {
	case err != nil:
		return OutcomeRefused
	case status == 0 || status >= 500: // 0: the client did not wait
		return OutcomeFailed
	case status >= 400:
		return OutcomeRefused
	}
	return OutcomeOK
}

// add counts the calls of another row of the same Key.
func (r *Row) add(other Row) {
	r.Calls += other.Calls
	if other.First.Before(r.First) {
		r.First = other.First
	}
	if other.Last.After(r.Last) {
		r.Last = other.Last
	}
}

// Merge adds up rows of equal keys, as those of several replicas, and sorts them: the latest
// day first, and within it the most calls.
func Merge(rows ...[]Row) []Row {
	byKey := map[Key]*Row{}
	for _, row := range slices.Concat(rows...) {
		if known := byKey[row.Key]; known != nil {
			known.add(row)
			continue
		}
		byKey[row.Key] = &row
	}
	merged := make([]Row, 0, len(byKey))
	for _, row := range byKey {
		merged = append(merged, *row)
	}
	slices.SortFunc(merged, func(a, b Row) int {
		return cmp.Or(cmp.Compare(b.Day, a.Day), cmp.Compare(b.Calls, a.Calls), compareKeys(a.Key, b.Key))
	})
	return merged
}

// compareKeys is one order of keys. All replicas write in it, so that none waits for a row
// of another that waits for its own.
func compareKeys(a, b Key) int {
	return cmp.Or(
		strings.Compare(a.Day, b.Day), strings.Compare(a.Caller, b.Caller), strings.Compare(a.Method, b.Method),
		strings.Compare(a.Organization, b.Organization), strings.Compare(a.Client, b.Client),
		strings.Compare(a.Protocol, b.Protocol), strings.Compare(a.Way, b.Way), strings.Compare(a.Outcome, b.Outcome))
}
