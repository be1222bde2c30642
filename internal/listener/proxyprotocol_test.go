package listener_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"zitadel-v1-adapter/internal/listener"
	"zitadel-v1-adapter/internal/refusals"
	"zitadel-v1-adapter/internal/wiretest"
)

const (
	signature = "\r\n\r\n\x00\r\nQUIT\n" // of version 2
	// fromIPv4 and fromIPv6 name the clients 203.0.113.7:40000 and [2001:db8::7]:40000.
	fromIPv4 = signature + "\x21\x11\x00\x0c" + "\xcb\x00\x71\x07" + "\xc0\x00\x02\x01" + "\x9c\x40\x01\xbb"
	fromIPv6 = signature + "\x21\x21\x00\x24" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\x9c\x40\x01\xbb"
	lastRequest = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
)

// isLoopback is the trusted proxy of these tests: 127.0.0.1.
func isLoopback(peer netip.Addr) bool { return peer == netip.AddrFrom4([4]byte{127, 0, 0, 1}) }

// tellPeer answers with the protocol and the peer's address.
func tellPeer(w http.ResponseWriter, r *http.Request) {
	describe(w, r)
	_, _ = io.WriteString(w, " from "+r.RemoteAddr)
}

// dialFrom connects from an IP address until the test ends.
func dialFrom(t *testing.T, from string, s *listener.Server) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.DialContext(t.Context(), "tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// recorded is a Recorder, and what it records.
func recorded() (*refusals.Recorder, <-chan refusals.Reason) {
	reasons := make(chan refusals.Reason, 100)
	return refusals.NewRecorder(func(reason refusals.Reason) { reasons <- reason }, slog.New(slog.DiscardHandler)), reasons
}

// slicing is a listener from whose connections each Read gets a single byte.
type slicing struct{ net.Listener }

type sliced struct {
	net.Conn

	reader io.Reader
}

func (s slicing) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return sliced{conn, iotest.OneByteReader(conn)}, nil
}

func (s sliced) Read(into []byte) (int, error) { return s.reader.Read(into) }

// A trusted proxy's connection begins with a header that names the client, in either version.
// Without a valid one it is closed without an answer. Others' headers are malformed requests.
func TestPROXYHeaderNamesThePeer(t *testing.T) {
	t.Parallel()
	const proxy, stranger = "127.0.0.1", "127.0.0.2"
	for name, test := range map[string]struct {
		from   string // default: proxy
		header string
		sliced bool            // the header comes byte by byte
		peer   string          // without port: the connection's own
		reason refusals.Reason // of the refusal
		answer string          // of one
	}{
		"v1, IPv4":              {header: "PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\n", peer: "203.0.113.7:40000"},
		"v1, IPv6":              {header: "PROXY TCP6 2001:db8::7 2001:db8::1 40000 443\r\n", peer: "[2001:db8::7]:40000"},
		"v1, health check":      {header: "PROXY UNKNOWN\r\n", peer: proxy},
		"v1, unknown client":    {header: "PROXY UNKNOWN ffff:: ::1 1 1\r\n", peer: proxy},
		"v2, IPv4":              {header: fromIPv4, peer: "203.0.113.7:40000"},
		"v2, IPv6":              {header: fromIPv6, peer: "[2001:db8::7]:40000"},
		"v2, with TLVs":         {header: strings.Replace(fromIPv4, "\x00\x0c", "\x00\x13", 1) + "\x01\x00\x04host", peer: "203.0.113.7:40000"},
		"v2, byte by byte":      {header: fromIPv6, sliced: true, peer: "[2001:db8::7]:40000"},
		"v2, health check":      {header: signature + "\x20\x00\x00\x00", peer: proxy},
		"v2, LOCAL, addresses":  {header: strings.Replace(fromIPv4, "\x21\x11", "\x20\x11", 1), peer: proxy},
		"no header":             {reason: refusals.Proxy},
		"v1, byte by byte":      {header: "PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\n", sliced: true, peer: "203.0.113.7:40000"},
		"v1, longest, sliced":   {header: "PROXY UNKNOWN " + strings.Repeat("f", 91) + "\r\n", sliced: true, peer: proxy},
		"v1, too long, sliced":  {header: "PROXY UNKNOWN " + strings.Repeat("f", 92) + "\r\n", sliced: true, reason: refusals.Proxy},
		"v1, no address":        {header: "PROXY TCP4 localhost 192.0.2.1 40000 443\r\n", reason: refusals.Proxy},
		"v1, no end":            {header: "PROXY TCP4 " + strings.Repeat("x", 200), reason: refusals.Proxy},
		"v2, no command":        {header: strings.Replace(fromIPv4, "\x21\x11", "\x2f\x11", 1), reason: refusals.Proxy},
		"v2, too short":         {header: strings.Replace(fromIPv4, "\x00\x0c", "\x00\x0b", 1), reason: refusals.Proxy},
		"v2, 64 KB of TLVs":     {header: strings.Replace(fromIPv4, "\x00\x0c", "\xff\xff", 1) + "\xee\xff\xf0" + strings.Repeat("x", 0xfff0), peer: "203.0.113.7:40000"},
		"v2, TLVs, sliced":      {header: strings.Replace(fromIPv6, "\x00\x24", "\x20\x27", 1) + "\xee\x20\x00" + strings.Repeat("x", 0x2000), sliced: true, peer: "[2001:db8::7]:40000"},
		"v2, LOCAL, TLVs":       {header: signature + "\x20\x00\xff\xff" + strings.Repeat("x", 0xffff), peer: proxy},
		"v2, Unix socket":       {header: signature + "\x21\x31\x00\xd8" + strings.Repeat("x", 216), reason: refusals.Proxy},
		"garbage":               {header: "\r\n\r\n\x00\r\nQUIX", reason: refusals.Proxy},
		"another header":        {header: fromIPv4 + fromIPv4, reason: refusals.Framing, answer: "HTTP/1.1 400"},
		"stranger, none":        {from: stranger, peer: stranger},
		"stranger, v1":          {from: stranger, header: "PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\n", reason: refusals.Framing, answer: "HTTP/1.1 400"},
		"stranger, v2":          {from: stranger, header: fromIPv4, reason: refusals.Framing, answer: "HTTP/1.1 400"},
		"stranger, v2, sliced":  {from: stranger, header: fromIPv4, sliced: true, reason: refusals.Framing, answer: "HTTP/1.1 400"},
		"stranger, none, slice": {from: stranger, sliced: true, peer: stranger},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			recorder, reasons := recorded()
			on, err := listener.Listen(t.Context(), "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			if test.sliced {
				on = slicing{on}
			}
			s := serveOn(t, on, listener.Config{Handler: http.HandlerFunc(tellPeer), IsProxy: isLoopback, HeaderTimeout: time.Minute, Refusals: recorder})
			from := test.from
			if from == "" {
				from = proxy
			}
			conn := dialFrom(t, from, s)
			_, _ = io.WriteString(conn, test.header+lastRequest)
			answer, _ := io.ReadAll(conn) // unread bytes may reset the connection
			if test.reason != "" {
				if got := <-reasons; got != test.reason || !strings.HasPrefix(string(answer), test.answer) || test.answer == "" && len(answer) > 0 {
					t.Errorf("got %q, refused as %q; want %q, %q", answer, got, test.answer, test.reason)
				}
				return
			}
			want := test.peer
			if !strings.Contains(want, ":") {
				want = conn.LocalAddr().String()
			}
			if !strings.HasSuffix(string(answer), "HTTP/1.1 from "+want) || len(reasons) > 0 {
				t.Errorf("got %q, %d refusals; want an answer to %s", answer, len(reasons), want)
			}
		})
	}
}

// The header comes before TLS and before HTTP/2's preface, and concerns all requests of its
// connection.
func TestEveryProtocolFollowsAPROXYHeader(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewCA(t)
	certificates := ca.Certificates(t)
	config := listener.Config{Handler: http.HandlerFunc(tellPeer), IsProxy: isLoopback, HeaderTimeout: time.Minute}
	plain := startWith(t, "127.0.0.1:0", config)
	config.Certificates = certificates
	encrypted := startWith(t, "127.0.0.1:0", config)
	for _, test := range []struct {
		url    string
		http2  bool
		header string
		want   string
	}{
		{url: "http://" + plain.Addr().String(), header: fromIPv4, want: "HTTP/1.1 from 203.0.113.7:40000"},
		{url: "http://" + plain.Addr().String(), header: fromIPv6, http2: true, want: "HTTP/2.0 from [2001:db8::7]:40000"},
		{url: "https://" + encrypted.Addr().String(), header: fromIPv4, want: "HTTP/1.1  from 203.0.113.7:40000"},
		{url: "https://" + encrypted.Addr().String(), header: "PROXY TCP6 2001:db8::7 ::1 40000 443\r\n", http2: true, want: "HTTP/2.0 h2 from [2001:db8::7]:40000"},
	} {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(!test.http2)
		protocols.SetHTTP2(test.http2)
		protocols.SetUnencryptedHTTP2(test.http2)
		dialled := 0
		transport := &http.Transport{
			Protocols: protocols, TLSClientConfig: &tls.Config{RootCAs: ca.Pool()},
			MaxConnsPerHost: 1, // without it, net/http dials again if it has not put an HTTP/2 connection into its pool yet
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				dialled++
				conn, err := new(net.Dialer).DialContext(ctx, network, address)
				if err == nil {
					_, err = io.WriteString(conn, test.header)
				}
				return conn, err
			},
		}
		for range 2 {
			response, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Get(test.url)
			if err != nil {
				t.Fatalf("%s: %v", test.want, err)
			}
			got, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if string(got) != test.want || err != nil || dialled != 1 {
				t.Errorf("got %q, %v, over %d connections; want %q", got, err, dialled, test.want)
			}
		}
		transport.CloseIdleConnections()
	}
}

// A proxy that is slow with its header holds up nobody, and has HeaderTimeout. One that says
// nothing, as TCP probes do, is not worth a word.
func TestSlowPROXYHeadersEnd(t *testing.T) {
	t.Parallel()
	recorder, reasons := recorded()
	config := listener.Config{Handler: http.HandlerFunc(tellPeer), IsProxy: isLoopback, HeaderTimeout: time.Minute, ConnectionsPerPeer: 100, Refusals: recorder}
	patient := startWith(t, "127.0.0.1:0", config)
	for _, begun := range []string{"", "PRO", signature[:5]} {
		_, _ = io.WriteString(dialFrom(t, "127.0.0.1", patient), begun)
	}
	probe := dialFrom(t, "127.0.0.1", patient)
	_ = probe.(*net.TCPConn).CloseWrite()
	if answer, err := io.ReadAll(probe); len(answer) > 0 || err != nil {
		t.Errorf("probe: got %q, %v, want the end", answer, err)
	}
	probe = dialFrom(t, "127.0.0.1", patient) // as HAProxy does
	_ = probe.(*net.TCPConn).SetLinger(0)
	_ = probe.Close()
	other := dialFrom(t, "127.0.0.1", patient)
	_, _ = io.WriteString(other, fromIPv4+lastRequest)
	if answer, err := io.ReadAll(other); !strings.HasSuffix(string(answer), "203.0.113.7:40000") || len(reasons) > 0 {
		t.Errorf("beside slow ones: got %q, %v, %d refusals; want an answer and none", answer, err, len(reasons))
	}

	config.HeaderTimeout = 20 * time.Millisecond
	hasty := startWith(t, "127.0.0.1:0", config)
	for _, begun := range []string{"", "PRO", "PROXY TCP4 203.0.113.7 192.", signature[:5], fromIPv4[:20]} {
		slow := dialFrom(t, "127.0.0.1", hasty)
		_, _ = io.WriteString(slow, begun)
		if answer, err := io.ReadAll(slow); len(answer) > 0 || err != nil {
			t.Errorf("%q: got %q, %v, want the end", begun, answer, err)
		}
		if got := <-reasons; got != refusals.Proxy {
			t.Errorf("%q: refused as %q, want %q", begun, got, refusals.Proxy)
		}
	}
}

// After the header, a connection is what it is without one: a handler can take it over and
// close one direction of it, and Drain closes it when it is idle, and in any state when
// its time is over.
func TestConnectionsAfterPROXYHeaderEndAsOthers(t *testing.T) {
	t.Parallel()
	heard := make(chan string, 1)
	takeOver := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			tellPeer(w, r)
			return
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, conn.RemoteAddr().String())
		_ = conn.(interface{ CloseWrite() error }).CloseWrite()
		rest, _ := io.ReadAll(buffered)
		heard <- string(rest)
		_ = conn.Close()
	})
	s := startWith(t, "127.0.0.1:0", listener.Config{Handler: takeOver, IsProxy: isLoopback, HeaderTimeout: time.Minute})
	hijacked := dialFrom(t, "127.0.0.1", s)
	_, _ = io.WriteString(hijacked, fromIPv4+"GET /take HTTP/1.1\r\nHost: x\r\n\r\n")
	if answer, err := io.ReadAll(hijacked); string(answer) != "203.0.113.7:40000" || err != nil {
		t.Errorf("got %q, %v, want the peer and the end", answer, err)
	}
	_, _ = io.WriteString(hijacked, "still open")
	_ = hijacked.(*net.TCPConn).CloseWrite()
	if got := <-heard; got != "still open" {
		t.Errorf("got %q after the other direction was closed, want all", got)
	}

	idle := dialFrom(t, "127.0.0.1", s)
	_, _ = io.WriteString(idle, fromIPv4+"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	reader := bufio.NewReader(idle)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	if err := s.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(reader); len(rest) > 0 || err != nil {
		t.Errorf("idle: got %q, %v, want the end", rest, err)
	}

	s = startWith(t, "127.0.0.1:0", listener.Config{Handler: takeOver, IsProxy: isLoopback, HeaderTimeout: time.Minute})
	begun := dialFrom(t, "127.0.0.1", s)
	_, _ = io.WriteString(begun, "PRO")
	answered := dialFrom(t, "127.0.0.1", s) // accepted after the other
	_, _ = io.WriteString(answered, fromIPv4+lastRequest)
	if _, err := io.ReadAll(answered); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_ = s.Drain(ended)
	if rest, err := io.ReadAll(begun); len(rest) > 0 {
		t.Errorf("begun: got %q, %v, want the end", rest, err)
	}
}

// Connections of a proxy count as those of the clients that it names, as long as they last.
func TestConnectionsPerPeerCountProxiedClients(t *testing.T) {
	t.Parallel()
	recorder, reasons := recorded()
	s := startWith(t, "127.0.0.1:0", listener.Config{
		Handler: http.HandlerFunc(tellPeer), IsProxy: isLoopback, HeaderTimeout: time.Minute, ConnectionsPerPeer: 1, Refusals: recorder,
	})
	// connect reports whether a connection of a client is answered, and keeps it open.
	connect := func(header string) (conn net.Conn, answered bool) {
		t.Helper()
		conn = dialFrom(t, "127.0.0.1", s)
		_, _ = io.WriteString(conn, header+"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		_, err := conn.Read(make([]byte, 1))
		return conn, err == nil
	}
	first, answered := connect(fromIPv4)
	if _, other := connect(fromIPv6); !answered || !other {
		t.Fatalf("two clients: answered %v, %v, want both", answered, other)
	}
	if _, answered := connect(fromIPv4); answered || <-reasons != refusals.Connections {
		t.Error("a client's second connection was answered, want it refused")
	}
	_ = first.Close()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if _, answered := connect(fromIPv4); answered {
			break
		}
		<-reasons
		if time.Now().After(deadline) {
			t.Fatal("the client's connections are still refused 10s after its first was closed")
		}
	}
}
