package adapter_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/emptypb"

	"zitadel-v1-adapter/adapter"
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
func newPassing(t *testing.T, base string, change func(*adapter.PassthroughConfig, *adapter.Config)) string {
	t.Helper()
	to := wiretest.Upstream(t, base, upstream.HostClient)
	client, err := v2client.New(v2client.Config{
		Upstream: to, Protocol: v2client.ProtocolConnect,
		Breaker: v2client.BreakerConfig{MinimumCalls: 20, FailureRate: 0.5, Window: 10 * time.Second, OpenFor: time.Minute},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	passing := adapter.PassthroughConfig{Upstream: to, Log: slog.New(slog.DiscardHandler)}
	config := adapter.Config{ZITADEL: client, OrgScope: adapter.OrgScopeStrict, Timeout: 10 * time.Second, Rollout: adapter.RolloutAll}
	if change != nil {
		change(&passing, &config)
	}
	passthrough, err := adapter.NewPassthrough(passing)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(passthrough.Close)
	config.Passthrough = passthrough
	handler, err := adapter.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return wiretest.Listen(t, handler)
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
		"Forwarded: for=127.0.0.1;host=\"public.example\";proto=http\r\nX-Empty: \r\n" +
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
	trusted, err := adapter.ParseTrustedProxies([]string{"127.0.0.0/8", "::1"})
	if err != nil {
		t.Fatal(err)
	}
	address, heads := tape(t, okAnswer)
	s := newPassing(t, "http://"+address, func(_ *adapter.PassthroughConfig, c *adapter.Config) { c.TrustedProxies = trusted })
	exchangeRaw(t, s, http.MethodGet, []byte("GET / HTTP/1.1\r\nHost: x:80\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n"+
		"Forwarded: for=1.1.1.1\r\nX-Forwarded-Proto: https\r\n\r\n"))
	got := <-heads
	for _, want := range []string{
		"X-Forwarded-For: 1.1.1.1, 2.2.2.2, 127.0.0.1\r\n", "X-Forwarded-Proto: https\r\n", "X-Forwarded-Host: x:80\r\n",
		"Forwarded: for=1.1.1.1, for=127.0.0.1;host=\"x:80\";proto=http\r\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
}

// What cannot reach ZITADEL is answered in the caller's protocol.
func TestPassthroughFailures(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := newPassing(t, "http://"+closed.Addr().String(), nil)
	_ = closed.Close()
	silent := newPassing(t, "http://"+wiretest.Listen(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})), func(p *adapter.PassthroughConfig, _ *adapter.Config) { p.ResponseTimeout = 20 * time.Millisecond })

	for _, test := range []struct {
		address string
		headers map[string]string
		status  int
		want    string
	}{
		{nobody, nil, 503, `{"code":14,"message":"ZITADEL cannot be reached"}`},
		{silent, nil, 504, `{"code":4,"message":"ZITADEL did not answer in time"}`},
		{nobody, map[string]string{"Host": "not a host", "Origin": "https://a.example"}, 400, "400 Bad Request: malformed Host header"},
		{nobody, map[string]string{"Content-Type": "application/json", "Connect-Protocol-Version": "1"}, 503, `{"code":"unavailable","message":"ZITADEL cannot be reached"}`},
	} {
		text := "{}"
		response := sendRaw(t, test.address, recordings.Request{Method: http.MethodPost, Path: "/zitadel.user.v2.UserService/X", Text: &text, Headers: test.headers})
		got := bodyOf(t, response)
		if response.StatusCode != test.status || got != test.want {
			t.Errorf("%v: %d %q, want %d %q", test.headers, response.StatusCode, got, test.status, test.want)
		}
	}

	for _, contentType := range []string{"application/grpc-web+proto", "application/grpc-web-text"} {
		response := sendRaw(t, nobody, recordings.Request{Method: http.MethodPost, Path: "/x.Y/Z", Headers: map[string]string{"Content-Type": contentType}})
		if got := grpcWebOutcome(t, response.Header, []byte(bodyOf(t, response))); got.code != "14" || got.text != "ZITADEL cannot be reached" {
			t.Errorf("%s: %+v", contentType, got)
		}
	}
	response := sendRaw(t, nobody, recordings.Request{Method: http.MethodGet, Path: "/x", Headers: map[string]string{"Origin": "https://a.example"}})
	if got := response.Header.Get("Access-Control-Allow-Origin"); got != "https://a.example" {
		t.Errorf("Access-Control-Allow-Origin %q", got)
	}
	err = callUnknown(t, nobody, connect.WithGRPC())
	if failure := new(connect.Error); !errors.As(err, &failure) || failure.Code() != connect.CodeUnavailable || failure.Message() != "ZITADEL cannot be reached" {
		t.Errorf("gRPC: %v", err)
	}
	header, trailer, body := sendGRPC(t, newTransport(t, true), nobody, recordings.Request{
		Method: http.MethodPost, Path: "/x/Y", Headers: map[string]string{"Content-Type": "application/grpc+cbor", "Te": "trailers"},
	})
	if got := grpcOutcome(t, header, trailer, body); got.code != "14" {
		t.Errorf("gRPC with another codec: %+v", got)
	}
	if response := sendRaw(t, nobody, recordings.Request{Method: http.MethodConnect, Path: "x:80"}); response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("CONNECT: %d", response.StatusCode)
	}
}

// callUnknown calls a method that is not the translated one.
func callUnknown(t *testing.T, address string, options ...connect.ClientOption) error {
	t.Helper()
	client := connect.NewClient[emptypb.Empty, emptypb.Empty](&http.Client{Transport: newTransport(t, true)}, "http://"+address+"/x.Y/Z", options...)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := client.CallUnary(ctx, connect.NewRequest(&emptypb.Empty{}))
	return err
}

// A gRPC stream whose upstream dies under way ends with UNAVAILABLE, as it does
// without the adapter; other answers are cut short, not ended.
func TestPassthroughCut(t *testing.T) {
	t.Parallel()
	cut := newPassing(t, "http://"+wiretest.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		_, _ = w.Write([]byte{0, 0, 0, 0, 0})
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})), nil)
	if err := callUnknown(t, cut, connect.WithGRPC()); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("gRPC: %v", err)
	}
	response := sendRaw(t, cut, recordings.Request{Method: http.MethodGet, Path: "/x"})
	if body, err := io.ReadAll(response.Body); err == nil {
		t.Errorf("the answer looks whole: %q", body)
	}
}

// A body that its client does not send properly is that client's fault.
func TestPassthroughBadBody(t *testing.T) {
	t.Parallel()
	whole := make(chan string, 1)
	s := newPassing(t, "http://"+wiretest.Listen(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil {
			whole <- string(body)
		}
	})), nil)
	response := exchangeRaw(t, s, http.MethodPost, []byte("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nnonsense\r\n"+
		"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"))
	if !response.Close {
		t.Error("the connection goes on, and nobody knows where the next request begins")
	}
	if got := bodyOf(t, response); response.StatusCode != http.StatusBadRequest || got != `{"code":3,"message":"the request's body cannot be read"}` {
		t.Errorf("%d %s", response.StatusCode, got)
	}
	select {
	case body := <-whole:
		t.Errorf("%q arrived as if it were whole", body)
	default:
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
	message := "\x0a\x12" + userA + "\x12\x0eSup3rPassw0rd!"
	encoded := base64.StdEncoding.EncodeToString(append([]byte{0, 0, 0, 0, byte(len(message))}, message...))
	return &encoded
}

// The log names paths, at debug level, and never a query, which may hold a code.
func TestPassthroughLog(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	address, _ := tape(t, okAnswer)
	s := newPassing(t, "http://"+address, func(p *adapter.PassthroughConfig, _ *adapter.Config) {
		p.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	exchangeRaw(t, s, http.MethodGet, []byte("GET /path?code=s3cret HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer s3cret\r\nCookie: s3cret\r\n\r\n"))
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(log.String(), "passed through") && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if got := log.String(); !strings.Contains(got, `"path":"/path"`) || strings.Contains(got, "s3cret") {
		t.Error(got)
	}
}

// A request with a body that is not read upstream is answered all the same, while
// the client still sends it (full duplex over HTTP/1.1).
func TestPassthroughFullDuplex(t *testing.T) {
	t.Parallel()
	s := newPassing(t, "http://"+wiretest.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		controller := http.NewResponseController(w)
		_ = controller.EnableFullDuplex()
		buffer := make([]byte, 1)
		for {
			n, err := r.Body.Read(buffer)
			_, _ = w.Write(bytes.ToUpper(buffer[:n]))
			_ = controller.Flush()
			if err != nil {
				return
			}
		}
	})), nil)
	reader, writer := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s+"/echo", reader)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.WriteString(writer, "a") }()
	response, err := newTransport(t, false).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	echoed := make([]byte, 1)
	for _, letter := range []string{"", "b", "c"} { // "a" is on its way
		if letter != "" {
			_, _ = io.WriteString(writer, letter)
		}
		if _, err := io.ReadFull(response.Body, echoed); err != nil {
			t.Fatal(err)
		}
	}
	_ = writer.Close()
	if rest, err := io.ReadAll(response.Body); string(echoed) != "C" || len(rest) > 0 || err != nil {
		t.Errorf("%q, then %q, %v", echoed, rest, err)
	}
}

// An answer that comes before the request has ended arrives whole, and is the
// connection's last; net/http would panic when the end came after all.
func TestPassthroughEarlyAnswer(t *testing.T) {
	t.Parallel()
	var smuggled atomic.Int32
	s := newPassing(t, "http://"+wiretest.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/smuggled" {
			smuggled.Add(1)
		}
		_, _ = io.ReadFull(r.Body, make([]byte, 1))
		_ = http.NewResponseController(w).EnableFullDuplex()
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, "too large")
	})), nil)
	for name, rest := range map[string]string{
		"nothing": "", "a little": "bc", "what could be a request": "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", s)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		reader := bufio.NewReader(conn)
		_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\na")
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, rest)
		body, err := io.ReadAll(response.Body)
		if response.StatusCode != http.StatusRequestEntityTooLarge || string(body) != "too large" || err != nil {
			t.Errorf("%s: %d %q, %v", name, response.StatusCode, body, err)
		}
		if more, err := io.ReadAll(reader); len(more) > 0 || err != nil {
			t.Errorf("%s: then %q, %v", name, more, err)
		}
		_ = conn.Close()
	}
	if smuggled.Load() > 0 {
		t.Error("a part of the body was taken for a request")
	}
}
