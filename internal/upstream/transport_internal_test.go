package upstream

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// host is an address on which a server listens, in memory: time is synctest's. It
// answers with its own name, and holds a request to /wait until it is released.
type host struct {
	name    string
	accept  chan net.Conn
	closed  chan struct{}
	open    atomic.Int32
	total   atomic.Int32
	silent  atomic.Bool
	waiting chan struct{}
	release chan struct{}
}

func newHost(t *testing.T, name string) *host {
	t.Helper()
	h := &host{
		name: name, accept: make(chan net.Conn), closed: make(chan struct{}),
		waiting: make(chan struct{}), release: make(chan struct{}),
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			h.waiting <- struct{}{}
			<-h.release
		}
		_, _ = io.WriteString(w, name)
	})}
	go func() { _ = server.Serve(h) }()
	t.Cleanup(func() { _ = server.Close() })
	return h
}

func (h *host) Accept() (net.Conn, error) {
	select {
	case conn := <-h.accept:
		return conn, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *host) Close() error   { close(h.closed); return nil }
func (h *host) Addr() net.Addr { return &net.TCPAddr{} }

// connect makes a connection to the host.
func (h *host) connect() net.Conn {
	client, server := net.Pipe()
	h.open.Add(1)
	h.total.Add(1)
	h.accept <- server
	return &pipe{Conn: client, host: h, gone: make(chan struct{})}
}

// pipe is a connection to a host, which may have died without a word.
type pipe struct {
	net.Conn

	host *host
	once sync.Once
	gone chan struct{}
}

func (p *pipe) Read(into []byte) (int, error) {
	n, err := p.Conn.Read(into)
	if p.host.silent.Load() && err == nil {
		<-p.gone
		return 0, net.ErrClosed
	}
	return n, err
}

func (p *pipe) Write(data []byte) (int, error) {
	if p.host.silent.Load() {
		return len(data), nil
	}
	return p.Conn.Write(data)
}

func (p *pipe) Close() error {
	p.once.Do(func() { p.host.open.Add(-1); close(p.gone) })
	return p.Conn.Close()
}

// newTestUpstream is an upstream whose name DNS resolves to the addresses that
// names returns, on which hosts listen.
func newTestUpstream(t *testing.T, names func() []string, hosts map[string]*host) *Upstream {
	t.Helper()
	u, err := New(Config{URL: "http://zitadel.example", Host: HostUpstream})
	if err != nil {
		t.Fatal(err)
	}
	u.book.lookup = func(context.Context, string) ([]netip.Addr, error) {
		return parseAll(names()), nil
	}
	u.connect = func(_ context.Context, _, address string) (net.Conn, error) {
		name, _, _ := net.SplitHostPort(address)
		return hosts[name].connect(), nil
	}
	return u
}

func get(t *Transport, path string) string {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://zitadel.example"+path, http.NoBody)
	if err != nil {
		return err.Error()
	}
	response, err := t.RoundTrip(request)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

// When DNS names another address, requests go there, over HTTP/1.1 and HTTP/2; one
// that is under way at the old one is answered; and then nothing is left there.
func TestTransportFollowsDNS(t *testing.T) {
	t.Parallel()
	const before, after = "10.0.0.1", "10.0.0.2"
	for _, version := range []Version{HTTP1, HTTP2} {
		synctest.Test(t, func(t *testing.T) {
			hosts := map[string]*host{before: newHost(t, before), after: newHost(t, after)}
			var names atomic.Pointer[[]string]
			names.Store(&[]string{before})
			transport := newTestUpstream(t, func() []string { return *names.Load() }, hosts).NewTransport(TransportConfig{Version: version})
			defer transport.CloseIdleConnections()
			for range 3 {
				if got := get(transport, "/"); got != before {
					t.Fatal(got)
				}
			}
			if n := hosts[before].total.Load(); n != 1 {
				t.Errorf("%d connections for three requests", n)
			}
			underWay := make(chan string)
			go func() { underWay <- get(transport, "/wait") }()
			<-hosts[before].waiting

			names.Store(&[]string{after})
			for began := time.Now(); get(transport, "/") != after; time.Sleep(time.Second) {
				if time.Since(began) > 3*forgetAfter {
					t.Fatal("still at the old address")
				}
			}
			for range 3 {
				time.Sleep(lookUpEvery)
				if got := get(transport, "/"); got != after {
					t.Errorf("then %s again", got)
				}
			}
			hosts[before].release <- struct{}{}
			if got := <-underWay; got != before {
				t.Errorf("the request under way: %s", got)
			}
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if n := hosts[before].open.Load(); n != 0 {
				t.Errorf("%d connections left at the old address", n)
			}
			if n := hosts[after].total.Load(); n > 2 { // one when it was named, one when the old one was forgotten
				t.Errorf("%d connections to the new address", n)
			}
		})
	}
}

// Requests go to all addresses: over HTTP/1.1 because several at once need several
// connections, over HTTP/2 because there is one for each address.
func TestTransportUsesAllAddresses(t *testing.T) {
	t.Parallel()
	all := []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}
	for _, version := range []Version{HTTP1, HTTP2} {
		synctest.Test(t, func(t *testing.T) {
			hosts := map[string]*host{}
			for _, name := range all {
				hosts[name] = newHost(t, name)
			}
			transport := newTestUpstream(t, func() []string { return all }, hosts).NewTransport(TransportConfig{Version: version})
			defer transport.CloseIdleConnections()
			get(transport, "/")
			answers := make(chan string, 6)
			for range 6 {
				go func() { answers <- get(transport, "/wait") }()
			}
			synctest.Wait()
			for range 6 {
				for _, name := range all {
					select {
					case <-hosts[name].waiting:
						hosts[name].release <- struct{}{}
					default:
					}
				}
			}
			counts := map[string]int{}
			for range 6 {
				counts[<-answers]++
			}
			for _, name := range all {
				if counts[name] != 2 {
					t.Errorf("version %d: answers %v", version, counts)
				}
			}
		})
	}
}

// An HTTP/2 connection to a peer that died without a word is given up within
// fifteen seconds, and the next request goes to another address.
func TestTransportFindsDeadPeers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hosts := map[string]*host{"10.0.0.1": newHost(t, "10.0.0.1"), "10.0.0.2": newHost(t, "10.0.0.2")}
		names := []string{"10.0.0.1"}
		u := newTestUpstream(t, func() []string { return names }, hosts)
		transport := u.NewTransport(TransportConfig{Version: HTTP2})
		defer transport.CloseIdleConnections()
		if got := get(transport, "/"); got != "10.0.0.1" {
			t.Fatal(got)
		}
		hosts["10.0.0.1"].silent.Store(true)
		began := time.Now()
		if got := get(transport, "/"); slices.Contains(names, got) || time.Since(began) > 15*time.Second {
			t.Errorf("%s after %v", got, time.Since(began))
		}
		if n := hosts["10.0.0.1"].open.Load(); n != 0 {
			t.Errorf("%d connections left", n)
		}
	})
}
