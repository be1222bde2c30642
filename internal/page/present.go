package page

import (
	"strconv"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/v2client"
)

// present is the section of how this adapter does now.
type present struct {
	Mood          mood
	Breaker, Text string
	Ways          []latency
}

// latency is how long calls of a way take.
type latency struct {
	Way      string
	Calls    int64
	P50, P99 string
}

func (p *Page) present(now time.Time) present {
	section := present{Mood: moodGood, Breaker: p.config.Breaker().String()}
	switch p.config.Breaker() {
	case v2client.BreakerClosed:
		section.Text = "Calls go to ZITADEL."
	case v2client.BreakerHalfOpen:
		section.Mood, section.Text = moodWait, "The adapter asks ZITADEL whether it is there. Calls wait for the answer."
	case v2client.BreakerOpen:
		section.Mood, section.Text = moodBad, "ZITADEL does not answer, so calls are refused at once. It goes on by itself when ZITADEL is back: look at ZITADEL and its database first."
	}
	const median, nearlyAll = 50, 99
	for _, way := range []string{adapter.RouteTranslated, adapter.RouteNative} {
		took := p.recent.took(way, now.Add(-recently))
		if len(took) > 0 {
			section.Ways = append(section.Ways, latency{wayName(way), int64(len(took)), milliseconds(quantile(took, median)), milliseconds(quantile(took, nearlyAll))})
		}
	}
	return section
}

// milliseconds has three digits that count.
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
