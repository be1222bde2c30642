package reference_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
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
	return c
}

func (s sample) names() string {
	names := make([]string, len(s.features))
	for i, feature := range s.features {
		names[i] = feature.name
	}
	return strings.Join(names, ", ")
}

// difference is a class of them.
type difference struct {
	count    int
	smallest sample
	lines    string
}

func TestRESTAsNative(t *testing.T)        { t.Parallel(); compareAll(t, restProtocol()) }
func TestGRPCAsNative(t *testing.T)        { t.Parallel(); compareAll(t, grpcProtocol()) }
func TestGRPCWebAsNative(t *testing.T)     { t.Parallel(); compareAll(t, webProtocol(false)) }
func TestGRPCWebTextAsNative(t *testing.T) { t.Parallel(); compareAll(t, webProtocol(true)) }

// compareAll sends random calls to native v1 and to the adapter. It reports each class of
// differences with its smallest call.
func compareAll(t *testing.T, p protocol) {
	t.Helper()
	to := start(t)
	samples := make(chan sample)
	go func() {
		defer close(samples)
		random := rand.New(rand.NewPCG(*seed, uint64(len(p.name))))
		for i := range *requests {
			s := sample{protocol: p, http2: random.IntN(2) == 0}
			for range min(i, 1+random.IntN(3)) { // the first is the usual call
				s.features = append(s.features, p.features(random))
			}
			samples <- s
		}
	}()
	found := map[string]*difference{}
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for s := range samples {
				for class, lines := range compare(t, to, s) {
					mu.Lock()
					known := found[class]
					if known == nil {
						known = &difference{smallest: s, lines: lines}
						found[class] = known
					}
					if known.count++; len(s.features) < len(known.smallest.features) {
						known.smallest, known.lines = s, lines
					}
					mu.Unlock()
				}
			}
		})
	}
	workers.Wait()
	report(t, to, p.name, found)
}

// compare returns the differences between the answers to a call, by class. Where native v1's
// answer is random, any of its answers will do.
func compare(t *testing.T, to sides, s sample) map[string]string {
	t.Helper()
	c := s.call()
	adapter := send(t, to.adapter, c)
	var first map[string]string
	for range 8 {
		found := differences(c, send(t, to.native, c), adapter)
		maps.DeleteFunc(found, func(class, _ string) bool { return isAccepted(class) })
		if first == nil {
			first = found
		}
		if len(found) == 0 {
			return nil
		}
	}
	return first
}

// report fails the test with each class of differences, the most frequent first.
func report(t *testing.T, to sides, name string, found map[string]*difference) {
	t.Helper()
	classes := make([]string, 0, len(found))
	for class := range found {
		classes = append(classes, class)
	}
	slices.SortFunc(classes, func(a, b string) int {
		if found[a].count != found[b].count {
			return found[b].count - found[a].count
		}
		return strings.Compare(a, b)
	})
	total := 0
	for i, class := range classes {
		each := found[class]
		total += each.count
		if i >= 80 {
			continue
		}
		shrink(t, to, class, each)
		t.Errorf("%s, %d times: %s\n  features: %s\n  request: %.1500s\n  %s", name, each.count, class,
			each.smallest.names(), each.smallest.call(), each.lines)
	}
	t.Logf("%s: %d requests, %d differences in %d classes", name, *requests, total, len(classes))
}

// shrink leaves out the features that a class does not need.
func shrink(t *testing.T, to sides, class string, each *difference) {
	t.Helper()
	for i := len(each.smallest.features) - 1; i >= 0; i-- {
		smaller := each.smallest
		smaller.features = slices.Delete(slices.Clone(smaller.features), i, i+1)
		if lines, again := compare(t, to, smaller)[class]; again {
			each.smallest, each.lines = smaller, lines
		}
	}
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
