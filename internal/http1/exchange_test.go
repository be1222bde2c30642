package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// scripted is a script that gives each request of the first connection the next of the answers,
// cut into random segments, and then closes. On other connections there is one answer, ok.
func scripted(seed int64, answers ...string) func(l *link) {
	return func(l *link) {
		answers := answers
		if l.number > 0 {
			answers = []string{ok}
		}
		cut := rand.New(rand.NewPCG(uint64(seed), uint64(l.number)))
		reader := bufio.NewReader(l.stream)
		for _, answer := range answers {
			if l.await(func() error {
				request, err := http.ReadRequest(reader)
				if err == nil {
					_, err = io.Copy(io.Discard, request.Body)
				}
				return err
			}) != nil {
				return
			}
			for len(answer) > 0 {
				n := 1 + cut.IntN(len(answer))
				if _, err := io.WriteString(l.stream, answer[:n]); err != nil {
					return
				}
				answer = answer[n:]
			}
		}
	}
}

// compare makes the same exchanges with our Transport and with net/http's.
func compare(t *testing.T, name string, newPeer func() *peer, requests ...newRequest) {
	t.Helper()
	theirs, ours := newPeer(), newPeer()
	netHTTP, tested := theirs.netHTTP(), ours.ours()
	want, got := exchanges(t, netHTTP, theirs, requests...), exchanges(t, tested, ours, requests...)
	netHTTP.CloseIdleConnections()
	tested.CloseIdleConnections()
	theirs.serving.Wait()
	ours.serving.Wait()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %+v\nnet/http gets %+v", name, got, want)
	}
	if slices.ContainsFunc(requests, isStreamed) {
		return // the connection is used again only if the request has been written within 50 ms
	}
	// The same holds for a body that is in memory, but only of net/http.
	if got, want := ours.dials(), theirs.dials(); got > want || got < want && !slices.ContainsFunc(requests, hasBody) {
		t.Errorf("%s: got %d connections, net/http makes %d", name, got, want)
	}
}

func hasBody(newOne newRequest) bool { return newOne("http://x").Body != nil }

func isStreamed(newOne newRequest) bool {
	request := newOne("http://x")
	return request.Body != nil && request.GetBody == nil
}

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
		"hundred interim answers":    strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: "+strings.Repeat("x", 100)+"\r\n\r\n", 100) + ok,
		"large interim answer":       "HTTP/1.1 103 Early Hints\r\nLink: " + strings.Repeat("x", 5000) + "\r\n\r\n" + ok,
		"status below 100":           "HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n",
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
		for what, request := range map[string]newRequest{"GET": getRequest, "HEAD": headRequest, "POST": postRequest, "streamed": streamed} {
			answers := []string{answer, ok}
			if strings.Contains(ends, name) {
				answers = answers[:1]
			}
			for seed := range int64(2) {
				compare(t, name+", "+what, func() *peer { return newPeer(scripted(seed, answers...)) }, request, getRequest)
			}
			compare(t, name+", "+what+", TLS", func() *peer { return newPeer(scripted(2, answers...)).secure(t, tls.VersionTLS13) }, request, getRequest)
		}
	}
}

// FuzzHTTP1 compares answers of any bytes, cut anywhere, and the exchange after them.
func FuzzHTTP1(f *testing.F) {
	for _, answer := range []string{
		ok, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n2\r\nok\r\n0\r\nX-T: u\r\n\r\n",
		"HTTP/1.0 200 OK\r\n\r\nuntil the end", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", ok + "stray",
	} {
		for _, kind := range []byte{0, 1, 2, 3, 12, 13, 14, 15} {
			f.Add([]byte(answer), kind, int64(1))
		}
	}
	secured := newPeer(nil).secure(f, tls.VersionTLS13)
	f.Fuzz(func(t *testing.T, answer []byte, kind byte, seed int64) {
		request := []newRequest{getRequest, headRequest, postRequest, streamed}[kind%4]
		answers := []string{string(answer), ok}
		switch status, whole := judge(answer, request("http://x")); {
		case status == http.StatusSwitchingProtocols:
			t.Skip("net/http could switch protocols")
		case !whole: // the client waits for the end of the connection
			answers = answers[:1]
		}
		compare(t, fmt.Sprintf("%q", answer), func() *peer {
			p := newPeer(scripted(seed, answers...))
			if kind&12 == 12 { // a handshake takes longer than all the rest
				p.server, p.client = secured.server, secured.client
			}
			return p
		}, request, getRequest)
	})
}

// judge reads an answer, and whatever is behind it. whole says that it has an end.
func judge(answer []byte, request *http.Request) (status int, whole bool) {
	reader := bufio.NewReader(bytes.NewReader(answer))
	for {
		response, err := http.ReadResponse(reader, request)
		if err != nil {
			return 0, false
		}
		if status = response.StatusCode; status >= 200 || status < 100 || status == http.StatusSwitchingProtocols {
			_, err = io.Copy(io.Discard, response.Body)
			return status, err == nil && !response.Close
		}
	}
}

// Interim answers that the caller does not look at share the limit of the final answer's
// head, as in net/http: a peer cannot send them for ever.
func TestInterimAnswersThatNobodyReadsAreLimited(t *testing.T) {
	t.Parallel()
	const interim = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
	for count, fails := range map[int]bool{maxHead / 2 / len(interim): false, 3 * maxHead / len(interim): true} {
		for _, client := range []func(*peer) transport{(*peer).oursAsTransport, (*peer).netHTTPAsTransport} {
			p := newPeer(scripted(1, strings.Repeat(interim, count)+ok))
			with := client(p)
			response, err := with.RoundTrip(getRequest(p.url()))
			if (err != nil) != fails {
				t.Errorf("%T, %d interim answers: got error %v, want one: %v", with, count, err, fails)
			}
			if err == nil {
				_ = response.Body.Close()
			}
			with.CloseIdleConnections()
			p.serving.Wait()
		}
	}
}

// The caller can end an exchange at an interim answer.
func TestCallerEndsInterimAnswers(t *testing.T) {
	t.Parallel()
	p := newPeer(scripted(1, "HTTP/1.1 103 Early Hints\r\n\r\n"+ok))
	enough := errors.New("enough")
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(int, textproto.MIMEHeader) error { return enough },
	})
	if _, err := p.ours().RoundTrip(getRequest(p.url()).WithContext(ctx)); !errors.Is(err, enough) {
		t.Errorf("got %v, want %v", err, enough)
	}
	p.serving.Wait()
}

// A connection that the other side has closed is not used: not even a request that must not
// be sent twice notices.
func TestHTTP1NoticesClosedConnections(t *testing.T) {
	t.Parallel()
	for _, version := range []uint16{0, tls.VersionTLS12, tls.VersionTLS13} {
		p := newPeer(scripted(1, ok)) // and closes
		if version > 0 {
			p.secure(t, version)
		}
		client := p.ours()
		for range 3 {
			if got := exchanges(t, client, p, streamed); got[0].Failed || got[0].Body != "ok" {
				t.Errorf("%s: got %+v, want ok", tlsName(version), got[0])
			}
		}
		if got := p.dials(); got != 3 {
			t.Errorf("%s: got %d connections, want 3", tlsName(version), got)
		}
		client.CloseIdleConnections()
		p.serving.Wait()
	}
}

// Where it cannot be told whether something is left on a connection, it serves one exchange, and
// is closed at once rather than at the next one.
func TestOtherConnectionsServeOneExchange(t *testing.T) {
	t.Parallel()
	p := newPeer(scripted(1, ok, ok))
	client := p.ours()
	client.Base.DialContext = func(context.Context, string, string) (net.Conn, error) {
		near, l, err := p.dial()
		return observed{near, l}, err
	}
	for range 2 {
		if got := exchanges(t, client, p, getRequest); got[0].Body != "ok" {
			t.Errorf("got %+v, want ok", got[0])
		}
	}
	if got := p.dials(); got != 2 {
		t.Errorf("got %d connections, want 2", got)
	}
	p.serving.Wait()
}

func traceSent(request *http.Request) (*http.Request, *atomic.Bool) {
	sent := new(atomic.Bool)
	trace := &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }}
	return request.WithContext(httptrace.WithClientTrace(request.Context(), trace)), sent
}

// WroteHeaders tells whether the peer may have handled the request.
func TestHTTP1TellsWhatWasSent(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	for name, test := range map[string]struct {
		dial func(context.Context) (net.Conn, error)
		sent bool
	}{
		"no connection": {func(context.Context) (net.Conn, error) { return nil, refused }, false},
		"no answer": {func(context.Context) (net.Conn, error) {
			near, _, err := newPeer(scripted(1, "")).dial()
			return near, err
		}, true},
		"closed before": {func(context.Context) (net.Conn, error) {
			near, _ := net.Pipe()
			return near, near.Close()
		}, false},
	} {
		for what, request := range map[string]newRequest{"in memory": postRequest, "streamed": streamed} {
			traced, sent := traceSent(request("http://x"))
			if _, err := dialing(test.dial).RoundTrip(traced); err == nil || sent.Load() != test.sent {
				t.Errorf("%s, %s: got error %v, sent: %v, want an error, sent: %v", name, what, err, sent.Load(), test.sent)
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
		client := over(near)
		ended := make(chan error)
		go func() {
			response, err := client.RoundTrip(postRequest("http://x").WithContext(ctx))
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
	for what, request := range map[string]newRequest{"in memory": postRequest, "streamed": streamed} {
		near, far, err := connected()
		if err != nil {
			t.Fatal(err)
		}
		client := over(near)
		client.Base.ResponseHeaderTimeout = time.Millisecond
		traced, sent := traceSent(request("http://x"))
		_, err = client.RoundTrip(traced)
		if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() || !sent.Load() {
			t.Errorf("%s: got %+v, want a timeout after the request was sent", what, err)
		}
		_ = far.Close()
	}
}

// A request is not sent again because its answer takes too long, or is none.
func TestHTTP1AnswersAreAwaitedOnce(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		second  string
		silent  bool       // the server sends nothing, and does not close
		request newRequest // default: GET
		want    int        // connections
	}{
		"ends without an answer":    {want: 2},
		"ends, and it was a POST":   {request: postRequest, want: 1},
		"ends, and it was a DELETE": {request: requestOf(http.MethodDelete, nil), want: 1},
		"no HTTP":                   {second: "hello\r\n\r\n", want: 1},
		"ends after an interim":     {second: "HTTP/1.1 103 Early Hints\r\n\r\n", want: 1},
		"no answer within its time": {silent: true, want: 1},
	} {
		answers := scripted(1, ok, test.second)
		if test.silent {
			answers = func(l *link) {
				scripted(1, ok)(l)
				_ = l.await(func() error { _, err := io.Copy(io.Discard, l); return err })
			}
		}
		p := newPeer(answers)
		client := p.ours()
		_ = exchanges(t, client, p, getRequest)
		if test.silent {
			client.Base.ResponseHeaderTimeout = time.Millisecond
		}
		if test.request == nil {
			test.request = getRequest
		}
		_ = exchanges(t, client, p, test.request)
		if got := p.dials(); got != test.want {
			t.Errorf("%s: got %d connections, want %d", name, got, test.want)
		}
		client.CloseIdleConnections()
		p.serving.Wait()
	}
}
