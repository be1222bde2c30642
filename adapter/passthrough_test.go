package adapter_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/forwarded"
	"zitadel-v1-adapter/internal/wiretest"
)

// What passes through arrives as it was sent: request targets, headers, answers. Further
// files: passthrough_bypass_test.go (no translated call passes through),
// passthrough_failures_test.go (broken requests and answers),
// passthrough_early_answers_test.go (answers before the end of the request) and
// passthrough_rollout_test.go (calls for native v1).

// The request target arrives upstream byte by byte as it was sent, after the path of
// upstream.url.
func TestPassthroughKeepsRequestTarget(t *testing.T) {
	t.Parallel()
	address, heads := recordHeads(t, okAnswer)
	plain := newPassing(t, "http://"+address, nil)
	based := newPassing(t, "http://"+address+"/base%2Fd", nil)
	for _, test := range []struct{ target, want, wantBased string }{
		{target: "/"},
		{target: "/a%2Fb%2fc"},
		{target: "/a%20b;c=d;e"},
		{target: "//a//b/"},
		{target: "/a/./b/../c"},
		{target: "/%2e%2E/a"},
		{target: "/a|b^c{d}`\"<>\\"},
		{target: "/ä/\xff"},
		{target: "/a#b"},
		{target: "/%zz", want: "refused"}, // net/http accepts no such path
		{target: "//a|b", want: "http://localhost:8088//a|b"},
		{target: "/a?b=c;d&%zz&&=&e=%2F+"},
		{target: "/a?"},
		{target: "/a??b?"},
		{target: "*", wantBased: "*"},
		{target: "http://other.example/a%2Fb?c", want: "/a%2Fb?c"},
	} {
		for name, adapter := range map[string]string{"": plain, "/base%2Fd": based} {
			want := test.want
			if want == "" {
				want = test.target
			}
			switch {
			case name != "" && test.wantBased != "":
				want = test.wantBased
			case name != "" && want != "refused":
				want = name + strings.TrimPrefix(want, "http://localhost:8088")
			}
			request := []byte("OPTIONS " + test.target + " HTTP/1.1\r\nHost: localhost:8088\r\n\r\n")
			response := exchangeRaw(t, adapter, http.MethodOptions, request)
			if want == "refused" {
				if response.StatusCode != http.StatusBadRequest {
					t.Errorf("base %q: %q: got HTTP %d, want 400", name, test.target, response.StatusCode)
				}
				continue
			}
			if response.StatusCode != http.StatusOK {
				t.Errorf("base %q: %q: got HTTP %d %s, want 200", name, test.target, response.StatusCode, bodyOf(t, response))
				continue
			}
			line, _, _ := strings.Cut(<-heads, "\r\n")
			got := strings.TrimSuffix(strings.TrimPrefix(line, "OPTIONS "), " HTTP/1.1")
			if got = strings.ReplaceAll(got, address, "localhost:8088"); got != want {
				t.Errorf("base %q: %q arrived as: got %q, want %q", name, test.target, got, want)
			}
		}
	}
}

// A path that only the target's absolute form can carry still arrives under the client's
// host.
func TestAbsoluteFormTargetKeepsClientsHost(t *testing.T) {
	t.Parallel()
	hosts := make(chan string, 2)
	s := newPassing(t, "http://"+wiretest.Listen(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		hosts <- r.Host + " " + r.URL.EscapedPath()
	})), nil)
	const want = "h.example //a%7Cb"
	exchangeRaw(t, s, http.MethodGet, []byte("GET //a|b HTTP/1.1\r\nHost: h.example\r\n\r\n"))
	if got := <-hosts; got != want {
		t.Errorf("HTTP/1.1: host and path: got %q, want %q", got, want)
	}
	if got := sendH2C(t, s, "h.example", "//a|b", "\x00\x00\x00\x00\x00", [2]string{"content-type", "application/grpc"}); got != "200" {
		t.Errorf("HTTP/2: got status %s, want 200", got)
	}
	if got := <-hosts; got != want {
		t.Errorf("HTTP/2: host and path: got %q, want %q", got, want)
	}
}

// Headers arrive as they were sent, except for hop-by-hop headers, and for those that say
// where the request came from.
func TestPassthroughKeepsRequestHeaders(t *testing.T) {
	t.Parallel()
	address, heads := recordHeads(t, okAnswer)
	s := newPassing(t, "http://"+address, nil)
	exchangeRaw(t, s, http.MethodGet, []byte("GET /x HTTP/1.1\r\nHost: public.example\r\n"+
		"X-Zitadel-Instance-Host: i\r\nX-Zitadel-Public-Host: p\r\nCookie: a=b\r\nCookie: c=d\r\nX-Empty:\r\nX-Text: \xe4\xc3\xa4\r\n"+
		"Accept-Encoding: br\r\nConnection: keep-alive, X-Hop, Upgrade, HTTP2-Settings\r\nKeep-Alive: 5\r\nX-Hop: 1\r\nTe: trailers, deflate\r\n"+
		"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nProxy-Connection: x\r\nProxy-Authorization: Basic eDp5\r\n"+
		"X-Forwarded-For: 1.1.1.1\r\nForwarded: for=1.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n\r\n"))
	want := "GET /x HTTP/1.1\r\nHost: public.example\r\nAccept-Encoding: br\r\nCookie: a=b\r\nCookie: c=d\r\n" +
		"Forwarded: for=127.0.0.1;host=public.example;proto=http\r\nX-Empty: \r\n" +
		"X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: public.example\r\nX-Forwarded-Proto: http\r\nX-Text: \xe4\xc3\xa4\r\n" +
		"X-Zitadel-Instance-Host: i\r\nX-Zitadel-Public-Host: p\r\n\r\n"
	if got := <-heads; got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

// A trusted proxy's headers say where a request came from, and the proxy's own address is
// added to them.
func TestTrustedProxyNamesOriginOfRequest(t *testing.T) {
	t.Parallel()
	trusted, err := forwarded.ParseTrustedProxies([]string{"127.0.0.0/8", "::1"})
	if err != nil {
		t.Fatal(err)
	}
	address, heads := recordHeads(t, okAnswer)
	s := newPassing(t, "http://"+address, func(p *parts) { p.edge.Forwarding.Trusted = trusted })
	exchangeRaw(t, s, http.MethodGet, []byte("GET / HTTP/1.1\r\nHost: x:80\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n"+
		"Forwarded: for=1.1.1.1\r\nX-Forwarded-Proto: https\r\n\r\n"))
	got := <-heads
	for _, want := range []string{
		"X-Forwarded-For: 1.1.1.1, 2.2.2.2, 127.0.0.1\r\n", "X-Forwarded-Proto: https\r\n", "X-Forwarded-Host: x:80\r\n",
		"Forwarded: for=1.1.1.1;host=\"x:80\";proto=https, for=127.0.0.1\r\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("request: got %q, want %q in it", got, want)
		}
	}
}

// An answer arrives as it was sent, interim answers included. No Content-Type is guessed.
func TestPassthroughKeepsAnswer(t *testing.T) {
	t.Parallel()
	address, _ := recordHeads(t, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+
		"HTTP/1.1 242 Odd\r\nDate: Tue, 01 Jan 2030 00:00:00 GMT\r\nServer: s\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n"+
		"X-Empty:\r\nX-Text: \xe4\r\nConnection: close\r\nLocation: /a%2Fb\r\nContent-Length: 3\r\n\r\n<a>")
	s := newPassing(t, "http://"+address, nil)
	got, err := getOnce(t, s)
	want := "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" +
		"HTTP/1.1 242 status code 242\r\nContent-Length: 3\r\nDate: Tue, 01 Jan 2030 00:00:00 GMT\r\nLocation: /a%2Fb\r\n" +
		"Server: s\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nX-Empty: \r\nX-Text: \xe4\r\nConnection: close\r\n\r\n<a>"
	if got != want || err != nil {
		t.Errorf("got\n%q, %v\nwant\n%q", got, err, want)
	}
}

// net/http's client takes five interim answers; what passes through has as many as ZITADEL sends.
func TestPassthroughKeepsManyInterimAnswers(t *testing.T) {
	t.Parallel()
	const interim, count = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", 50
	address, _ := recordHeads(t, strings.Repeat(interim, count)+okAnswer)
	s := newPassing(t, "http://"+address, nil)
	want := strings.Repeat(interim, count) + "HTTP/1.1 200 OK\r\n"
	if got, err := getOnce(t, s); !strings.HasPrefix(got, want) || err != nil {
		t.Errorf("got %q, %v, want %d interim answers and the final one", got, err, count)
	}
}

// getOnce is all that comes on a connection in answer to a GET, after which it is closed.
func getOnce(t *testing.T, address string) (string, error) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	got, err := io.ReadAll(conn)
	return string(got), err
}

// HTTP/1.0 has no interim answers: a client of it gets the final one alone.
func TestInterimAnswerIsNotSentToHTTP10Client(t *testing.T) {
	t.Parallel()
	early, _ := recordHeads(t, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+okAnswer)
	s := newPassing(t, "http://"+early, nil)
	conn, err := net.Dial("tcp", s)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "GET / HTTP/1.0\r\nHost: x\r\n\r\n")
	const want = "HTTP/1.0 200 OK\r\n"
	if got, err := io.ReadAll(conn); !strings.HasPrefix(string(got), want) || err != nil {
		t.Errorf("got %q, %v, want it to begin with %q", got, err, want)
	}
}

// An answer with a status below 100 is the upstream's fault.
func TestInvalidUpstreamStatusIsUnavailable(t *testing.T) {
	t.Parallel()
	address, _ := recordHeads(t, "HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n")
	s := newPassing(t, "http://"+address, nil)
	response := exchangeRaw(t, s, http.MethodGet, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	if response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("got HTTP %d, want 503", response.StatusCode)
	}
}

// A request that becomes a WebSocket is counted with status 101.
func TestWebSocketIsCountedAsSwitchingProtocols(t *testing.T) {
	t.Parallel()
	address, _ := recordHeads(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	statuses := make(chan int, 1)
	s := newPassing(t, "http://"+address, func(p *parts) {
		p.passthrough.Observe = func(status int) { statuses <- status }
	})
	conn, err := net.Dial("tcp", s)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	if line, err := bufio.NewReader(conn).ReadString('\n'); !strings.Contains(line, " 101 ") {
		t.Errorf("got %q, %v, want status 101", line, err)
	}
	_ = conn.Close()
	if got := <-statuses; got != http.StatusSwitchingProtocols {
		t.Errorf("status counted: got %d, want 101", got)
	}
}
