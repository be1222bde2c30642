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
	// lookUpEvery is how often a host's addresses are looked up at least, while it
	// is called.
	lookUpEvery = 5 * time.Second
	// forgetAfter is how long an address counts as the host's after DNS named it
	// last, and how long an edition stays at least: some servers name only some of
	// many addresses at a time, and connections are not to be made anew for that.
	forgetAfter = 30 * time.Second
	// leftAlone is how long an address that could not be connected to is tried only
	// after all the others.
	leftAlone = 30 * time.Second
	// patience is how long DNS may take when there are addresses from before.
	patience = time.Second
)

// book holds the addresses of a host name, as DNS names them from time to time,
// and which of them are dead. It is safe for concurrent use.
type book struct {
	host   string
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)

	mu       sync.Mutex
	known    map[netip.Addr]known
	last     []netip.Addr // that DNS named
	edition  int          // of the set of addresses; 0 before the first look-up
	edited   time.Time
	changed  bool // since
	lookedUp time.Time
	looking  bool
}

type known struct {
	named  time.Time // by DNS, last
	failed time.Time // to be connected to, last; zero if it was connected to since
}

// newBook makes a book for a host; nil for an IP address, which needs none.
func newBook(host string) *book {
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	return &book{host: host, known: map[netip.Addr]known{}, lookup: func(ctx context.Context, host string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}}
}

// current returns the edition of the set of addresses, which changes after the set
// does, and how many there are. If the last look-up is long ago, it starts another;
// the first is made by who connects, which may be nobody: there are proxies.
func (b *book) current() (edition, count int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.edition > 0 && !b.looking && time.Since(b.lookedUp) >= lookUpEvery {
		b.looking = true
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
			defer cancel()
			_, _ = b.lookUp(ctx) // it will be tried again, and dialing says what is wrong
			b.mu.Lock()
			defer b.mu.Unlock()
			b.looking = false
		}()
	}
	return b.edition, len(b.known)
}

// addresses asks DNS. While that does not answer, or says that it cannot, the
// addresses are those that it named last.
func (b *book) addresses(ctx context.Context) ([]netip.Addr, error) {
	before := b.namedLast()
	if len(before) == 0 {
		return b.lookUp(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	named, err := b.lookUp(ctx)
	if err != nil && !isNotFound(err) {
		return before, nil
	}
	return named, err
}

// lookUp asks DNS, and takes down what it says.
func (b *book) lookUp(ctx context.Context) ([]netip.Addr, error) {
	named, err := b.lookup(ctx, b.host)
	for i := range named {
		named[i] = named[i].Unmap()
	}
	b.note(named, err)
	return named, err
}

// isNotFound reports whether DNS said that there is no such name.
func isNotFound(err error) bool {
	failure, ok := errors.AsType[*net.DNSError](err)
	return ok && failure.IsNotFound
}

func (b *book) namedLast() []netip.Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.last)
}

// note takes down what DNS answered.
func (b *book) note(named []netip.Addr, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.lookedUp = now
	if err != nil {
		return
	}
	b.last = slices.Clone(named)
	for _, address := range named {
		entry, ok := b.known[address]
		b.changed = b.changed || !ok
		entry.named = now
		b.known[address] = entry
	}
	maps.DeleteFunc(b.known, func(_ netip.Addr, entry known) bool {
		gone := now.Sub(entry.named) >= forgetAfter
		b.changed = b.changed || gone
		return gone
	})
	if b.changed && (b.edition == 0 || now.Sub(b.edited) >= forgetAfter) {
		b.edition, b.edited, b.changed = b.edition+1, now, false
	}
}

// order sorts addresses by how they are to be tried: the living before the dead,
// then the family that DNS named first (RFC 6724 put it there) before the other,
// then beginning with another one each turn.
func (b *book) order(addresses []netip.Addr, turn int) []netip.Addr {
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
	rotate(ordered[:preferred], turn)
	rotate(ordered[preferred:], turn)

	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	dead := func(address netip.Addr) int {
		if failed := b.known[address].failed; !failed.IsZero() && now.Sub(failed) < leftAlone {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(ordered, func(a, b netip.Addr) int { return cmp.Compare(dead(a), dead(b)) })
	return ordered
}

// rotate makes the one whose turn it is the first.
func rotate(addresses []netip.Addr, turn int) {
	if len(addresses) > 1 {
		at := turn % len(addresses)
		copy(addresses, slices.Concat(addresses[at:], addresses[:at]))
	}
}

// won notes that an address was connected to, while others which had begun before
// it were not yet.
func (b *book) won(address netip.Addr, slower []netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setFailed(address, time.Time{})
	for _, other := range slower {
		b.setFailed(other, time.Now())
	}
}

// lost notes that an address could not be connected to, unless that is because
// nobody wants to any more.
func (b *book) lost(ctx context.Context, address netip.Addr) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setFailed(address, time.Now())
}

// setFailed is called with b.mu locked.
func (b *book) setFailed(address netip.Addr, at time.Time) {
	if entry, ok := b.known[address]; ok {
		entry.failed = at
		b.known[address] = entry
	}
}
