package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// network is what a dialer sees of the world: what DNS answers, and who accepts
// connections. It notes what is tried.
type network struct {
	mu      sync.Mutex
	names   []string // addresses, as DNS has them now
	dnsErr  error
	dnsSlow time.Duration
	hangs   map[string]time.Duration // addresses that take so long
	refuses map[string]bool
	tried   []string
	asked   int // of DNS, how often
	opened  int // connections, which are not closed
}

const never = time.Hour

func (n *network) lookup(ctx context.Context, _ string) ([]netip.Addr, error) {
	n.mu.Lock()
	n.asked++
	names, err, slow := n.names, n.dnsErr, n.dnsSlow
	n.mu.Unlock()
	if err := wait(ctx, slow); err != nil {
		return nil, err
	}
	return parseAll(names), err
}

func parseAll(names []string) []netip.Addr {
	addresses := make([]netip.Addr, len(names))
	for i, name := range names {
		addresses[i] = netip.MustParseAddr(name)
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
	slow, refuses := n.hangs[host], n.refuses[host]
	n.mu.Unlock()
	if err := wait(ctx, slow); err != nil {
		return nil, err
	}
	if refuses {
		return nil, fmt.Errorf("%s: %w", host, syscall.ECONNREFUSED)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.opened++
	return &counted{network: n, host: host}, nil
}

// triedNow returns what was tried since the last time.
func (n *network) triedNow() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	tried := strings.Join(n.tried, " ")
	n.tried = nil
	return tried
}

func (n *network) change(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
}

// counted is a connection that does nothing.
type counted struct {
	net.Conn

	network *network
	host    string
}

func (c *counted) Close() error {
	c.network.change(func() { c.network.opened-- })
	return nil
}

func newTestDialer(n *network) *dialer {
	b := newBook("zitadel.example")
	b.lookup = n.lookup
	return &dialer{book: b, connect: n.connect}
}

// dialed connects, and returns the address connected to, or the error, and how long
// it took.
func dialed(ctx context.Context, d *dialer, turn int) (string, time.Duration) {
	began := time.Now()
	conn, err := d.dial(ctx, "tcp", "zitadel.example:443", turn)
	if err != nil {
		return err.Error(), time.Since(began)
	}
	defer func() { _ = conn.Close() }()
	return conn.(*counted).host, time.Since(began)
}

// A host with several addresses is connected to although some are dead, and the
// dead are left alone.
func TestDial(t *testing.T) {
	t.Parallel()
	const a, b, c = "10.0.0.1", "10.0.0.2", "10.0.0.3"
	for name, test := range map[string]struct {
		hangs   map[string]time.Duration
		refuses []string
		got     string
		took    time.Duration
		tried   string
		next    string // tried the next time
	}{
		"all well":                {got: a, tried: a, next: a},
		"one refuses":             {refuses: []string{a}, got: b, tried: a + " " + b, next: b},
		"one hangs":               {hangs: map[string]time.Duration{a: never}, got: b, took: headStart, tried: a + " " + b, next: b},
		"one is slow":             {hangs: map[string]time.Duration{a: 200 * time.Millisecond}, got: a, took: 200 * time.Millisecond, tried: a, next: a},
		"one is slower":           {hangs: map[string]time.Duration{a: 300 * time.Millisecond}, got: b, took: headStart, tried: a + " " + b, next: b},
		"one hangs, one refuses":  {hangs: map[string]time.Duration{a: never}, refuses: []string{b}, got: c, took: headStart, tried: a + " " + b + " " + c, next: c},
		"two hang":                {hangs: map[string]time.Duration{a: never, b: never}, got: c, took: 2 * headStart, tried: a + " " + b + " " + c, next: c},
		"all refuse":              {refuses: []string{a, b, c}, got: a + ": connection refused", tried: a + " " + b + " " + c, next: a + " " + b + " " + c},
		"all hang":                {hangs: map[string]time.Duration{a: never, b: never, c: never}, got: "context deadline exceeded", took: dialTimeout, tried: a + " " + b + " " + c, next: a + " " + b + " " + c},
		"all are slow: the first": {hangs: map[string]time.Duration{a: 600 * time.Millisecond, b: 600 * time.Millisecond, c: 600 * time.Millisecond}, got: a, took: 600 * time.Millisecond, tried: a + " " + b + " " + c, next: a + " " + b + " " + c},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := &network{names: []string{c, a, b}, hangs: test.hangs, refuses: map[string]bool{}}
				for _, address := range test.refuses {
					n.refuses[address] = true
				}
				d := newTestDialer(n)
				got, took := dialed(t.Context(), d, 0)
				if tried := n.triedNow(); got != test.got || took != test.took || tried != test.tried {
					t.Errorf("connected to %s after %v, tried %s", got, took, tried)
				}
				dialed(t.Context(), d, 0)
				if tried := n.triedNow(); tried != test.next {
					t.Errorf("the next time, tried %s, want %s", tried, test.next)
				}
				time.Sleep(time.Second)
				n.change(func() { n.hangs, n.refuses = nil, nil })
				time.Sleep(leftAlone)
				if got, _ := dialed(t.Context(), d, 0); got != a {
					t.Errorf("when all are well again: %s", got)
				}
				synctest.Wait()
				if n.opened != 0 {
					t.Errorf("%d connections are left open", n.opened)
				}
			})
		})
	}
}

// One that began later than the one connected to was not slower.
func TestDialLaterIsNotSlower(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const slow = 300 * time.Millisecond
		n := &network{names: []string{"10.0.0.1", "10.0.0.2"}, hangs: map[string]time.Duration{"10.0.0.1": slow, "10.0.0.2": slow}}
		d := newTestDialer(n)
		if got, _ := dialed(t.Context(), d, 0); got != "10.0.0.1" {
			t.Error(got)
		}
		if got, _ := dialed(t.Context(), d, 1); got != "10.0.0.2" {
			t.Errorf("in its turn: %s", got)
		}
		time.Sleep(time.Second)
	})
}

// A caller that gives up says nothing about an address.
func TestDialGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &network{names: []string{"10.0.0.1", "10.0.0.2"}, hangs: map[string]time.Duration{"10.0.0.1": 10 * time.Millisecond}}
		d := newTestDialer(n)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		if got, _ := dialed(ctx, d, 0); got != context.Canceled.Error() {
			t.Error(got)
		}
		if got, _ := dialed(t.Context(), d, 0); got != "10.0.0.1" {
			t.Error(got)
		}
	})
}

// Connections go to every address in turn, of the family that DNS names first.
func TestDialInTurn(t *testing.T) {
	t.Parallel()
	for want, names := range map[string][]string{
		"10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.1": {"10.0.0.3", "10.0.0.1", "10.0.0.2"},
		"fd00::1 fd00::2 fd00::1 fd00::2":     {"fd00::2", "10.0.0.1", "fd00::1"},
		"10.0.0.1 10.0.0.2 10.0.0.1 10.0.0.2": {"::ffff:10.0.0.1", "fd00::1", "10.0.0.2", "10.0.0.1"},
	} {
		d := newTestDialer(&network{names: names})
		got := make([]string, 4)
		for turn := range got {
			got[turn], _ = dialed(t.Context(), d, turn)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%v: %v", names, got)
		}
	}
	// The other family is for when there is nothing else.
	n := &network{names: []string{"fd00::1", "10.0.0.1"}, refuses: map[string]bool{"fd00::1": true}}
	if got, _ := dialed(t.Context(), newTestDialer(n), 0); got != "10.0.0.1" {
		t.Error(got)
	}
}

// While DNS is not there, the addresses are those from before; what it says is not
// there, is not.
func TestDialWithoutDNS(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err  error
		slow time.Duration
		want string
		took time.Duration
	}{
		"fails":           {err: &net.DNSError{Err: "server misbehaving", IsTemporary: true}, want: "10.0.0.1"},
		"does not answer": {slow: never, want: "10.0.0.1", took: patience},
		"knows no such name": {
			err:  &net.DNSError{Err: "no such host", Name: "zitadel.example", IsNotFound: true},
			want: "dial tcp: lookup zitadel.example: no such host",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := &network{names: []string{"10.0.0.1"}}
				d := newTestDialer(n)
				dialed(t.Context(), d, 0)
				n.names, n.dnsErr, n.dnsSlow = nil, test.err, test.slow
				if got, took := dialed(t.Context(), d, 0); got != test.want || took != test.took {
					t.Errorf("%s after %v", got, took)
				}
			})
		})
	}
	d := newTestDialer(&network{dnsErr: errors.New("server misbehaving")})
	if got, _ := dialed(t.Context(), d, 0); got != "dial tcp: server misbehaving" {
		t.Errorf("from the beginning: %s", got)
	}
}

// DNS that is slow, or knows no such name for a while, is asked as seldom as any other,
// and what it says in the end counts.
func TestSlowDNS(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &network{names: []string{"10.0.0.1"}, dnsSlow: 3 * time.Second}
		d := newTestDialer(n)
		if got, took := dialed(t.Context(), d, 0); got != "10.0.0.1" || took != n.dnsSlow {
			t.Errorf("at first: %s after %v", got, took)
		}
		n.change(func() { n.names = []string{"10.0.0.2"} })
		time.Sleep(lookUpEvery)
		d.book.current()
		time.Sleep(n.dnsSlow)
		synctest.Wait()
		if got, took := dialed(t.Context(), d, 0); got != "10.0.0.2" || took != patience {
			t.Errorf("then: %s after %v", got, took)
		}
		n.change(func() { n.dnsErr, n.dnsSlow, n.asked = &net.DNSError{IsNotFound: true}, 0, 0 })
		for range 100 { // in ten seconds
			time.Sleep(100 * time.Millisecond)
			d.book.current()
			synctest.Wait()
		}
		if n.asked > 3 {
			t.Errorf("DNS was asked %d times", n.asked)
		}
	})
}

// A name is known under the name by which net/http dials it.
func TestDialedHost(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]string{"zitadel.example": "zitadel.example", "BÜCHER.example": "xn--bcher-kva.example", "a_b.example": "a_b.example"} {
		if got := dialedHost(&url.URL{Host: host + ":443"}); got != want {
			t.Errorf("%s: %s", host, got)
		}
	}
}

// Addresses, sockets and proxies are dialed as they are.
func TestDialOthers(t *testing.T) {
	t.Parallel()
	n := &network{}
	d := newTestDialer(n)
	for _, address := range []string{"10.0.0.9:80", "[fd00::9]:80", "proxy.example:3128"} {
		if _, err := d.dial(t.Context(), "tcp", address, 0); err != nil {
			t.Error(err)
		}
	}
	if got := n.triedNow(); got != "10.0.0.9 fd00::9 proxy.example" {
		t.Error(got)
	}
	if edition, _ := d.book.current(); edition != 0 || d.book.looking {
		t.Error("a host to which nobody connects is looked up")
	}
	if newBook("10.0.0.9") != nil || newBook("fd00::9") != nil {
		t.Error("an address has a book")
	}
}

// An address that DNS names only now and then stays; one that it has not named for
// long goes. However often the set changes, an edition stays for half a minute.
func TestBookForgets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := &network{names: []string{"10.0.0.1"}}
		d := newTestDialer(n)
		dialed(t.Context(), d, 0)
		look := func(names ...string) (edition, count int) {
			n.change(func() { n.names = names })
			time.Sleep(lookUpEvery)
			d.book.current()
			synctest.Wait()
			return d.book.current()
		}
		const a, b = "10.0.0.1", "10.0.0.2"
		var got strings.Builder
		for _, name := range []string{a, a, b, a, b, b, b, b, b, b, b, b, b} {
			edition, count := look(name)
			fmt.Fprintf(&got, "%d:%d ", edition, count)
		}
		if want := "1:1 1:1 1:2 1:2 1:2 2:2 2:2 2:2 2:2 2:1 2:1 3:1 3:1 "; got.String() != want {
			t.Errorf("editions and counts %s, want %s", got.String(), want)
		}
	})
}
