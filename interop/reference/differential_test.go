package reference_test

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

var (
	requests = flag.Int("requests", 3000, "random requests of each protocol")
	seed     = flag.Uint64("seed", 1, "of the random requests")
)

// feature is one unusual thing in a call.
type feature struct {
	name  string
	apply func(c *call)
}

// protocol generates the calls of a protocol.
type protocol struct {
	name string
	base func(http2 bool) *call
	// features returns a random feature.
	features func(random *rand.Rand) feature
}

// sample is a base with features.
type sample struct {
	protocol protocol
	http2    bool
	features []feature
}

func (s sample) call() *call {
	c := s.protocol.base(s.http2)
	for _, feature := range s.features {
		feature.apply(c)
	}
	if c.http2 && strings.Contains(c.target, "/management/v1") {
		c.remove("Te") // see acceptedDifferences
	}
	return c
}

func (s sample) names() string {
	names := make([]string, len(s.features))
	for i, feature := range s.features {
		names[i] = feature.name
	}
	return strings.Join(names, ", ")
}

// kinds are the names of the features without their values.
func (s sample) kinds() string {
	kinds := make([]string, 0, len(s.features))
	for _, feature := range s.features {
		kind, _, _ := strings.Cut(feature.name, " \"")
		if value, isLine := strings.CutPrefix(feature.name, "\""); isLine {
			kind, _, _ = strings.Cut(value, ":")
		}
		kinds = append(kinds, digits.ReplaceAllString(kind, "#"))
	}
	return strings.Join(kinds, ", ")
}

var digits = regexp.MustCompile(`\d+`)

// cause is the smallest call that shows differences, and how often they were found.
type cause struct {
	count    int
	smallest sample
	// differences are by class.
	differences map[string]string
}

func TestRESTAsNative(t *testing.T)        { t.Parallel(); compareAll(t, restProtocol()) }
func TestGRPCAsNative(t *testing.T)        { t.Parallel(); compareAll(t, grpcProtocol()) }
func TestGRPCWebAsNative(t *testing.T)     { t.Parallel(); compareAll(t, webProtocol(false)) }
func TestGRPCWebTextAsNative(t *testing.T) { t.Parallel(); compareAll(t, webProtocol(true)) }

// comparison compares the answers of native v1 and of the adapter to the calls of a protocol.
type comparison struct {
	*testing.T

	to sides
	// known are the differences that the usual calls show already, by their classes.
	known map[string]string

	mu     sync.Mutex
	causes map[string]*cause
}

// compareAll sends random calls to native v1 and to the adapter. It reports each cause of
// differences with its smallest call.
func compareAll(t *testing.T, p protocol) {
	t.Helper()
	c := &comparison{T: t, to: start(t), causes: map[string]*cause{}}
	known := map[string]string{}
	for _, http2 := range []bool{false, true} {
		usual := sample{protocol: p, http2: http2}
		found := c.compare(usual)
		c.add(usual, found)
		maps.Copy(known, found)
	}
	c.known = known
	samples := make(chan sample)
	go func() {
		defer close(samples)
		random := rand.New(rand.NewPCG(*seed, uint64(len(p.name))))
		for range *requests {
			s := sample{protocol: p, http2: random.IntN(2) == 0}
			for range 1 + random.IntN(3) {
				s.features = append(s.features, p.features(random))
			}
			samples <- s
		}
	}()
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for s := range samples {
				c.explain(s)
			}
		})
	}
	workers.Wait()
	c.report(p.name)
}

// compare returns the differences between the answers to a call, by class. Where an answer is
// random, it is enough that the other side may give it.
func (c *comparison) compare(s sample) map[string]string {
	c.Helper()
	sent := s.call()
	var first map[string]string
	var adapter answer
	for attempt := range 20 {
		if attempt%5 == 0 {
			adapter = send(c.T, c.to.adapter, sent)
		}
		native := send(c.T, c.to.native, sent)
		found := differences(sent, native, adapter)
		maps.DeleteFunc(found, func(class, _ string) bool { return c.known[class] != "" || isAccepted(sent, class) })
		if len(found) == 0 {
			return nil
		}
		if first == nil {
			first = found
		}
		if strings.Contains(native.end+adapter.end, noEnd) {
			break
		}
	}
	return first
}

// explain adds the causes of the differences that a call shows: that of another outcome, or
// that of each class.
func (c *comparison) explain(s sample) {
	c.Helper()
	found := c.compare(s)
	explained := map[string]bool{}
	for _, class := range slices.Sorted(maps.Keys(found)) {
		if explained[class] {
			continue
		}
		smallest, differences := c.shrink(s, class, found)
		for each := range differences {
			explained[each] = true
		}
		c.add(smallest, differences)
	}
}

// shrink leaves out the features of a call without which it shows a class of differences
// still, or another outcome if the class is one.
func (c *comparison) shrink(s sample, class string, found map[string]string) (smallest sample, differences map[string]string) {
	c.Helper()
	for i := len(s.features) - 1; i >= 0 && len(s.features) > 1; i-- {
		smaller := s
		smaller.features = slices.Delete(slices.Clone(s.features), i, i+1)
		again := c.compare(smaller)
		persists := again[class] != ""
		for each := range again {
			persists = persists || isOutcome(class) && isOutcome(each)
		}
		if persists {
			s, found = smaller, again
		}
	}
	return s, found
}

// add counts a call by the kinds of its features and by its differences.
func (c *comparison) add(s sample, found map[string]string) {
	if len(found) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := fmt.Sprint(s.kinds(), " ", slices.Sorted(maps.Keys(found)))
	known := c.causes[key]
	if known == nil {
		known = &cause{smallest: s, differences: found}
		c.causes[key] = known
	}
	if known.count++; len(s.call().String()) < len(known.smallest.call().String()) {
		known.smallest, known.differences = s, found
	}
}

// report fails the test with each cause of differences, the most frequent first.
func (c *comparison) report(name string) {
	c.Helper()
	causes := slices.SortedFunc(maps.Values(c.causes), func(a, b *cause) int {
		return cmp.Or(len(a.smallest.features)-len(b.smallest.features), b.count-a.count, strings.Compare(a.smallest.names(), b.smallest.names()))
	})
	total := 0
	for _, each := range causes {
		total += each.count
		c.Errorf("%s, %d times: %.200s\n  %s\n  request: %.1500s", name, each.count, each.smallest.names(),
			strings.Join(slices.Sorted(maps.Values(each.differences)), "\n  "), each.smallest.call())
	}
	c.Logf("%s: %d requests, %d with differences, of %d causes", name, *requests, total, len(causes))
}

// choose returns a feature that is one of several at random.
func choose(random *rand.Rand, choices ...func() feature) feature {
	return choices[random.IntN(len(choices))]()
}

// header returns a function for choose: a header with one of the values.
func header(random *rand.Rand, name string, values ...string) func() feature {
	return func() feature {
		value := values[random.IntN(len(values))]
		return feature{fmt.Sprintf("%s: %q", name, value), func(c *call) { c.set(name, value) }}
	}
}
