package adapter_test

import (
	"bufio"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/forwarded"
	"zitadel-v1-adapter/internal/ingress"
	"zitadel-v1-adapter/internal/passthrough"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client"
)

// tape is an upstream that keeps the bytes of each request's head, one request a
// connection, and answers with fixed bytes.
func tape(t *testing.T, answer string) (address string, heads <-chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan string, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			reader := bufio.NewReader(conn)
			var head strings.Builder
			for !strings.HasSuffix(head.String(), "\r\n\r\n") {
				line, err := reader.ReadString('\n')
				head.WriteString(line)
				if err != nil {
					break
				}
			}
			taken <- head.String()
			_, _ = io.WriteString(conn, answer)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return listener.Addr().String(), taken
}

// newPassing is an adapter before an upstream at a base URL.
func newPassing(t *testing.T, base string, change func(*parts)) string {
	t.Helper()
	to := wiretest.Upstream(t, base, upstream.HostClient)
	client, err := v2client.New(v2client.Config{
		Timeout:  10 * time.Second,
		Upstream: to, Protocol: v2client.ProtocolConnect,
		Breaker: v2client.BreakerConfig{MinimumCalls: 20, FailureRate: 0.5, Window: 10 * time.Second, OpenFor: time.Minute}, Retry: wiretest.NoRetry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	whole := parts{
		passthrough: passthrough.Config{Upstream: to},
		v1:          adapter.Config{ZITADEL: client, OrgScope: adapter.OrgScopeStrict, Timeout: 10 * time.Second, Rollout: adapter.RolloutAll, Limits: roomy()},
		edge:        ingress.Config{Forwarding: forwarded.Policy{TellHost: true}, WriteTimeout: time.Minute},
	}
	if change != nil {
		change(&whole)
	}
	return wiretest.Listen(t, whole.assemble(t))
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

// The request target arrives byte by byte as it was sent.
func TestTargetsUntouched(t *testing.T) {
	t.Parallel()
	address, heads := tape(t, okAnswer)
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
		{target: "/%zz", want: "refused"}, // net/http takes no such path
		{target: "//a|b", want: "http://localhost:8088//a|b"},
		{target: "/a?b=c;d&%zz&&=&e=%2F+"},
		{target: "/a?"},
		{target: "/a??b?"},
		{target: "*", wantBased: "*"},
		{target: "http://other.example/a%2Fb?c", want: "/a%2Fb?c"},
		{target: "http://other.example?c", want: "/?c"},
		{target: "http://other.example", want: "/"},
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
			response := exchangeRaw(t, adapter, http.MethodOptions, []byte("OPTIONS "+test.target+" HTTP/1.1\r\nHost: localhost:8088\r\n\r\n"))
			if want == "refused" {
				if response.StatusCode != http.StatusBadRequest {
					t.Errorf("%q: %d", test.target, response.StatusCode)
				}
				continue
			}
			if response.StatusCode != http.StatusOK {
				t.Errorf("%q: %d %s", test.target, response.StatusCode, bodyOf(t, response))
				continue
			}
			line, _, _ := strings.Cut(<-heads, "\r\n")
			if got := strings.TrimSuffix(strings.TrimPrefix(line, "OPTIONS "), " HTTP/1.1"); strings.ReplaceAll(got, address, "localhost:8088") != want {
				t.Errorf("base %q: %q arrived as %q, want %q", name, test.target, got, want)
			}
		}
	}
}

// Headers arrive as they were sent, but for those that are hop-by-hop or say
// where the request came from.
func TestHeadersUntouched(t *testing.T) {
	t.Parallel()
	address, heads := tape(t, okAnswer)
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

// An answer comes back as it was sent; nothing is guessed.
func TestAnswersUntouched(t *testing.T) {
	t.Parallel()
	address, _ := tape(t, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+
		"HTTP/1.1 242 Odd\r\nDate: Tue, 01 Jan 2030 00:00:00 GMT\r\nServer: s\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nX-Empty:\r\nX-Text: \xe4\r\nConnection: close\r\nLocation: /a%2Fb\r\nContent-Length: 3\r\n\r\n<a>")
	s := newPassing(t, "http://"+address, nil)
	conn, err := net.Dial("tcp", s)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	got, err := io.ReadAll(conn)
	want := "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" +
		"HTTP/1.1 242 status code 242\r\nContent-Length: 3\r\nDate: Tue, 01 Jan 2030 00:00:00 GMT\r\nLocation: /a%2Fb\r\nServer: s\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nX-Empty: \r\nX-Text: \xe4\r\nConnection: close\r\n\r\n<a>"
	if string(got) != want || err != nil {
		t.Errorf("got\n%q, %v\nwant\n%q", got, err, want)
	}
}

// Who is trusted may say where a request came from.
func TestTrustedProxies(t *testing.T) {
	t.Parallel()
	trusted, err := forwarded.ParseTrustedProxies([]string{"127.0.0.0/8", "::1"})
	if err != nil {
		t.Fatal(err)
	}
	address, heads := tape(t, okAnswer)
	s := newPassing(t, "http://"+address, func(p *parts) { p.edge.Forwarding.Trusted = trusted })
	exchangeRaw(t, s, http.MethodGet, []byte("GET / HTTP/1.1\r\nHost: x:80\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n"+
		"Forwarded: for=1.1.1.1\r\nX-Forwarded-Proto: https\r\n\r\n"))
	got := <-heads
	for _, want := range []string{
		"X-Forwarded-For: 1.1.1.1, 2.2.2.2, 127.0.0.1\r\n", "X-Forwarded-Proto: https\r\n", "X-Forwarded-Host: x:80\r\n",
		"Forwarded: for=1.1.1.1;host=\"x:80\";proto=https, for=127.0.0.1\r\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
}

// No spelling of the translated call slips past: it is translated, or redirected
// as ZITADEL does it (recordings percent-encoded-*, double-slash).
func TestSpellings(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) {
		c.native = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("passed through") })
	})
	const procedure = "/zitadel.management.v1.ManagementService/SetHumanInitialPassword"
	for path, status := range map[string]int{
		userAPath: 200,
		"/management/v1/users/" + userA + "/password/%5finitialize":          200,
		"/%6Danagement/v1/users/%34" + userA[1:] + "/password/_initialize":   200,
		"/management/v1%2Fusers/" + userA + "/password%2f_initialize":        200,
		"//management/v1/users/" + userA + "/password/_initialize":           301,
		"/management/v1/users/" + userA + "//password/_initialize":           301,
		"/x/../management/v1/users/" + userA + "/password/_initialize":       301,
		"/x/%2E%2e/management/v1/users/" + userA + "/password/./_initialize": 301,
		"/%2Fmanagement/v1/users/" + userA + "/password/_initialize":         301,
		"http://localhost:8088" + userAPath:                                  200,
	} {
		call := aCall()
		call.Path = path
		if response := sendRaw(t, s.address, call); response.StatusCode != status {
			t.Errorf("%s: %d, want %d", path, response.StatusCode, status)
		}
	}
	for path, status := range map[string]string{
		procedure: "0", strings.Replace(procedure, "Set", "%53et", 1): "0", strings.Replace(procedure, "/Set", "%2FSet", 1): "0",
	} {
		header, trailer, body := sendGRPC(t, newTransport(t, true), s.address, recordings.Request{
			Method: http.MethodPost, Path: path, BodyBase64: grpcCallBody(t),
			Headers: map[string]string{"Content-Type": "application/grpc", "Te": "trailers", "Authorization": "Bearer pat-org-owner-a"},
		})
		if got := grpcOutcome(t, header, trailer, body); got.code != status {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

// grpcCallBody is the framed message of a call for userA.
func grpcCallBody(t *testing.T) *string {
	t.Helper()
	return grpcCallBodyFor(userA)
}

// grpcCallBodyFor is that of a call for any user with a short id.
func grpcCallBodyFor(user string) *string {
	message := "\x0a" + string(rune(len(user))) + user + "\x12\x0eSup3rPassw0rd!"
	encoded := base64.StdEncoding.EncodeToString(append([]byte{0, 0, 0, 0, byte(len(message))}, message...))
	return &encoded
}
