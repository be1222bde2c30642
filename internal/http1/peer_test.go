package http1_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"zitadel-v1-adapter/internal/http1"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard) // net/http's Transport complains there of what it was sent too much
	goleak.VerifyTestMain(m)
}

// peer is a server whose every byte is scripted.
type peer struct {
	script func(l *link) // serves a connection
	server *tls.Config   // nil: no TLS
	client *tls.Config

	mu      sync.Mutex
	changed *sync.Cond // something of a link
	links   []*link
	serving sync.WaitGroup
}

func newPeer(script func(l *link)) *peer {
	p := &peer{script: script}
	p.changed = sync.NewCond(&p.mu)
	return p
}

// secure makes the peer speak TLS. A record is then as long as what is written at once.
func (p *peer) secure(tb testing.TB, version uint16) *peer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader) // httptest's RSA key takes much longer
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"x"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	roots := x509.NewCertPool()
	trusted, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	roots.AddCert(trusted)
	p.server = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		MinVersion:   version, MaxVersion: version, DynamicRecordSizingDisabled: true,
	}
	p.client = &tls.Config{RootCAs: roots, ServerName: "x", MinVersion: version}
	return p
}

// link is a connection to a peer. It is the server's end, below TLS.
type link struct {
	net.Conn

	peer   *peer
	stream io.ReadWriter // the server's end, above TLS
	number int           // of the connection, from 0

	held *bytes.Buffer // not nil: what is written waits here
	cut  []byte        // goes before what is written next

	// Guarded by peer.mu:
	waiting  bool  // the server has written what it will write before the next request
	ended    bool  // the server has closed the connection
	sent     int64 // by the server
	received int64 // by the client
	reading  bool  // the client waits for more
	closed   bool  // by the client
}

func (l *link) Write(data []byte) (int, error) {
	if l.held != nil {
		return l.held.Write(data)
	}
	l.peer.change(func() { l.sent += int64(len(l.cut) + len(data)) })
	if _, err := l.Conn.Write(append(l.cut, data...)); err != nil {
		return 0, err
	}
	l.cut = nil
	return len(data), nil
}

// release writes what was held, but for its last bytes, which come with what is written next.
func (l *link) release(without int) {
	held := l.held.Bytes()
	l.held = nil
	_, _ = l.Write(held[:len(held)-without])
	l.cut = held[len(held)-without:]
}

// await calls read, which reads from the client.
func (l *link) await(read func() error) error {
	l.peer.change(func() { l.waiting = true })
	err := read()
	l.peer.change(func() { l.waiting = false })
	return err
}

func (p *peer) change(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	p.changed.Broadcast()
}

// dial makes a connection, of which near is the client's end.
func (p *peer) dial() (near net.Conn, l *link, err error) {
	near, far, err := connected()
	if err != nil {
		return nil, nil, err
	}
	l = &link{Conn: far, peer: p}
	l.stream = l
	if p.server != nil {
		l.stream = tls.Server(l, p.server)
	}
	p.change(func() {
		l.number = len(p.links)
		p.links = append(p.links, l)
	})
	p.serving.Go(func() {
		p.script(l)
		_ = far.Close()
		p.change(func() { l.ended = true })
	})
	return near, l, nil
}

// connected returns both ends of a TCP connection.
func connected() (near, far net.Conn, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = listener.Close() }()
	if near, err = net.Dial("tcp", listener.Addr().String()); err != nil {
		return nil, nil, err
	}
	far, err = listener.Accept()
	return near, far, err
}

func (p *peer) dials() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.links)
}

// settle waits until the server has written what it will write, and, if the client is
// net/http, until that has looked at all of it. Ours looks at it when it is asked again.
func (p *peer) settle(client transport) {
	_, isNetHTTP := client.(*http.Transport)
	settled := func(l *link) bool {
		if !l.waiting && !l.ended {
			return false
		}
		return !isNetHTTP || l.closed || l.reading && l.received == l.sent && !l.ended
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		all := true
		for _, l := range p.links {
			all = all && settled(l)
		}
		if all {
			return
		}
		p.changed.Wait()
	}
}

// observed is the client's end of a link, of which the link is told.
type observed struct {
	net.Conn

	link *link
}

func (o observed) Read(into []byte) (int, error) {
	o.link.peer.change(func() { o.link.reading = true })
	n, err := o.Conn.Read(into)
	o.link.peer.change(func() { o.link.reading, o.link.received = false, o.link.received+int64(n) })
	return n, err
}

func (o observed) Close() error {
	o.link.peer.change(func() { o.link.closed = true })
	return o.Conn.Close()
}

type transport interface {
	http.RoundTripper
	CloseIdleConnections()
}

const maxHead = 4096

// ours is the Transport that is tested.
func (p *peer) ours() *http1.Transport {
	ours := dialing(func(context.Context) (net.Conn, error) {
		near, _, err := p.dial()
		return near, err
	})
	ours.TLS, ours.Base.TLSClientConfig, ours.Base.MaxResponseHeaderBytes = p.client != nil, p.client, maxHead
	return ours
}

func dialing(dial func(context.Context) (net.Conn, error)) *http1.Transport {
	return &http1.Transport{Address: "x:1", Base: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dial(ctx)
	}}}
}

// over is a Transport that has a single connection.
func over(near net.Conn) *http1.Transport {
	return dialing(func(context.Context) (net.Conn, error) { return near, nil })
}

// netHTTP is the one that it is compared with.
func (p *peer) netHTTP() *http.Transport {
	dial := func(context.Context, string, string) (net.Conn, error) {
		near, l, err := p.dial()
		return observed{near, l}, err
	}
	dialTLS := func(ctx context.Context, network, address string) (net.Conn, error) {
		near, err := dial(ctx, network, address)
		return tls.Client(near, p.client), err
	}
	return &http.Transport{DialContext: dial, DialTLSContext: dialTLS, DisableCompression: true, MaxResponseHeaderBytes: maxHead}
}

func (p *peer) url() string {
	if p.client != nil {
		return "https://x/a?b=c"
	}
	return "http://x/a?b=c"
}

// exchanged is what a client sees of an exchange.
type exchanged struct {
	Failed     bool
	Status     int
	Header     http.Header
	Length     int64
	Body       string
	BodyFailed bool
	Trailer    http.Header
	Interim    []int
}

// newRequest makes a request to a URL.
type newRequest func(url string) *http.Request

// exchanges sends requests one after the other.
func exchanges(t *testing.T, client transport, p *peer, requests ...newRequest) []exchanged {
	t.Helper()
	all := make([]exchanged, 0, len(requests))
	for _, newOne := range requests {
		var seen exchanged
		request := newOne(p.url())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		request = request.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
				seen.Interim = append(seen.Interim, code)
				return nil
			},
		}))
		response, err := client.RoundTrip(request)
		if seen.Failed = err != nil; err == nil {
			body, err := readAll(response.Body)
			_ = response.Body.Close()
			seen.Status, seen.Header, seen.Length = response.StatusCode, response.Header, response.ContentLength
			seen.Body, seen.BodyFailed, seen.Trailer = body, err != nil, response.Trailer
		}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("%T: %s %+v: the exchange did not end", client, request.Method, seen)
		}
		cancel()
		all = append(all, seen)
		p.settle(client)
	}
	return all
}

// readAll reads as a proxy does, into a buffer that is larger than bufio's: what bufio does
// not hold by then, it does not read either.
func readAll(from io.Reader) (string, error) {
	var all strings.Builder
	_, err := io.CopyBuffer(struct{ io.Writer }{&all}, from, make([]byte, 32<<10))
	return all.String(), err
}

func requestOf(method string, body func() io.Reader) newRequest {
	return func(url string) *http.Request {
		var from io.Reader
		if body != nil {
			from = body()
		}
		request, err := http.NewRequest(method, url, from)
		if err != nil {
			panic(err)
		}
		request.Header.Set("X-A", "b")
		return request
	}
}
