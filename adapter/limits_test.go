package adapter_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/internal/wiretest"
)

// A call too many is refused at once, in every protocol, and costs the others
// nothing; when there is room again, it is answered.
func TestCallsInFlight(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	s := newStack(t, func(c *stackConfig) {
		zitadel := wiretest.NewZITADEL(t, c.fixture)
		c.upstream = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/SetPassword") {
				arrived <- struct{}{}
				<-release
			}
			zitadel.ServeHTTP(w, r)
		})
		c.limits.CallsInFlight = 1
	})
	first := make(chan int)
	go func() { first <- sendRaw(t, s.address, aCall()).StatusCode }()
	<-arrived
	response := sendRaw(t, s.address, aCall())
	if got := bodyOf(t, response); response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") != "1" ||
		got != `{"code":14,"message":"too many calls at once, try again later"}` {
		t.Errorf("REST: %d %s, Retry-After %q", response.StatusCode, got, response.Header.Get("Retry-After"))
	}
	if err := callGRPC(t, s); err.Code() != connect.CodeUnavailable || err.Message() != "too many calls at once, try again later" {
		t.Errorf("gRPC: %v", err)
	}
	close(release)
	if got := <-first; got != http.StatusOK {
		t.Errorf("the first call: %d", got)
	}
	go func() { <-arrived }()
	if got := sendRaw(t, s.address, aCall()).StatusCode; got != http.StatusOK {
		t.Errorf("when there was room again: %d", got)
	}
}

// A body that does not come ends the call and, over HTTP/1.1, the connection.
func TestBodyTimeout(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) { c.limits = adapter.Limits{BodyTimeout: 50 * time.Millisecond} })
	const procedure = "/zitadel.management.v1.ManagementService/SetHumanInitialPassword"
	for name, sent := range map[string]string{
		"length":  "POST " + userAPath + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
		"chunked": "POST " + userAPath + " HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
	} {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
		_, _ = io.WriteString(conn, sent)
		reader := bufio.NewReader(conn)
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := bodyOf(t, response); response.StatusCode != http.StatusGatewayTimeout || !response.Close ||
			got != `{"code":4,"message":"the request's body did not arrive in time"}` {
			t.Errorf("%s: %d %s, close %v", name, response.StatusCode, got, response.Close)
		}
		if rest, err := io.ReadAll(reader); len(rest) > 0 || err != nil {
			t.Errorf("%s: then %q, %v", name, rest, err)
		}
		_ = conn.Close()
	}
	reader, writer := io.Pipe()
	defer func() { _ = writer.Close() }()
	go func() { _, _ = writer.Write([]byte{0, 0, 0}) }()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.address+procedure, reader)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/grpc")
	response, err := newTransport(t, true).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := grpcOutcome(t, response.Header, response.Trailer, body); got.code != "4" || got.text != "the request's body did not arrive in time" {
		t.Errorf("gRPC: %+v", got)
	}
	// The deadline is the body's, not the call's.
	slow := newStack(t, func(c *stackConfig) {
		zitadel := wiretest.NewZITADEL(t, c.fixture)
		c.limits = adapter.Limits{BodyTimeout: 50 * time.Millisecond}
		c.upstream = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(60 * time.Millisecond)
			zitadel.ServeHTTP(w, r)
		})
	})
	if got := sendRaw(t, slow.address, aCall()).StatusCode; got != http.StatusOK {
		t.Errorf("a slow upstream: %d", got)
	}
}
