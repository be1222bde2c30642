package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// network simulates DNS and the addresses that a dialer connects to, and records what
// the dialer does.
type network struct {
	mu       sync.Mutex
	resolved []string // the addresses that DNS returns
	dnsErr   error
	dnsDelay time.Duration
	delays   map[string]time.Duration // by address, until it accepts or refuses; default 0
	refuses  map[string]bool          // by address
	tried    []string                 // addresses, in order
	lookups  int
	open     int // connections that have not been closed
}

const never = time.Hour

func (n *network) lookup(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	n.mu.Lock()
	n.lookups++
	resolved, err, delay := n.resolved, n.dnsErr, n.dnsDelay
	n.mu.Unlock()
	if err := wait(ctx, delay); err != nil {
		return nil, err
	}
	return parseAll(resolved), err
}

func parseAll(texts []string) []netip.Addr {
	addresses := make([]netip.Addr, len(texts))
	for i, text := range texts {
		addresses[i] = netip.MustParseAddr(text)
	}
	return addresses
}

func wait(ctx context.Context, delay time.Duration) error {
	select {
	case <-time.After(delay):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (n *network) connect(ctx context.Context, _, address string) (net.Conn, error) {
	host, _, _ := net.SplitHostPort(address)
	n.mu.Lock()
	n.tried = append(n.tried, host)
	delay, refuses := n.delays[host], n.refuses[host]
	n.mu.Unlock()
	if err := wait(ctx, delay); err != nil {
		return nil, err
	}
	if refuses {
		return nil, fmt.Errorf("%s: %w", host, syscall.ECONNREFUSED)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open++
	return &countedConn{network: n, host: host}, nil
}

// takeTried returns the addresses tried since the last call.
func (n *network) takeTried() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	tried := n.tried
	n.tried = nil
	return tried
}

// change runs change while nothing else accesses n.
func (n *network) change(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
}

// countedConn is a connection that only counts in network.open until it is closed.
type countedConn struct {
	net.Conn

	network *network
	host    string
}

func (c *countedConn) Close() error {
	c.network.change(func() { c.network.open-- })
	return nil
}

func newTestDialer(n *network) *dialer {
	addresses := newAddressSet("zitadel.example")
	addresses.lookup = n.lookup
	return &dialer{addresses: addresses, connect: n.connect}
}

// dialed connects, and returns the address connected to, or the text of the error, and
// how long that took.
func dialed(ctx context.Context, d *dialer, offset uint32) (string, time.Duration) {
	began := time.Now()
	conn, err := d.dial(ctx, "tcp", "zitadel.example:443", offset)
	if err != nil {
		return err.Error(), time.Since(began)
	}
	defer func() { _ = conn.Close() }()
	return conn.(*countedConn).host, time.Since(began)
}

// Connecting to a host with several addresses succeeds although some of them are dead,
// and the dead ones are not tried again until their cooldown is over.
func TestDeadAddressesAreSkipped(t *testing.T) {
	t.Parallel()
	const a, b, c = "10.0.0.1", "10.0.0.2", "10.0.0.3"
	type delays = map[string]time.Duration
	for name, test := range map[string]struct {
		delays  delays
		refuses []string
		want    string // the address connected to, or the error
		took    time.Duration
		tried   []string
		next    []string // tried by the next connection
	}{
		"all accept":      {want: a, tried: []string{a}, next: []string{a}},
		"one refuses":     {refuses: []string{a}, want: b, tried: []string{a, b}, next: []string{b}},
		"one hangs":       {delays: delays{a: never}, want: b, took: headStart, tried: []string{a, b}, next: []string{b}},
		"one takes 200ms": {delays: delays{a: ms(200)}, want: a, took: ms(200), tried: []string{a}, next: []string{a}},
		"one takes 300ms": {delays: delays{a: ms(300)}, want: b, took: headStart, tried: []string{a, b}, next: []string{b}},
		"one hangs, one refuses": {
			delays: delays{a: never}, refuses: []string{b}, want: c, took: headStart, tried: []string{a, b, c}, next: []string{c},
		},
		"two hang": {delays: delays{a: never, b: never}, want: c, took: 2 * headStart, tried: []string{a, b, c}, next: []string{c}},
		"all refuse": {
			refuses: []string{a, b, c}, want: a + ": connection refused", tried: []string{a, b, c}, next: []string{a, b, c},
		},
		"all hang": {
			delays: delays{a: never, b: never, c: never}, want: "context deadline exceeded", took: dialTimeout,
			tried: []string{a, b, c}, next: []string{a, b, c},
		},
		"all take 600ms: the first wins": {
			delays: delays{a: ms(600), b: ms(600), c: ms(600)}, want: a, took: ms(600), tried: []string{a, b, c}, next: []string{a, b, c},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := &network{resolved: []string{c, a, b}, delays: test.delays, refuses: map[string]bool{}}
				for _, address := range test.refuses {
					n.refuses[address] = true
				}
				d := newTestDialer(n)
				got, took := dialed(t.Context(), d, 0)
				if tried := n.takeTried(); got != test.want || took != test.took || !slices.Equal(tried, test.tried) {
					t.Errorf("got %s after %v, tried %v; want %s after %v, %v", got, took, tried, test.want, test.took, test.tried)
				}
				dialed(t.Context(), d, 0)
				if tried := n.takeTried(); !slices.Equal(tried, test.next) {
					t.Errorf("the next connection tried %v, want %v", tried, test.next)
				}
				time.Sleep(time.Second)
				n.change(func() { n.delays, n.refuses = nil, nil })
				time.Sleep(cooldown)
				if got, _ := dialed(t.Context(), d, 0); got != a {
					t.Errorf("after the cooldown, when all accept: got %s, want %s", got, a)
				}
				synctest.Wait()
				if n.open != 0 {
					t.Errorf("%d connections are still open, want 0", n.open)
				}
			})
		})
	}
}

func ms(milliseconds int) time.Duration { return time.Duration(milliseconds) * time.Millisecond }

// An address that was tried later than the one connected to has not failed: it is still
// used when its turn comes.
func TestLaterAttemptIsNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const slow = 300 * time.Millisecond
		n := &network{
			resolved: []string{"10.0.0.1", "10.0.0.2"},
			delays:   map[string]time.Duration{"10.0.0.1": slow, "10.0.0.2": slow},
		}
		d := newTestDialer(n)
		for offset, want := range []string{"10.0.0.1", "10.0.0.2"} {
			if got, _ := dialed(t.Context(), d, uint32(offset)); got != want {
				t.Errorf("offset %d: connected to %s, want %s", offset, got, want)
			}
		}
		time.Sleep(time.Second)
	})
}

// An attempt that its caller cancels does not mark the address as failed.
func TestCancelledAttemptIsNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &network{
			resolved: []string{"10.0.0.1", "10.0.0.2"},
			delays:   map[string]time.Duration{"10.0.0.1": 10 * time.Millisecond},
		}
		d := newTestDialer(n)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		if got, _ := dialed(ctx, d, 0); got != context.Canceled.Error() {
			t.Errorf("got %s, want %v", got, context.Canceled)
		}
		if got, _ := dialed(t.Context(), d, 0); got != "10.0.0.1" {
			t.Errorf("the next connection is to %s, want 10.0.0.1", got)
		}
	})
}

// Connections go to the addresses in turn, but only to those of the family that DNS
// returns first, as long as one of them accepts.
func TestConnectionsTakeTurnsWithinFamily(t *testing.T) {
	t.Parallel()
	for want, resolved := range map[string][]string{
		"10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.1": {"10.0.0.3", "10.0.0.1", "10.0.0.2"},
		"fd00::1 fd00::2 fd00::1 fd00::2":     {"fd00::2", "10.0.0.1", "fd00::1"},
		"10.0.0.1 10.0.0.2 10.0.0.1 10.0.0.2": {"::ffff:10.0.0.1", "fd00::1", "10.0.0.2", "10.0.0.1"},
	} {
		d := newTestDialer(&network{resolved: resolved})
		got := make([]string, 4)
		for offset := range got {
			got[offset], _ = dialed(t.Context(), d, uint32(offset))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%v: got %v, want %s", resolved, got, want)
		}
	}
	n := &network{resolved: []string{"fd00::1", "10.0.0.1"}, refuses: map[string]bool{"fd00::1": true}}
	if got, _ := dialed(t.Context(), newTestDialer(n), 0); got != "10.0.0.1" {
		t.Errorf("when the preferred family refuses: got %s, want 10.0.0.1", got)
	}
}

// While DNS fails or does not answer, the addresses of its last answer are used. If it
// answers that the name does not exist, connecting fails.
func TestEarlierAddressesAreUsedWhileDNSFails(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err   error
		delay time.Duration
		want  string
		took  time.Duration
	}{
		"fails":           {err: &net.DNSError{Err: "server misbehaving", IsTemporary: true}, want: "10.0.0.1"},
		"does not answer": {delay: never, want: "10.0.0.1", took: lookupTimeout},
		"knows no such name": {
			err:  &net.DNSError{Err: "no such host", Name: "zitadel.example", IsNotFound: true},
			want: "dial tcp: lookup zitadel.example: no such host",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := &network{resolved: []string{"10.0.0.1"}}
				d := newTestDialer(n)
				dialed(t.Context(), d, 0)
				n.resolved, n.dnsErr, n.dnsDelay = nil, test.err, test.delay
				if got, took := dialed(t.Context(), d, 0); got != test.want || took != test.took {
					t.Errorf("got %s after %v, want %s after %v", got, took, test.want, test.took)
				}
			})
		})
	}
	d := newTestDialer(&network{dnsErr: errors.New("server misbehaving")})
	const want = "dial tcp: server misbehaving"
	if got, _ := dialed(t.Context(), d, 0); got != want {
		t.Errorf("without an earlier answer: got %s, want %s", got, want)
	}
}

// Slow DNS and DNS that does not know the name are not asked more often than
// lookupInterval allows, and a slow answer is used when it arrives.
func TestSlowDNSIsNotAskedMoreOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &network{resolved: []string{"10.0.0.1"}, dnsDelay: 3 * time.Second}
		d := newTestDialer(n)
		if got, took := dialed(t.Context(), d, 0); got != "10.0.0.1" || took != n.dnsDelay {
			t.Errorf("first connection: got %s after %v, want 10.0.0.1 after %v", got, took, n.dnsDelay)
		}
		n.change(func() { n.resolved = []string{"10.0.0.2"} })
		time.Sleep(lookupInterval)
		d.addresses.current()
		time.Sleep(n.dnsDelay)
		synctest.Wait()
		if got, took := dialed(t.Context(), d, 0); got != "10.0.0.2" || took != lookupTimeout {
			t.Errorf("after the change: got %s after %v, want 10.0.0.2 after %v", got, took, lookupTimeout)
		}
		n.change(func() { n.dnsErr, n.dnsDelay, n.lookups = &net.DNSError{IsNotFound: true}, 0, 0 })
		for range 100 { // over ten seconds
			time.Sleep(100 * time.Millisecond)
			d.addresses.current()
			synctest.Wait()
		}
		if n.lookups > 3 {
			t.Errorf("DNS was asked %d times in 10 s, want at most 3", n.lookups)
		}
	})
}

// The host of an upstream is compared with the name that net/http dials, which is ASCII.
func TestDialedHostIsASCII(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{"zitadel.example": "zitadel.example", "BÜCHER.example": "xn--bcher-kva.example", "a_b.example": "a_b.example"} {
		if got := dialedHost(&url.URL{Host: host + ":443"}); got != want {
			t.Errorf("%s: got %s, want %s", host, got, want)
		}
	}
}

// IP addresses and proxies are dialed directly: the host's name is not looked up.
func TestOtherHostsAreDialedDirectly(t *testing.T) {
	t.Parallel()
	n := &network{}
	d := newTestDialer(n)
	for _, address := range []string{"10.0.0.9:80", "[fd00::9]:80", "proxy.example:3128"} {
		if _, err := d.dial(t.Context(), "tcp", address, 0); err != nil {
			t.Error(err)
		}
	}
	if got, want := n.takeTried(), []string{"10.0.0.9", "fd00::9", "proxy.example"}; !slices.Equal(got, want) {
		t.Errorf("tried %v, want %v", got, want)
	}
	if addresses := d.addresses.current(); addresses != nil || n.lookups != 0 {
		t.Errorf("got addresses %v, %d lookups; want none: the host was never connected to", addresses, n.lookups)
	}
}

// An address that is missing from some DNS answers stays in the set; it is removed when
// it has been missing for the retention. However often the set changes, connections are
// used at least that long.
func TestConnectionsLastForTheRetention(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &network{resolved: []string{"10.0.0.1"}}
		d := newTestDialer(n)
		dialed(t.Context(), d, 0)
		u, err := New(Config{URL: "http://zitadel.example", Host: HostUpstream})
		if err != nil {
			t.Fatal(err)
		}
		u.addresses = d.addresses
		transport := u.NewTransport(TransportConfig{Version: HTTP2})
		generation, last := 0, time.Time{}
		lookUp := func(resolved ...string) (int, int) {
			n.change(func() { n.resolved = resolved })
			time.Sleep(lookupInterval)
			transport.current()
			synctest.Wait()
			if len(transport.current()) != len(transport.addresses) {
				t.Errorf("got %d connections for %v", len(transport.pools), transport.addresses)
			}
			if transport.renewed != last {
				generation, last = generation+1, transport.renewed
			}
			return generation, len(d.addresses.current())
		}
		const a, b = "10.0.0.1", "10.0.0.2"
		var got strings.Builder
		for _, resolved := range []string{a, a, b, a, b, b, b, b, b, b, b, b, b} {
			generation, count := lookUp(resolved)
			fmt.Fprintf(&got, "%d:%d ", generation, count)
		}
		if want := "1:1 1:1 1:2 1:2 1:2 1:2 2:2 2:2 2:2 2:1 2:1 2:1 3:1 "; got.String() != want {
			t.Errorf("got generations and counts %s, want %s", got.String(), want)
		}
	})
}
