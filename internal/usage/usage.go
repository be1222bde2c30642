// Package usage is the ledger of who still calls ZITADEL's deprecated APIs: how many calls each
// caller made a day, of which method, how, and with which outcome. It holds ids of users and
// organizations, login names, and the names of clients, and no password, token or message.
//
// A [Ledger] counts, a [Store] keeps what it counted in a database and adds it up, and a
// [Verdict] says whether v1 can go. What clients choose is bounded: README's figures are in
// docs/operations.md.
package usage

import (
	"cmp"
	"strings"
	"time"

	"zitadel-v1-adapter/adapter"
)

// Key is what calls are counted by.
type Key struct {
	// Day is the day of the calls in UTC, such as "2027-01-31", or a month, such as "2027-01",
	// of calls that were folded.
	Day string `json:"day,omitempty"`
	// Caller is the id of the user who called, or "token:" and a hash, or one of the
	// Caller constants.
	Caller string `json:"caller,omitempty"`
	// API is the deprecated API, such as "management".
	API string `json:"api,omitempty"`
	// Method is the method's name.
	Method string `json:"method,omitempty"`
	// Organization is the one that the x-zitadel-orgid header named, or else the caller's own.
	Organization string `json:"organization,omitempty"`
	// Client is what the client says of itself in User-Agent or X-User-Agent.
	Client string `json:"client,omitempty"`
	// Protocol is rest, grpc, grpc-web or grpc-web-text.
	Protocol string `json:"protocol,omitempty"`
	// Way is "v2" for translated calls, "v1" for those of native v1, and WayNone for those that
	// neither answered.
	Way string `json:"way,omitempty"`
	// Outcome is one of adapter's Outcome constants.
	Outcome string `json:"outcome,omitempty"`
}

// The values of Key.Caller that are no callers' names.
const (
	// CallerStranger is everybody without a token, or with one that ZITADEL does not take.
	CallerStranger = "(no valid token)"
	// CallerZITADEL is ZITADEL's own console and login pages.
	CallerZITADEL = "(ZITADEL's own)"
	// CallerOthers is all callers whom the ledger had no room to tell apart.
	CallerOthers = "(others)"
	// CallerOldTokens is all callers of whom only the token was known, some days ago.
	CallerOldTokens = "(tokens)"
)

// Apart are the callers whom no team can move: strangers, whose calls fail anyway, and ZITADEL's own
// pages, which ZITADEL moves. They are no reason against the end of v1.
func Apart() []string { return []string{CallerStranger, CallerZITADEL} }

// columns are the values of the table's key, in its order.
func (k Key) columns() []any {
	return []any{k.Day, k.Caller, k.API, k.Method, k.Organization, k.Client, k.Protocol, k.Way, k.Outcome}
}

// IsNamed reports whether Caller is an id or a hash, and none of the constants.
func (k Key) IsNamed() bool { return !strings.HasPrefix(k.Caller, "(") }

// Others is the Client and the Organization of calls that differ from too many others of the
// same caller, method and day.
const Others = "(others)"

// WayNone is Key.Way of calls that neither v2 nor native v1 answered.
const WayNone = "none"

// Row is what is known of a Key.
type Row struct {
	Key

	// Name is the caller's login name, where rows are told apart by callers and it is known.
	Name  string `json:"name,omitempty"`
	Calls int64  `json:"calls"`
	// Callers is how many callers made them, of rows that were added up.
	Callers int64     `json:"callers,omitempty"`
	First   time.Time `json:"first"` // of the calls, in UTC
	Last    time.Time `json:"last"`
}

// maxText is the length of the longest text in a Key, in bytes: clients choose some of them.
const maxText = 100

// rowOf is the row of one call.
func rowOf(event adapter.Event) Row {
	at := event.Started.UTC().Truncate(time.Millisecond)
	row := Row{Key: Key{Day: at.Format(time.DateOnly), API: event.API, Method: event.Method}, Calls: 1, First: at, Last: at}
	switch {
	case event.Caller == "" || event.Code == "unauthenticated" || event.Code == "401":
		row.Caller = CallerStranger // and nothing else: strangers choose what they send
	case event.ZITADEL != "":
		row.Caller, row.Client, row.Outcome = CallerZITADEL, event.ZITADEL, event.Outcome()
	default:
		row.Caller, row.Organization, row.Client = bounded(event.Caller), bounded(event.Organization), bounded(event.UserAgent)
		row.Protocol, row.Way, row.Outcome, row.Name = event.Protocol, wayOf(event), event.Outcome(), bounded(event.LoginName)
	}
	return row
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

func wayOf(event adapter.Event) string {
	if event.RefusedBy != "" {
		return WayNone
	}
	return event.Route
}

// add counts the calls of another row of the same Key.
func (r *Row) add(other Row) {
	r.Calls += other.Calls
	r.Callers += other.Callers
	r.Name = cmp.Or(other.Name, r.Name)
	if other.First.Before(r.First) {
		r.First = other.First
	}
	if other.Last.After(r.Last) {
		r.Last = other.Last
	}
}

// compareKeys is one order of keys. All replicas write in it, so that none waits for a row
// of another that waits for its own.
func compareKeys(a, b Key) int {
	return cmp.Or(
		strings.Compare(a.Day, b.Day), strings.Compare(a.Caller, b.Caller), strings.Compare(a.API, b.API), strings.Compare(a.Method, b.Method),
		strings.Compare(a.Organization, b.Organization), strings.Compare(a.Client, b.Client),
		strings.Compare(a.Protocol, b.Protocol), strings.Compare(a.Way, b.Way), strings.Compare(a.Outcome, b.Outcome))
}

// withoutDetail is the key of the calls that could not be told apart.
func (k Key) withoutDetail() Key {
	return Key{Day: k.Day, Caller: CallerOthers, API: k.API, Method: k.Method, Way: k.Way, Outcome: k.Outcome}
}
