package upstream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Every exchange through an http1Pool is compared with the same through net/http's
// Transport: what comes back, and how often a connection is made.

// scripted is a server that sends a request's answer byte by byte as it is told.
type scripted struct {
	answers  []string    // one for each request on a connection; then it closes
	segments int64       // seed of the random segments that they are cut into
	before   func(n int) // called before each answer on a connection
	dialed   atomic.Int32
	serving  sync.WaitGroup
}

func (s *scripted) dial(context.Context, string, string) (net.Conn, error) {
	near, far, err := connected()
	if err != nil {
		return nil, err
	}
	cut := rand.New(rand.NewPCG(uint64(s.segments), uint64(s.dialed.Add(1))))
	s.serving.Go(func() {
		defer func() { _ = far.Close() }()
		reader := bufio.NewReader(far)
		for n, answer := range s.answers {
			request, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, request.Body); err != nil {
				return
			}
			if s.before != nil {
				s.before(n)
			}
			for len(answer) > 0 {
				n := 1 + cut.IntN(len(answer))
				if _, err := io.WriteString(far, answer[:n]); err != nil {
					return
				}
				answer = answer[n:]
			}
		}
	})
	return near, nil
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

// exchanges sends requests one after the other.
func exchanges(t *testing.T, transport http.RoundTripper, requests []func() *http.Request) []exchanged {
	t.Helper()
	all := make([]exchanged, 0, len(requests))
	for n, newOne := range requests {
		if n > 0 { // by then, what the server has sent too much has arrived, and net/http has noticed
			time.Sleep(10 * time.Millisecond)
		}
		var seen exchanged
		request := newOne()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		request = request.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
				seen.Interim = append(seen.Interim, code)
				return nil
			},
		}))
		response, err := transport.RoundTrip(request)
		if seen.Failed = err != nil; err == nil {
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			seen.Status, seen.Header, seen.Length = response.StatusCode, response.Header, response.ContentLength
			seen.Body, seen.BodyFailed, seen.Trailer = string(body), err != nil, response.Trailer
		}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("%T: %s %+v: the exchange did not end", transport, request.Method, seen)
		}
		cancel()
		all = append(all, seen)
	}
	return all
}

// compare makes the same exchanges through both.
func compare(t *testing.T, name string, server func() *scripted, requests ...func() *http.Request) {
	t.Helper()
	theirs := server()
	transport := &http.Transport{DialContext: theirs.dial, DisableCompression: true, MaxResponseHeaderBytes: 4096}
	want := exchanges(t, transport, requests)
	transport.CloseIdleConnections()
	theirs.serving.Wait()
	ours := server()
	pool := &http1Pool{dial: func(ctx context.Context) (net.Conn, error) { return ours.dial(ctx, "", "") }, maxHeaderBytes: 4096}
	got := exchanges(t, mixedPool{http1Pool: pool}, requests)
	pool.CloseIdleConnections()
	ours.serving.Wait()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %+v\nnet/http gets %+v", name, got, want)
	}
	if got, want := ours.dialed.Load(), theirs.dialed.Load(); got != want {
		t.Errorf("%s: got %d connections, net/http makes %d", name, got, want)
	}
}

func newRequest(method string, body func() io.Reader) func() *http.Request {
	return func() *http.Request {
		var from io.Reader
		if body != nil {
			from = body()
		}
		request, err := http.NewRequest(method, "http://x/a?b=c", from)
		if err != nil {
			panic(err)
		}
		request.Header.Set("X-A", "b")
		return request
	}
}

var (
	getRequest  = newRequest(http.MethodGet, nil)
	headRequest = newRequest(http.MethodHead, nil)
	postRequest = newRequest(http.MethodPost, func() io.Reader { return strings.NewReader("in memory") })
	streamed    = newRequest(http.MethodPost, func() io.Reader { return io.MultiReader(strings.NewReader("streamed")) })
)

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// What comes back is what net/http makes of it, and connections are used again as net/http
// uses them.
func TestHTTP1ExchangesAreNetHTTPs(t *testing.T) {
	t.Parallel()
	// After these, the server closes the connection.
	const ends = "close, until the end, HTTP/1.0, cut head, cut body, cut chunk, no HTTP, nothing"
	for name, answer := range map[string]string{
		"length":                     ok,
		"no body":                    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"204":                        "HTTP/1.1 204 No Content\r\nX-B: c\r\n\r\n",
		"304 with a length":          "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
		"chunked":                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n3\r\n!!!\r\n0\r\n\r\n",
		"chunked, trailers":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n2\r\nok\r\n0\r\nX-T: u\r\n\r\n",
		"close":                      "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
		"until the end":              "HTTP/1.1 200 OK\r\n\r\nwhatever comes",
		"HTTP/1.0":                   "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.0, kept":             "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
		"early hints":                "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok,
		"continue that nobody asked": "HTTP/1.1 100 Continue\r\n\r\n" + ok,
		"many values":                "HTTP/1.1 200 OK\r\nX-B: c\r\nX-B: d\r\nx-b: e\r\nContent-Length: 2\r\n\r\nok",
		"large head":                 "HTTP/1.1 200 OK\r\nX-B: " + strings.Repeat("c", 5000) + "\r\nContent-Length: 2\r\n\r\nok",
		"cut head":                   "HTTP/1.1 200 OK\r\nX-B: c",
		"cut body":                   "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
		"cut chunk":                  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nok",
		"bad chunk":                  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nok",
		"two lengths":                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
		"length and coding":          "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"no HTTP":                    "hello\r\n\r\n",
		"nothing":                    "",
	} {
		for what, request := range map[string]func() *http.Request{"GET": getRequest, "HEAD": headRequest, "POST": postRequest, "streamed": streamed} {
			for seed := range int64(3) {
				answers := []string{answer, ok}
				if strings.Contains(ends, name) {
					answers = answers[:1]
				}
				compare(t, name+", "+what, func() *scripted { return &scripted{answers: answers, segments: seed} }, request, getRequest)
			}
		}
	}
}

// FuzzHTTP1 compares answers of any bytes, cut anywhere.
func FuzzHTTP1(f *testing.F) {
	for _, answer := range []string{
		ok, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n2\r\nok\r\n0\r\nX-T: u\r\n\r\n",
		"HTTP/1.0 200 OK\r\n\r\nuntil the end", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
	} {
		for kind := range byte(4) {
			f.Add([]byte(answer), kind, int64(1))
		}
	}
	f.Fuzz(func(t *testing.T, answer []byte, kind byte, seed int64) {
		// net/http gives up on idle connections with bytes on them a moment later than it
		// may use them.
		if response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil); err == nil && response.StatusCode == http.StatusSwitchingProtocols {
			t.Skip("an upgrade goes through net/http")
		}
		compare(t, fmt.Sprintf("%q", answer), func() *scripted {
			return &scripted{answers: []string{string(answer)}, segments: seed}
		}, []func() *http.Request{getRequest, headRequest, postRequest, streamed}[kind%4])
	})
}

func newScriptedPool(server *scripted) *http1Pool {
	return &http1Pool{dial: func(ctx context.Context) (net.Conn, error) { return server.dial(ctx, "", "") }, maxHeaderBytes: 4096}
}

// A connection that the other side has closed is not used: not even a request that must
// not be sent twice notices.
func TestHTTP1NoticesClosedConnections(t *testing.T) {
	t.Parallel()
	server := &scripted{answers: []string{ok}} // and closes
	pool := newScriptedPool(server)
	defer pool.CloseIdleConnections()
	for range 3 {
		if got := exchanges(t, mixedPool{http1Pool: pool}, []func() *http.Request{streamed}); got[0].Failed || got[0].Body != "ok" {
			t.Errorf("got %+v, want ok", got[0])
		}
		server.serving.Wait()
	}
	if got := server.dialed.Load(); got != 3 {
		t.Errorf("got %d connections, want 3", got)
	}
}

// sent tells whether the upstream may have handled a request.
func TestHTTP1TellsWhatWasSent(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		dial func(context.Context) (net.Conn, error)
		sent bool
	}{
		"no connection": {func(context.Context) (net.Conn, error) { return nil, errors.New("refused") }, false},
		"no answer": {func(ctx context.Context) (net.Conn, error) {
			return (&scripted{answers: []string{""}}).dial(ctx, "", "")
		}, true},
		"closed before": {func(context.Context) (net.Conn, error) {
			near, _ := net.Pipe()
			return near, near.Close()
		}, false},
	} {
		for what, request := range map[string]func() *http.Request{"in memory": postRequest, "streamed": streamed} {
			_, sent, err := (&http1Pool{dial: test.dial, maxHeaderBytes: 4096}).do(request())
			if err == nil || sent != test.sent {
				t.Errorf("%s, %s: got sent %v, %v; want %v and an error", name, what, sent, err, test.sent)
			}
		}
	}
}

// The end of a request's context ends its exchange at any time, and its connection.
func TestHTTP1CancellationEndsTheExchange(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{"before the answer": "", "in the answer": "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"} {
		near, far, err := connected()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		pool := &http1Pool{dial: func(context.Context) (net.Conn, error) { return near, nil }, maxHeaderBytes: 4096}
		ended := make(chan error)
		go func() {
			response, _, err := pool.do(postRequest().WithContext(ctx))
			if err == nil {
				_, err = io.ReadAll(response.Body)
			}
			ended <- err
		}()
		if _, err := http.ReadRequest(bufio.NewReader(far)); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(far, answer)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want %v", name, err, context.Canceled)
		}
		if _, err := io.Copy(io.Discard, far); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: got %v, want the end of the connection", name, err)
		}
		_ = far.Close()
	}
}

// The answer's head has its time from the end of the request on.
func TestHTTP1HeaderTimeout(t *testing.T) {
	t.Parallel()
	for what, request := range map[string]func() *http.Request{"in memory": postRequest, "streamed": streamed} {
		near, far, err := connected()
		if err != nil {
			t.Fatal(err)
		}
		pool := &http1Pool{dial: func(context.Context) (net.Conn, error) { return near, nil }, headerTimeout: time.Millisecond, maxHeaderBytes: 4096}
		_, sent, err := pool.do(request())
		if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() || IsDial(err) || !sent {
			t.Errorf("%s: got sent %v, %v, want a timeout", what, sent, err)
		}
		_ = far.Close()
	}
}

// A request is not sent again because its answer takes too long, or is none.
func TestHTTP1AnswersAreAwaitedOnce(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		second  string
		timeout time.Duration
		want    int32 // connections
	}{
		"ends without an answer": {"", 0, 2},
		"no HTTP":                {"hello\r\n\r\n", 0, 1},
		"takes too long":         {"", 200 * time.Millisecond, 1},
	} {
		silent := make(chan struct{})
		server := &scripted{answers: []string{ok, test.second}}
		if test.timeout > 0 {
			server.before = func(n int) {
				if n == 1 {
					<-silent
				}
			}
		}
		pool := newScriptedPool(server)
		pool.headerTimeout = test.timeout
		for range 2 {
			_ = exchanges(t, mixedPool{http1Pool: pool}, []func() *http.Request{getRequest})
		}
		if got := server.dialed.Load(); got != test.want {
			t.Errorf("%s: got %d connections, want %d", name, got, test.want)
		}
		close(silent)
		pool.CloseIdleConnections()
		server.serving.Wait()
	}
}
