package page

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/config"
)

// view is all that the page shows, a section each, in this order.
type view struct {
	State    string // see Page.state
	At       moment
	Stale    bool // the store does not answer
	Shared   bool // there is a store
	Methods  []string
	Verdict  verdict
	Curve    curve
	Callers  callers
	Outcomes outcomes
	Shadow   shadow
	Now      present
	End      end
	Settings settings
	Version  string
	Started  moment
	Runs     string
}

func (p *Page) view(ctx context.Context, q question) view {
	known := p.look(ctx)
	now, inForce := p.config.Now(), p.settings.Load().Config
	at := known.at
	if at.IsZero() {
		at = now
	}
	return view{
		State: p.stateOf(known), At: momentOf(at), Stale: known.stale, Shared: inForce.Usage.Store != "", Methods: adapter.MethodNames(),
		Verdict:  newVerdict(now, p.started, known, inForce),
		Curve:    newCurve(now, known.rows),
		Callers:  newCallers(now, known, q),
		Outcomes: newOutcomes(now, known.rows),
		Shadow:   newShadow(inForce.Rollout.Shadow, p.config.Ledger.Shadows()),
		Now:      p.present(now),
		End:      newEnd(now, inForce.Deprecation),
		Settings: newSettings(inForce),
		Version:  p.config.Version, Started: momentOf(p.started), Runs: span(now.Sub(p.started)),
	}
}

// scope says what is counted.
func (v view) scope() string {
	who := ", by this adapter alone since it was started: without `usage.store` it counts in memory."
	if v.Shared {
		who = ", by all adapters that share `usage.store`."
	}
	return "Counted are calls of `" + strings.Join(v.Methods, "` and `") + "`" + who + " Other v1 calls pass through and are not counted."
}

// moment is a time for people and for machines.
type moment struct{ Machine, Text string }

// short is a moment in a table that says that its times are in UTC.
func (m moment) short() moment { return moment{m.Machine, strings.TrimSuffix(m.Text, " UTC")} }

func momentOf(at time.Time) moment {
	if at.IsZero() {
		return moment{}
	}
	at = at.UTC()
	return moment{at.Format(time.RFC3339), at.Format("2006-01-02 15:04") + " UTC"}
}

func dayOf(at time.Time) moment {
	day := at.UTC().Format(time.DateOnly)
	return moment{day, day}
}

// ago is how long ago a time was.
func ago(now, at time.Time) string {
	if now.Sub(at) < time.Minute {
		return "just now"
	}
	return span(now.Sub(at)) + " ago"
}

// span is a time in its largest unit.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return "less than a minute"
	case d < time.Hour:
		return plural(int64(d/time.Minute), "minute")
	case d < 2*day:
		return plural(int64(d/time.Hour), "hour")
	}
	return plural(int64(d/day), "day")
}

// daysUntil is in how many days a time comes. A day that has begun counts.
func daysUntil(now, at time.Time) int64 {
	const day = 24 * time.Hour
	return int64((at.Sub(now) + day - 1) / day)
}

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return count(n) + " " + what + "s"
}

// count is a number with commas.
func count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	var text strings.Builder
	for i, digit := range digits {
		if left := len(digits) - i; i > 0 && left%3 == 0 {
			text.WriteByte(',')
		}
		text.WriteRune(digit)
	}
	return text.String()
}

// prose is a text of the page's own, in which code stands between backticks.
func prose(text string) templ.Component {
	var html strings.Builder
	for i, part := range strings.Split(text, "`") {
		if part = templ.EscapeString(part); i%2 == 1 {
			part = "<code>" + part + "</code>"
		}
		html.WriteString(part)
	}
	return templ.Raw(html.String())
}

// settings is the section of the configuration in force.
type settings struct {
	Changed, All []config.Setting
}

func newSettings(inForce config.Config) settings {
	section := settings{All: config.Settings(inForce)}
	for _, each := range section.All {
		if each.Changed {
			section.Changed = append(section.Changed, each)
		}
	}
	return section
}
