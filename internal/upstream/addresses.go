package upstream

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// lookupInterval is the time between DNS lookups while requests are sent.
	lookupInterval = 5 * time.Second
	// retention is how long an address counts as the host's after the last DNS answer
	// that contained it, and how long connections are used at least: they must not be
	// replaced because a DNS server returns only some addresses in each answer.
	retention = 30 * time.Second
	// cooldown is how long an address that could not be connected to is tried last.
	cooldown = 30 * time.Second
	// lookupTimeout is how long a new connection waits for DNS before it uses the
	// addresses of an earlier answer.
	lookupTimeout = time.Second
)

// addressSet holds the IP addresses of a host name, as DNS returned them over
// time, and which of them could not be connected to. It is safe for concurrent use.
type addressSet struct {
	host   string
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)

	mu         sync.Mutex
	lastAnswer []netip.Addr
	lookedUp   time.Time                // when the last lookup began in the background, or ended
	resolved   map[netip.Addr]time.Time // when an answer last contained an address; it is forgotten after retention
	sorted     []netip.Addr             // of resolved; never changed, only replaced
	failed     map[netip.Addr]time.Time // when connecting last failed, since it last succeeded
}

func newAddressSet(host string) *addressSet {
	return &addressSet{
		host: host, lookup: net.DefaultResolver.LookupNetIP,
		resolved: map[netip.Addr]time.Time{}, failed: map[netip.Addr]time.Time{},
	}
}

// current returns the addresses. If the last lookup is older than lookupInterval, it starts
// another one in the background. The first one is left to the first connection to the host,
// because behind an HTTP_PROXY there may be none.
func (s *addressSet) current() []netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sorted != nil && time.Since(s.lookedUp) >= lookupInterval {
		s.lookedUp = time.Now()
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), lookupInterval)
			defer cancel()
			_, _ = s.lookUp(ctx) // a failure is reported by the next connection's lookup
		}()
	}
	return s.sorted
}

// resolve looks the host up. If DNS does not answer within lookupTimeout, or fails
// other than by saying that the name does not exist, it returns the addresses of
// the last successful lookup.
func (s *addressSet) resolve(ctx context.Context) ([]netip.Addr, error) {
	s.mu.Lock()
	previous := s.lastAnswer
	s.mu.Unlock()
	if len(previous) == 0 {
		return s.lookUp(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	resolved, err := s.lookUp(ctx)
	failure, isDNS := errors.AsType[*net.DNSError](err)
	if err == nil || isDNS && failure.IsNotFound {
		return resolved, err
	}
	return previous, nil
}

// lookUp asks DNS. It adds the addresses of the answer, and removes those whose retention is over.
func (s *addressSet) lookUp(ctx context.Context) ([]netip.Addr, error) {
	answer, err := s.lookup(ctx, "ip", s.host)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.lookedUp = now
	if err != nil {
		return nil, err
	}
	for i := range answer {
		answer[i] = answer[i].Unmap()
		s.resolved[answer[i]] = now
	}
	maps.DeleteFunc(s.resolved, func(_ netip.Addr, at time.Time) bool { return now.Sub(at) >= retention })
	s.lastAnswer, s.sorted = answer, slices.SortedFunc(maps.Keys(s.resolved), netip.Addr.Compare)
	return answer, nil
}

// order returns the addresses, without duplicates, in the order in which to try
// them: those that failed within cooldown come last, the latest at the end; otherwise the
// family of the first address comes first, because the resolver sorts by RFC 6724; within
// a family, the addresses are sorted and rotated by offset, so that increasing
// offsets spread connections over all addresses. addresses must not be empty.
func (s *addressSet) order(addresses []netip.Addr, offset uint32) []netip.Addr {
	families := map[bool][]netip.Addr{} // by Is6
	for _, address := range slices.Compact(slices.SortedFunc(slices.Values(addresses), netip.Addr.Compare)) {
		families[address.Is6()] = append(families[address.Is6()], address)
	}
	var ordered []netip.Addr
	for _, isIPv6 := range []bool{addresses[0].Is6(), !addresses[0].Is6()} {
		if family := families[isIPv6]; len(family) > 0 {
			first := int(offset % uint32(len(family))) //nolint:gosec // small
			ordered = slices.Concat(ordered, family[first:], family[:first])
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.failed, func(_ netip.Addr, at time.Time) bool { return time.Since(at) >= cooldown })
	slices.SortStableFunc(ordered, func(a, b netip.Addr) int { return s.failed[a].Compare(s.failed[b]) })
	return ordered
}

// mark records that the failed addresses could not be connected to, and that alive, unless
// it is zero, could.
func (s *addressSet) mark(alive netip.Addr, failed []netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.failed, alive)
	for _, address := range failed {
		s.failed[address] = time.Now()
	}
}
