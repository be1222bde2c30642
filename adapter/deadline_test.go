package adapter_test

import (
	"bufio"
	"encoding/base64"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/adapter"
	"zitadel-v1-adapter/v2client"
)

// A client's timeout is one deadline from the headers on, in every protocol: the time that
// the body takes is not given to ZITADEL once more. With a rollout, a call in an RPC protocol
// is read before it is known who answers it.
func TestClientTimeoutIncludesTheBody(t *testing.T) {
	t.Parallel()
	const timeout, delay = 100 * time.Second, 200 * time.Millisecond
	const procedure = "/zitadel.management.v1.ManagementService/SetHumanInitialPassword"
	text := *grpcCallBody(t)
	frame, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]struct{ path, contentType, body string }{
		"REST":          {userAPath, "application/json", good},
		"gRPC":          {procedure, "application/grpc", string(frame)},
		"gRPC-Web":      {procedure, "application/grpc-web+proto", string(frame)},
		"gRPC-Web text": {procedure, "application/grpc-web-text", text},
	} {
		for variant, change := range map[string]option{
			"connect": func(c *stackConfig) { c.protocol = v2client.ProtocolConnect },
			"grpc":    func(c *stackConfig) { c.protocol = v2client.ProtocolGRPC },
			"rollout": func(c *stackConfig) { c.rollout, c.native = adapter.RolloutAll-1, &nativeV1{} },
		} {
			t.Run(name+"/"+variant, func(t *testing.T) {
				t.Parallel()
				s := newStack(t, func(c *stackConfig) { c.timeout = 10 * timeout }, change)
				response, _ := sendLate(t, s, true, delay, "100S", call.path, call.contentType, call.body)
				_ = response.Body.Close()
				for _, arrived := range s.upstream.takeRequests(t) {
					if left, ok := timeLeft(t, arrived); ok && left > timeout-delay/2 {
						t.Errorf("%s has %v, want at most %v", arrived.URL.Path, left, timeout-delay/2)
					}
				}
			})
		}
	}
}

// timeLeft is the time that a v2 call is given; false for userinfo, which is not told.
func timeLeft(t *testing.T, r *http.Request) (time.Duration, bool) {
	t.Helper()
	text, unit := r.Header.Get("Connect-Timeout-Ms"), time.Millisecond
	if grpc := r.Header.Get("Grpc-Timeout"); grpc != "" {
		units := map[byte]time.Duration{'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond}
		text, unit = grpc[:len(grpc)-1], units[grpc[len(grpc)-1]]
	}
	if text == "" {
		return 0, false
	}
	count, err := strconv.ParseInt(text, 10, 64)
	if err != nil || unit == 0 {
		t.Fatalf("timeout %q: %v", text, err)
	}
	return time.Duration(count) * unit, true
}

// Over HTTP/1.1 a client that is still sending when its timeout passes is answered when
// its body has come, and keeps its connection.
func TestClientThatStillSendsKeepsItsConnection(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	reader := bufio.NewReader(connection)
	frame, err := base64.StdEncoding.DecodeString(*grpcCallBody(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range []struct{ path, contentType, body string }{
		{userAPath, "application/json", good},
		{procedure, "application/grpc-web+proto", string(frame)},
	} {
		path, body := call.path, call.body
		head := "POST " + path + " HTTP/1.1\r\nHost: localhost:8088\r\nGrpc-Timeout: 1n\r\nContent-Type: " + call.contentType + "\r\n" +
			"Authorization: Bearer pat-org-owner-a\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
		for _, part := range []string{head, body[:5], body[5:]} {
			if _, err := io.WriteString(connection, part); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond) // for an answer that comes too early
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := response.Header.Get("Grpc-Message") + bodyOf(t, response); !strings.Contains(got, "context deadline exceeded") || response.Close {
			t.Errorf("%s: got %q, to be closed: %v; want that the deadline is exceeded, and false", path, got, response.Close)
		}
	}
	if calls := s.upstream.calls(t); len(calls) != 0 {
		t.Errorf("upstream calls: got %v, want none", calls)
	}
}

// Over HTTP/2 it is answered then too, and its stream is not reset, of which curl would tell
// instead of the answer.
func TestClientThatStillSendsKeepsItsStream(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	frame, err := base64.StdEncoding.DecodeString(*grpcCallBody(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range []struct{ path, contentType, body string }{
		{userAPath, "application/json", good},
		{procedure, "application/grpc-web+proto", string(frame)},
	} {
		response, sent := sendLate(t, s, true, 10*time.Millisecond, "1n", call.path, call.contentType, call.body) // the answer could come too early
		if got := response.Header.Get("Grpc-Message") + bodyOf(t, response); !strings.Contains(got, "context deadline exceeded") {
			t.Errorf("%s: got %q, want that the deadline is exceeded", call.path, got)
		}
		if err := <-sent; err != nil {
			t.Errorf("%s: the answer came before the body: %v", call.path, err)
		}
	}
}

// The longest timeout that REST can name is none that has passed: with the moment that a body
// may be late it is still the longest.
func TestLongestTimeoutLeavesTimeForTheBody(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	response, _ := sendLate(t, s, false, 10*time.Millisecond, strconv.FormatInt(math.MaxInt64, 10)+"n", userAPath, "application/json", good)
	if got := bodyOf(t, response); response.StatusCode != http.StatusOK {
		t.Errorf("got HTTP %d, %s, want 200", response.StatusCode, got)
	}
}

// sendLate makes a call whose body comes a delay after the adapter has its headers. sent is told
// what became of the body.
func sendLate(t *testing.T, s *stack, http2 bool, delay time.Duration, timeout, path, contentType, text string) (response *http.Response, sent <-chan error) {
	t.Helper()
	body, send := io.Pipe()
	written := make(chan error, 1)
	go func() {
		for s.busy.Load() == 0 && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(delay)
		_, err := io.WriteString(send, text)
		written <- err
		_ = send.Close()
	}()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.address+path, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "localhost:8088"
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("Authorization", "Bearer pat-org-owner-a")
	request.Header.Set("Grpc-Timeout", timeout)
	if response, err = newTransport(t, http2).RoundTrip(request); err != nil {
		t.Fatal(err)
	}
	return response, written
}
