package page

import (
	"time"

	"zitadel-v1-adapter/adapter"
)

// health is the section of how this adapter is doing now.
type health struct {
	Breaker string
	Routes  []routeLatency
}

// routeLatency is how long the calls of a route take.
type routeLatency struct {
	Route    string
	Calls    int64
	P50, P99 time.Duration
}

func (p *Page) health(now time.Time) health {
	section := health{Breaker: p.config.Breaker().String()}
	const median, nearlyAll = 50, 99
	for _, route := range []string{adapter.RouteTranslated, adapter.RouteNative} {
		if took := p.recent.took(route, now.Add(-recentFor)); len(took) > 0 {
			section.Routes = append(section.Routes, routeLatency{route, int64(len(took)), quantile(took, median), quantile(took, nearlyAll)})
		}
	}
	return section
}
