package page

import (
	"slices"
	"sync"
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

// latency is how long a call took.
type latency struct {
	at    time.Time // the call's end
	took  time.Duration
	route string
}

const (
	// maxRecent is the number of calls that are kept.
	maxRecent = 2048
	// recentFor is how long a call counts.
	recentFor = 15 * time.Minute
)

// recent keeps the last calls. It is safe for concurrent use.
type recent struct {
	mu    sync.Mutex
	calls [maxRecent]latency
	next  int
}

func (r *recent) add(call latency) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls[r.next%maxRecent] = call
	r.next++
}

// took returns how long a route's calls took that ended since a time, the shortest first.
func (r *recent) took(route string, since time.Time) []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	var took []time.Duration
	for _, call := range r.calls[:min(r.next, maxRecent)] {
		if call.route == route && !call.at.Before(since) {
			took = append(took, call.took)
		}
	}
	slices.Sort(took)
	return took
}

// quantile is the smallest of sorted times such that percent of them are at most that long.
func quantile(sorted []time.Duration, percent int) time.Duration {
	const all = 100
	return sorted[(len(sorted)*percent+all-1)/all-1]
}
