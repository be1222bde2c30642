package page

import (
	"context"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/usage"
)

// view is the data of the page's templates, with a field for each section.
type view struct {
	State    string // see Page.state
	Now      time.Time
	At       time.Time // when the ledger was read
	Stale    bool      // the store does not answer
	Shared   bool      // there is a store
	Verdict  verdict
	Methods  methods
	Daily    daily
	Callers  callers
	Outcomes outcomes
	Shadow   shadow
	Health   health
	End      end
	Settings []config.Setting
	Changed  bool // some Settings are not the defaults
	Version  string
	Started  time.Time
}

func (p *Page) view(ctx context.Context, q question) view {
	reading := p.refresh() // beside the table of callers
	now, inForce := p.config.Now(), p.settings.Load().Config
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	callers, err := p.callers(asking, now, q)
	read := p.snapshot(ctx, reading)
	if err != nil {
		read.stale = true
	}
	at := read.at
	if at.IsZero() {
		at = now
	}
	settings, outcomes := config.Settings(inForce), newOutcomes(now, read.daily)
	return view{
		State: p.state(read), Now: now, At: at, Stale: read.stale, Shared: inForce.Usage.Store+inForce.Usage.StoreFile != "",
		Verdict:  newVerdict(now, read, outcomes.Calls, inForce.Deprecation.Sunset),
		Methods:  newMethods(read.methods, p.config.Successor),
		Daily:    newDaily(now, read.daily),
		Callers:  callers,
		Outcomes: outcomes,
		Shadow:   newShadow(inForce.Rollout.Shadow, p.config.Ledger.Shadows()),
		Health:   p.health(now),
		End:      newEnd(now, inForce.Deprecation),
		Settings: settings, Changed: slices.ContainsFunc(settings, func(s config.Setting) bool { return s.Changed }),
		Version: p.config.Version, Started: p.started,
	}
}

// functions are those of the templates.
func functions() template.FuncMap {
	return template.FuncMap{
		"ago": ago, "count": count, "daysUntil": daysUntil, "milliseconds": milliseconds, "plural": plural, "route": routeName, "span": span, "until": until,
		"day":          func(at time.Time) string { return at.UTC().Format(time.DateOnly) },
		"minute":       func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04") },
		"rfc3339":      func(at time.Time) string { return at.UTC().Format(time.RFC3339) },
		"int64":        func(n int) int64 { return int64(n) }, // for count and plural
		"shownCallers": func() int { return shownCallers },
	}
}

// routeName is who answered, in words.
func routeName(route string) string {
	switch route {
	case adapter.RouteNative:
		return "native v1"
	case usage.WayNone:
		return "the adapter"
	}
	return route
}

// ago is how long ago a time was.
func ago(now, at time.Time) string {
	if now.Sub(at) < time.Minute {
		return "just now"
	}
	return span(now.Sub(at)) + " ago"
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// until is how far away a time is.
func until(now, at time.Time) string {
	const exact = 48 * time.Hour // from here on in days, of which the last has begun
	switch left := at.Sub(now); {
	case left >= exact:
		return "in " + plural(daysUntil(now, at), "day")
	case left > 0:
		return "in " + span(left)
	}
	return ago(now, at)
}

// daysUntil is in how many days a time comes. A day that has begun counts.
func daysUntil(now, at time.Time) int64 {
	const day = 24 * time.Hour
	return int64((at.Sub(now) + day - 1) / day)
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

// decimal has one decimal, but for small numbers.
func decimal(f float64) string {
	if f < 0.1 {
		return "< 0.1"
	}
	return strconv.FormatFloat(f, 'f', 1, 64)
}

// milliseconds has three significant digits.
func milliseconds(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	const hundred, ten = 100, 10
	switch {
	case ms >= hundred:
		return count(int64(ms+0.5)) + " ms" //nolint:mnd // rounded
	case ms >= ten:
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	}
	return strconv.FormatFloat(ms, 'f', 2, 64) + " ms"
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
