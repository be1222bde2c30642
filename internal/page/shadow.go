package page

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"zitadel-v1-adapter/adapter"
)

// comparison is what two answers were.
type comparison struct{ Method, Native, Verdict string }

// comparisons count what shadow mode finds. It is safe for concurrent use.
type comparisons struct {
	mu      sync.Mutex
	results map[string]int64
	differ  map[comparison]int64
	number  int // changes with the others
}

// maxDifferences is how many kinds of differences are told apart; the log has all.
const maxDifferences = 20

func (c *comparisons) add(found adapter.Shadow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.results == nil {
		c.results, c.differ = map[string]int64{}, map[comparison]int64{}
	}
	c.number++
	c.results[found.Result]++
	kind := comparison{found.Method, found.Native, found.Verdict}
	if found.Result == adapter.ShadowDiffers && (len(c.differ) < maxDifferences || c.differ[kind] > 0) {
		c.differ[kind]++
	}
}

// changes is another number once there is something new.
func (c *comparisons) changes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.number
}

// shadow is the section of what shadow mode finds.
type shadow struct {
	On                                  bool
	Judged                              int64 // agreed or differed
	Agrees, Differs, Undecided, Dropped int64
	Differences                         []differing
}

// differing is a kind of difference.
type differing struct {
	comparison

	Calls int64
}

func (c *comparisons) section(on bool) shadow {
	c.mu.Lock()
	defer c.mu.Unlock()
	section := shadow{
		On: on, Agrees: c.results[adapter.ShadowAgrees], Differs: c.results[adapter.ShadowDiffers],
		Undecided: c.results[adapter.ShadowUndecided], Dropped: c.results[adapter.ShadowDropped],
	}
	section.Judged = section.Agrees + section.Differs
	for kind, calls := range c.differ {
		section.Differences = append(section.Differences, differing{kind, calls})
	}
	slices.SortFunc(section.Differences, func(a, b differing) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), strings.Compare(a.Method+a.Native+a.Verdict, b.Method+b.Native+b.Verdict))
	})
	return section
}
