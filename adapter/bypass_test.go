package adapter_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/listener"
	"zitadel-v1-adapter/internal/wiretest"
)

// Targets that the router and the upstream could read differently are refused, and
// what has the translated call's path never passes.
func TestNothingSlipsPast(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) {
		c.native = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			t.Errorf("passed through: %s %s", r.Method, r.RequestURI)
		})
	})
	for _, target := range []string{
		"a:b?x=http://y" + userAPath, "a:/b?x=http://y" + userAPath, "a:b", "http:" + userAPath,
		"x" + userAPath, "HTTP:b",
	} {
		response := exchangeRaw(t, s.address, http.MethodPost, []byte("POST "+target+" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"))
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", target, response.StatusCode)
		}
	}
	for _, path := range []string{userAPath + " HTTP/1.1", "/a b", "/a?x y", "/a\tb", "/a\x7f"} {
		if got := sendH2C(t, s.address, "localhost", path, "{}"); got != "400" && got != "reset" {
			t.Errorf("HTTP/2, %q: %s", path, got)
		}
	}
	const procedure = "/zitadel.management.v1.ManagementService/SetHumanInitialPassword"
	for _, contentTypes := range [][][2]string{
		{{"content-type", "application/grpc+x"}, {"content-type", "application/grpc"}},
		{{"content-type", "text/plain"}, {"content-type", "application/grpc"}},
		{{"content-type", "application/grpc+cbor"}},
		{{"content-type", "application/json"}},
		{},
	} {
		if got := sendH2C(t, s.address, "localhost", procedure, "\x00\x00\x00\x00\x00", contentTypes...); got != "404" {
			t.Errorf("%v: %s", contentTypes, got)
		}
	}
}

// A path that only absolute-form can carry still goes to the client's host.
func TestOddPathKeepsTheHost(t *testing.T) {
	t.Parallel()
	hosts := make(chan string, 2)
	s := newPassing(t, "http://"+wiretest.Listen(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		hosts <- r.Host + " " + r.URL.EscapedPath()
	})), nil)
	exchangeRaw(t, s, http.MethodGet, []byte("GET //a|b HTTP/1.1\r\nHost: h.example\r\n\r\n"))
	if got := <-hosts; got != "h.example //a%7Cb" {
		t.Error(got)
	}
	if got := sendH2C(t, s, "h.example", "//a|b", "\x00\x00\x00\x00\x00", [2]string{"content-type", "application/grpc"}); got != "200" {
		t.Error(got)
	}
	if got := <-hosts; got != "h.example //a%7Cb" {
		t.Error(got)
	}
}

// An upstream that dies in the middle of its answer ends the exchange, though the
// client has not sent all of its request.
func TestCutWhileSending(t *testing.T) {
	t.Parallel()
	address, _ := tape(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n")
	s := newPassing(t, "http://"+address, nil)
	conn, err := net.Dial("tcp", s)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\na")
	answer, err := io.ReadAll(conn)
	if err != nil || strings.Contains(string(answer), "\r\n0\r\n") {
		t.Errorf("%q, %v", answer, err)
	}
}

// Interim answers are not for HTTP/1.0; statuses that are none are the upstream's
// fault.
func TestOddAnswers(t *testing.T) {
	t.Parallel()
	early, _ := tape(t, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+okAnswer)
	s := newPassing(t, "http://"+early, nil)
	conn, err := net.Dial("tcp", s)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "GET / HTTP/1.0\r\nHost: x\r\n\r\n")
	if answer, err := io.ReadAll(conn); !strings.HasPrefix(string(answer), "HTTP/1.0 200 OK\r\n") || err != nil {
		t.Errorf("%q, %v", answer, err)
	}
	odd, _ := tape(t, "HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n")
	response := exchangeRaw(t, newPassing(t, "http://"+odd, nil), http.MethodGet, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	if response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%d", response.StatusCode)
	}
}

// A WebSocket is counted as what it is.
func TestWebSocketIsCounted(t *testing.T) {
	t.Parallel()
	address, _ := tape(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
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
		t.Error(line, err)
	}
	_ = conn.Close()
	if got := <-statuses; got != http.StatusSwitchingProtocols {
		t.Errorf("counted as %d", got)
	}
}

// Nobody on a socket forges where a request came from by way of gRPC metadata.
func TestForwardedMetadata(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/s"
	s := newStack(t)
	on, err := listener.Listen(t.Context(), "unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	wiretest.Serve(t, on, s.handler)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "POST "+userAPath+" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer pat-org-owner-a\r\nX-Zitadel-Orgid: 400849858564525094\r\n"+
		"Grpc-Metadata-X-Forwarded-For: 6.6.6.6\r\nConnection: close\r\nContent-Length: 29\r\n\r\n"+good)
	if answer, err := io.ReadAll(conn); !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
		t.Fatalf("%q, %v", answer, err)
	}
	if got := s.upstream.last(t).Header.Get("X-Forwarded-For"); got != "" {
		t.Errorf("X-Forwarded-For %q", got)
	}
}
