package page

import (
	"slices"
	"sync"
	"time"
)

// call is how long a call took.
type call struct {
	at   time.Time // its end
	took time.Duration
	way  string
}

const (
	// remembered is how many calls are.
	remembered = 2048
	// recently is how long a call counts.
	recently = 15 * time.Minute
)

// recent are the last calls. It is safe for concurrent use.
type recent struct {
	mu    sync.Mutex
	calls [remembered]call
	next  int
}

func (r *recent) add(each call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls[r.next%remembered] = each
	r.next++
}

// took are the times that calls of a way took that ended since a time, the shortest first.
func (r *recent) took(way string, since time.Time) []time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	var took []time.Duration
	for _, each := range r.calls[:min(r.next, remembered)] {
		if each.way == way && !each.at.Before(since) {
			took = append(took, each.took)
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
