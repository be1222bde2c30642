package upstream

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// host is an address with an HTTP server, connected to in memory so that it works with
// synctest. It answers with its address. A request to /wait announces itself on
// waiting and is answered after a value is sent to release.
type host struct {
	address string
	accept  chan net.Conn
	closed  chan struct{}
	open    atomic.Int32 // connections that have not been closed
	total   atomic.Int32 // connections ever made
	dead    atomic.Bool  // drops everything it is sent, and sends nothing
	waiting chan struct{}
	release chan struct{}
	silent  *os.File // nothing can be read from it
}

func newHost(t *testing.T, address string) *host {
	t.Helper()
	h := &host{
		address: address, accept: make(chan net.Conn), closed: make(chan struct{}),
		waiting: make(chan struct{}), release: make(chan struct{}),
	}
	silent, other, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = silent.Close(), other.Close() })
	h.silent = silent
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			h.waiting <- struct{}{}
			<-h.release
		}
		_, _ = io.WriteString(w, address)
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
	return &pipe{Conn: client, host: h, closed: make(chan struct{})}
}

// pipe is a connection to a host. If the host is dead, Read blocks until Close, and
// Write succeeds without effect.
type pipe struct {
	net.Conn

	host   *host
	once   sync.Once
	closed chan struct{}
}

func (p *pipe) Read(into []byte) (int, error) {
	n, err := p.Conn.Read(into)
	if p.host.dead.Load() && err == nil {
		<-p.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (p *pipe) Write(data []byte) (int, error) {
	if p.host.dead.Load() {
		return len(data), nil
	}
	return p.Conn.Write(data)
}

// SyscallConn lets the transport see that nothing has come on an idle connection.
func (p *pipe) SyscallConn() (syscall.RawConn, error) { return p.host.silent.SyscallConn() }

func (p *pipe) Close() error {
	p.once.Do(func() { p.host.open.Add(-1); close(p.closed) })
	return p.Conn.Close()
}

// newTestUpstream returns an upstream whose host name resolves to the addresses that
// resolved returns. hosts are by address.
func newTestUpstream(t *testing.T, resolved func() []string, hosts map[string]*host) *Upstream {
	t.Helper()
	u, err := New(Config{URL: "http://zitadel.example", Host: HostUpstream})
	if err != nil {
		t.Fatal(err)
	}
	u.addresses.lookup = func(context.Context, string, string) ([]netip.Addr, error) {
		return parseAll(resolved()), nil
	}
	u.connect = func(bool) connectFunc {
		return func(_ context.Context, _, address string) (net.Conn, error) {
			ip, _, _ := net.SplitHostPort(address)
			return hosts[ip].connect(), nil
		}
	}
	return u
}

// get returns the body of the response, or the text of the error.
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

// When DNS returns another address, requests go there, over HTTP/1.1 and HTTP/2. A
// request in flight at the old address is answered, and then no connection to that
// address is left.
func TestTransportFollowsDNS(t *testing.T) {
	t.Parallel()
	const before, after = "10.0.0.1", "10.0.0.2"
	for _, version := range []Version{HTTP1, HTTP2} {
		synctest.Test(t, func(t *testing.T) {
			hosts := map[string]*host{before: newHost(t, before), after: newHost(t, after)}
			var resolved atomic.Pointer[[]string]
			resolved.Store(&[]string{before})
			transport := newTestUpstream(t, func() []string { return *resolved.Load() }, hosts).NewTransport(TransportConfig{Version: version})
			defer transport.CloseIdleConnections()
			for range 3 {
				if got := get(transport, "/"); got != before {
					t.Fatalf("version %d: answered by %s, want %s", version, got, before)
				}
			}
			if n := hosts[before].total.Load(); n != 1 {
				t.Errorf("version %d: %d connections for three requests, want 1", version, n)
			}
			inFlight := make(chan string)
			go func() { inFlight <- get(transport, "/wait") }()
			<-hosts[before].waiting

			resolved.Store(&[]string{after})
			for began := time.Now(); get(transport, "/") != after; time.Sleep(time.Second) {
				if time.Since(began) > 3*retention {
					t.Fatalf("version %d: requests still go to the old address after %v", version, time.Since(began))
				}
			}
			for range 3 {
				time.Sleep(lookupInterval)
				if got := get(transport, "/"); got != after {
					t.Errorf("version %d: then answered by %s, want %s", version, got, after)
				}
			}
			hosts[before].release <- struct{}{}
			if got := <-inFlight; got != before {
				t.Errorf("version %d: the request in flight was answered by %s, want %s", version, got, before)
			}
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			if n := hosts[before].open.Load(); n != 0 {
				t.Errorf("version %d: %d connections to the old address are open, want 0", version, n)
			}
			if n := hosts[after].total.Load(); n > 2 { // one when it was added, one when the old address was removed
				t.Errorf("version %d: %d connections to the new address, want at most 2", version, n)
			}
		})
	}
}

// Requests are spread evenly over all addresses: over HTTP/1.1 because concurrent
// requests need several connections, over HTTP/2 because there is one connection for
// each address.
func TestTransportUsesAllAddresses(t *testing.T) {
	t.Parallel()
	all := []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}
	for _, version := range []Version{HTTP1, HTTP2} {
		synctest.Test(t, func(t *testing.T) {
			hosts := map[string]*host{}
			for _, address := range all {
				hosts[address] = newHost(t, address)
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
				for _, address := range all {
					select {
					case <-hosts[address].waiting:
						hosts[address].release <- struct{}{}
					default:
					}
				}
			}
			counts := map[string]int{}
			for range 6 {
				counts[<-answers]++
			}
			for _, address := range all {
				if counts[address] != 2 {
					t.Errorf("version %d: %s answered %d requests, want 2; all: %v", version, address, counts[address], counts)
				}
			}
		})
	}
}

// A request on an HTTP/2 connection whose peer has died silently fails within fifteen
// seconds, and the connection is closed.
func TestTransportDetectsDeadPeers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hosts := map[string]*host{"10.0.0.1": newHost(t, "10.0.0.1"), "10.0.0.2": newHost(t, "10.0.0.2")}
		resolved := []string{"10.0.0.1"}
		u := newTestUpstream(t, func() []string { return resolved }, hosts)
		transport := u.NewTransport(TransportConfig{Version: HTTP2})
		defer transport.CloseIdleConnections()
		if got := get(transport, "/"); got != "10.0.0.1" {
			t.Fatalf("answered by %s, want 10.0.0.1", got)
		}
		hosts["10.0.0.1"].dead.Store(true)
		began := time.Now()
		if got := get(transport, "/"); slices.Contains(resolved, got) || time.Since(began) > 15*time.Second {
			t.Errorf("got %s after %v, want an error within 15s", got, time.Since(began))
		}
		if n := hosts["10.0.0.1"].open.Load(); n != 0 {
			t.Errorf("%d connections to the dead host are open, want 0", n)
		}
	})
}
