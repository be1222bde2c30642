package adapter

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/adhocore/gronx"

	"zitadel-v1-adapter/internal/duration"
)

// Schedule is one-off and recurring windows of time. It is safe for concurrent use.
type Schedule struct{ windows []recurring }

// Window is a time from From until just before To.
type Window struct{ From, To time.Time }

// recurring is one window, or those that a cron expression has begin.
type recurring struct {
	once   Window // if cron is ""
	cron   string
	length time.Duration
}

// NewSchedule reads windows: "FROM/TO", two times in RFC 3339, or "CRON for DURATION", a cron
// expression of five fields, in UTC, and how long a window lasts that begins then, such as
// "0 9 * * 1 for 1h". The error names the configuration key and the text.
func NewSchedule(texts []string) (*Schedule, error) {
	schedule := new(Schedule)
	var mistakes []error
	for _, text := range texts {
		window, err := parseWindow(text)
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("deprecation.brownouts: %q: %w", text, err))
		}
		schedule.windows = append(schedule.windows, window)
	}
	if schedule.isEndless(time.Now()) {
		mistakes = append(mistakes, errors.New("deprecation.brownouts: they never end, each begins before the one before it is over: use shorter durations"))
	}
	return schedule, errors.Join(mistakes...)
}

// isEndless reports whether recurring windows leave no gap for a year, or as many of them as a week
// has minutes.
func (s *Schedule) isEndless(now time.Time) bool {
	const year, most = 366 * duration.Day, 7 * 24 * 60
	again := Schedule{slices.DeleteFunc(slices.Clone(s.windows), func(each recurring) bool { return each.cron == "" })}
	at := now
	for count := 0; count < most && at.Sub(now) < year; count++ {
		window, ok := again.At(at)
		if !ok {
			return false
		}
		at = window.To
	}
	return true
}

// maxWindow is the longest that a recurring window may last.
const maxWindow = 7 * duration.Day

func parseWindow(text string) (recurring, error) {
	if cron, length, found := strings.Cut(text, " for "); found {
		lasts, err := duration.Parse(strings.TrimSpace(length))
		cron = strings.TrimSpace(cron)
		switch {
		case err != nil || lasts <= 0 || lasts > maxWindow:
			return recurring{}, errors.New("use a duration up to 7d after for, such as 1h")
		case len(strings.Fields(cron)) != 5 || !gronx.IsValid(cron):
			return recurring{}, errors.New(`use five fields of a cron expression before for, such as "0 9 * * 1" for Mondays at 9:00 UTC`)
		}
		return recurring{cron: cron, length: lasts}, nil
	}
	begin, end, _ := strings.Cut(text, "/")
	from, fromErr := time.Parse(time.RFC3339, begin)
	to, toErr := time.Parse(time.RFC3339, end)
	switch {
	case fromErr != nil || toErr != nil:
		return recurring{}, errors.New(`use two times such as 2027-01-11T09:00:00Z/2027-01-11T10:00:00Z, or a cron expression and a duration such as "0 9 * * 1 for 1h"`)
	case !to.After(from):
		return recurring{}, errors.New("TO is before FROM, or the same: write the beginning first")
	}
	return recurring{once: Window{from, to}}, nil
}

// next is the window that holds a time, or else the first after it; false if there is none.
func (r recurring) next(now time.Time) (Window, bool) {
	if r.cron == "" {
		return r.once, now.Before(r.once.To)
	}
	from, err := gronx.NextTickAfter(r.cron, now.UTC().Add(-r.length), false)
	return Window{from, from.Add(r.length)}, err == nil
}

// At is the window that holds a time; false if none does. Of several it is the one that ends
// last.
func (s *Schedule) At(now time.Time) (last Window, ok bool) {
	for _, each := range s.windows {
		window, isAhead := each.next(now)
		if isAhead && !now.Before(window.From) && window.To.After(last.To) {
			last, ok = window, true
		}
	}
	return last, ok
}

// Next are the first windows that end after a time, in order, up to count.
func (s *Schedule) Next(now time.Time, count int) []Window {
	var all []Window
	for _, each := range s.windows {
		at := now
		for range count {
			window, ok := each.next(at)
			if !ok {
				break
			}
			all, at = append(all, window), window.To
		}
	}
	slices.SortFunc(all, func(a, b Window) int { return cmp.Or(a.From.Compare(b.From), a.To.Compare(b.To)) })
	all = slices.Compact(all)
	return all[:min(count, len(all))]
}
