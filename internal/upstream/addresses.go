package upstream

import (
	"bytes"
	"cmp"
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
	// lookupInterval is the longest time between two DNS lookups of a host name
	// while requests are sent to it.
	lookupInterval = 5 * time.Second
	// retention is how long an address still counts as one of the host's after the
	// last DNS answer that contained it, and the shortest time between two
	// generations: some DNS servers return only some of many addresses in each
	// answer, and connections must not be replaced because of that.
	retention = 30 * time.Second
	// cooldown is how long an address that could not be connected to is tried only
	// after all other addresses.
	cooldown = 30 * time.Second
	// lookupTimeout is how long a new connection waits for DNS before it uses the
	// addresses of an earlier answer.
	lookupTimeout = time.Second
)

// addressSet holds the IP addresses of a host name, as DNS returned them over
// time, and which of them could not be connected to. It is safe for concurrent use.
type addressSet struct {
	host   string
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)

	mu         sync.Mutex
	known      map[netip.Addr]addressState
	lastAnswer []netip.Addr // the addresses of the last successful lookup
	// generation counts the changes of known that Transports act on; 0 before the
	// first lookup. generated is when it last changed, and changed whether known
	// has changed since then.
	generation int
	generated  time.Time
	changed    bool
	lookedUp   time.Time // when the last lookup ended, successful or not
	lookingUp  bool      // whether a lookup in the background is running
}

type addressState struct {
	resolved time.Time // when a DNS answer last contained the address
	failed   time.Time // when connecting last failed; zero once it succeeds
}

// newAddressSet returns the address set of a host name, or nil if host is an IP
// address, which needs no DNS.
func newAddressSet(host string) *addressSet {
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	return &addressSet{host: host, known: map[netip.Addr]addressState{}, lookup: func(ctx context.Context, host string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}}
}

// current returns the generation of the set, which increases after the set has
// changed, and the number of addresses. If the last lookup is older than
// lookupInterval, it starts another one in the background. It never starts the
// first one: that is left to the first connection to the host, because behind a
// proxy (HTTP_PROXY) the host may never be connected to.
func (s *addressSet) current() (generation, count int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.generation > 0 && !s.lookingUp && time.Since(s.lookedUp) >= lookupInterval {
		s.lookingUp = true
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
			defer cancel()
			_, _ = s.lookUp(ctx) // a failure is reported by the next connection's lookup
			s.mu.Lock()
			defer s.mu.Unlock()
			s.lookingUp = false
		}()
	}
	return s.generation, len(s.known)
}

// resolve looks the host up. If DNS does not answer within lookupTimeout, or fails
// other than by saying that the name does not exist, it returns the addresses of
// the last successful lookup.
func (s *addressSet) resolve(ctx context.Context) ([]netip.Addr, error) {
	previous := s.previousAnswer()
	if len(previous) == 0 {
		return s.lookUp(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	resolved, err := s.lookUp(ctx)
	if err != nil && !isNotFound(err) {
		return previous, nil
	}
	return resolved, err
}

// lookUp asks DNS and records the answer.
func (s *addressSet) lookUp(ctx context.Context) ([]netip.Addr, error) {
	resolved, err := s.lookup(ctx, s.host)
	for i := range resolved {
		resolved[i] = resolved[i].Unmap()
	}
	s.record(resolved, err)
	return resolved, err
}

// isNotFound reports whether DNS answered that the name does not exist.
func isNotFound(err error) bool {
	failure, ok := errors.AsType[*net.DNSError](err)
	return ok && failure.IsNotFound
}

func (s *addressSet) previousAnswer() []netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lastAnswer)
}

// record adds the addresses of a DNS answer, removes those whose retention is over,
// and begins a new generation if the set has changed. After a failed lookup it only
// notes the time.
func (s *addressSet) record(resolved []netip.Addr, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.lookedUp = now
	if err != nil {
		return
	}
	s.lastAnswer = slices.Clone(resolved)
	for _, address := range resolved {
		state, ok := s.known[address]
		s.changed = s.changed || !ok
		state.resolved = now
		s.known[address] = state
	}
	maps.DeleteFunc(s.known, func(_ netip.Addr, state addressState) bool {
		expired := now.Sub(state.resolved) >= retention
		s.changed = s.changed || expired
		return expired
	})
	if s.changed && (s.generation == 0 || now.Sub(s.generated) >= retention) {
		s.generation, s.generated, s.changed = s.generation+1, now, false
	}
}

// order returns the addresses, without duplicates, in the order in which to try
// them: those that failed within cooldown come last; otherwise the address family
// of the first address comes first, because the resolver sorts by RFC 6724; within
// a family, the addresses are sorted and rotated by offset, so that increasing
// offsets spread connections over all addresses. addresses must not be empty.
func (s *addressSet) order(addresses []netip.Addr, offset int) []netip.Addr {
	preferIPv4 := addresses[0].Is4()
	ordered := slices.SortedFunc(slices.Values(addresses), func(a, b netip.Addr) int {
		if a.Is4() != b.Is4() {
			if a.Is4() == preferIPv4 {
				return -1
			}
			return 1
		}
		return bytes.Compare(a.AsSlice(), b.AsSlice())
	})
	ordered = slices.Compact(ordered)
	preferred := slices.IndexFunc(ordered, func(a netip.Addr) bool { return a.Is4() != preferIPv4 })
	if preferred < 0 {
		preferred = len(ordered)
	}
	rotate(ordered[:preferred], offset)
	rotate(ordered[preferred:], offset)

	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	coolingDown := func(address netip.Addr) int {
		if failed := s.known[address].failed; !failed.IsZero() && now.Sub(failed) < cooldown {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(ordered, func(a, b netip.Addr) int { return cmp.Compare(coolingDown(a), coolingDown(b)) })
	return ordered
}

// rotate moves the first offset addresses (modulo their number) to the end.
func rotate(addresses []netip.Addr, offset int) {
	if len(addresses) > 1 {
		at := offset % len(addresses)
		copy(addresses, slices.Concat(addresses[at:], addresses[:at]))
	}
}

// markAlive records that an address was connected to. The addresses in slower count
// as failed: their attempts began earlier and had not succeeded by then.
func (s *addressSet) markAlive(address netip.Addr, slower []netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setFailed(address, time.Time{})
	for _, other := range slower {
		s.setFailed(other, time.Now())
	}
}

// markFailed records that an address could not be connected to, unless the attempt
// was cancelled, which says nothing about the address.
func (s *addressSet) markFailed(ctx context.Context, address netip.Addr) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setFailed(address, time.Now())
}

// setFailed must be called with s.mu locked.
func (s *addressSet) setFailed(address netip.Addr, at time.Time) {
	if state, ok := s.known[address]; ok {
		state.failed = at
		s.known[address] = state
	}
}
