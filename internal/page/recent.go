package page

import (
	"slices"
	"sync"
	"time"
)

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
