package adapter_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"

	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/wiretest"
)

// Limits: calls in flight, calls per caller, and sizes of bodies. The limits in time are in
// limits_timeouts_test.go, the limits of single requests (4 MiB) in requests_*_test.go.

// A call over the limit of calls in flight is refused at once, in every protocol, and costs
// the other calls nothing. Once a call has ended, another one is answered.
func TestCallOverInFlightLimitIsRefusedAtOnce(t *testing.T) {
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
	checkTooManyCalls(t, sendRaw(t, s.address, aCall()))
	checkGRPCFails(t, s, connect.CodeUnavailable, tooManyCalls)
	close(release)
	if got := <-first; got != http.StatusOK {
		t.Errorf("the call in flight: got HTTP %d, want 200", got)
	}
	go func() { <-arrived }()
	if got := sendRaw(t, s.address, aCall()).StatusCode; got != http.StatusOK {
		t.Errorf("a call after it: got HTTP %d, want 200", got)
	}
}

// checkTooManyCalls checks that a REST call was refused because of other calls.
func checkTooManyCalls(t *testing.T, response *http.Response) {
	t.Helper()
	checkREST(t, "REST", response, http.StatusServiceUnavailable, restTooMany)
	if got := response.Header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After: got %q, want 1", got)
	}
}

// A client that sends its body slowly, or never to its end, does not count as a call in
// flight.
func TestSlowBodyOccupiesNoCallSlot(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) { c.limits.CallsInFlight = 1 })
	const rpc = procedure + " HTTP/1.1\r\nContent-Type: application/grpc-web"
	for _, sent := range []string{
		userAPath + " HTTP/1.1\r\nContent-Length: 100\r\nHost: x\r\n\r\n{",
		rpc + "\r\nContent-Length: 100\r\nHost: x\r\n\r\n\x00",
		rpc + "-text\r\nContent-Length: 100\r\nHost: x\r\n\r\nA",
	} {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "POST "+strings.Replace(sent, "\r\nHost", "\r\nExpect: 100-continue\r\nHost", 1))
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		// 100 Continue says that the handler has begun to read the body.
		if answer, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(answer, "100 Continue") {
			t.Fatalf("got %q, %v, want 100 Continue", answer, err)
		}
		for name, call := range v1Protocols {
			if code, message := call(t, s.address, userA, "pat-org-owner-a"); code != "0" {
				t.Errorf("%s: got code %s %q, want 0", name, code, message)
			}
		}
	}
}

// A caller that calls too often is refused in every protocol, without a call upstream.
// Calls with another token are not.
func TestCallerOverRateLimitIsRefusedAlone(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) { c.limits.CallerRate, c.limits.CallerBurst = 1e-6, 1 })
	if code, message := v1Protocols["REST"](t, s.address, userA, "pat-org-owner-a"); code != "0" {
		t.Fatalf("first call: got code %s %q, want 0", code, message)
	}
	s.upstream.calls(t)
	for name, call := range v1Protocols {
		code, message := call(t, s.address, userA, "pat-org-owner-a")
		if want := "too many calls with this token, try again later"; code != "8" || !strings.Contains(message, want) {
			t.Errorf("%s: got code %s %q, want 8 %q", name, code, message, want)
		}
	}
	response := sendRaw(t, s.address, aCall())
	if after := response.Header.Get("Retry-After"); response.StatusCode != http.StatusTooManyRequests || len(after) < 6 {
		t.Errorf("got HTTP %d with Retry-After %q, want 429 with the rest of a million seconds", response.StatusCode, after)
	}
	if calls := s.upstream.calls(t); len(calls) > 0 {
		t.Errorf("upstream calls: got %v, want none", calls)
	}
	if code, message := v1Protocols["REST"](t, s.address, userA, "pat-iam-owner"); code == "8" {
		t.Errorf("another caller: got code 8 %q, want any other code", message)
	}
}

// largeAtOnce is how many calls with large bodies may be in flight.
const largeAtOnce = 8

// Bodies larger than any call needs are accepted as v1 accepts them, but only largeAtOnce
// of them at a time. Further ones are refused, packed or not, and calls of the usual size
// are not affected.
func TestLargeBodiesAreLimitedApartFromUsualOnes(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	s := newStack(t, func(c *stackConfig) {
		zitadel := wiretest.NewZITADEL(t, c.fixture)
		c.upstream = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if isSetPassword(r) && r.Header.Get("X-Request-Id") == "held" {
				arrived <- struct{}{}
				<-release
			}
			zitadel.ServeHTTP(w, r)
		})
	})
	text := `{"padding":"` + strings.Repeat("x", 100<<10) + `","password":"Sup3rPassw0rd!"}`
	large := aCall()
	large.Text = &text
	held := large
	held.Headers = maps.Clone(large.Headers)
	held.Headers["X-Request-Id"] = "held"
	statuses := make(chan int, largeAtOnce)
	for range largeAtOnce {
		go func() { statuses <- sendRaw(t, s.address, held).StatusCode }()
		<-arrived
	}
	checkTooManyCalls(t, sendRaw(t, s.address, large))
	padding := protowire.AppendBytes(protowire.AppendTag(nil, 99, protowire.BytesType), make([]byte, 100<<10))
	padded := append(grpcMessage(t, userA, "Sup3rPassw0rd!"), padding...)
	for name, request := range map[string]struct {
		encoding string
		body     []byte
	}{
		"plain":  {"", grpcFrame(0, padded)},
		"packed": {"gzip", grpcFrame(1, wiretest.Gzip(t, padded))}, // to less than a kilobyte
	} {
		for _, contentType := range []string{"application/grpc", "application/grpc-web+proto", "application/grpc-web-text"} {
			body := request.body
			if contentType == "application/grpc-web-text" {
				body = []byte(base64.StdEncoding.EncodeToString(body))
			}
			callRaw(t, s, contentType, request.encoding, body).check(t, name+", "+contentType, "14", tooManyCalls)
		}
	}
	for name, call := range v1Protocols {
		if code, message := call(t, s.address, userA, "pat-org-owner-a"); code != "0" {
			t.Errorf("%s, usual size: got code %s %q, want 0", name, code, message)
		}
	}
	close(release)
	for range largeAtOnce {
		if status := <-statuses; status != http.StatusOK {
			t.Errorf("a large call in flight: got HTTP %d, want 200", status)
		}
	}
	eventually(t, "a large call that succeeds", func() bool { return sendRaw(t, s.address, large).StatusCode == http.StatusOK })
	if got := callRaw(t, s, "application/grpc", "gzip", grpcFrame(1, wiretest.Gzip(t, padded))); got.code != "0" {
		t.Errorf("a large packed call after it: got %+v, want code 0", got)
	}
}

// Calls that pass through to native v1 are not held in memory, and have bodies of any size,
// as many as there are.
func TestNativeCallsMayHaveLargeBodies(t *testing.T) {
	t.Parallel()
	const size = 3 << 20
	s := newStack(t, func(c *stackConfig) {
		c.rollout = 0
		c.native = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			_, _ = fmt.Fprintln(w, n, err)
		})
	})
	body := string(grpcFrame(0, make([]byte, size-5)))
	for _, request := range []recordings.Request{
		{Path: userAPath},
		{Path: procedure, Headers: map[string]string{"Content-Type": "application/grpc-web+proto"}},
	} {
		request.Method, request.Text = http.MethodPost, &body
		for range largeAtOnce + 1 {
			response := sendRaw(t, s.address, request)
			if got, want := bodyOf(t, response), fmt.Sprintln(size, nil); got != want {
				t.Errorf("%s: got HTTP %d %q, want %q", request.Path, response.StatusCode, got, want)
			}
		}
	}
}

// The adapter's own services, which anyone may call, accept no message longer than a name
// needs, and wait for it no longer than limits.bodyTimeout.
func TestOwnServicesLimitSizeAndTimeOfMessages(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	hurried := newStack(t, func(c *stackConfig) { c.limits.BodyTimeout = 50 * time.Millisecond })
	bomb := wiretest.Gzip(t, make([]byte, 32<<20))
	for path, body := range map[string][]byte{
		"/grpc.health.v1.Health/Check":                                   append([]byte{1, 0, 0, byte(len(bomb) >> 8), byte(len(bomb))}, bomb...),
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      append([]byte{0, 0, 0, 0x20, 0}, make([]byte, 8<<10)...),
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": append([]byte{0, 0, 0, 0x20, 0}, make([]byte, 8<<10)...),
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.address+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/grpc")
		request.Header.Set("Grpc-Encoding", "gzip")
		if got := statusOf(t, request); got != "8" {
			t.Errorf("%s: a large message: got gRPC status %q, want 8", path, got)
		}
		reader, writer := io.Pipe()
		go func() { _, _ = writer.Write([]byte{0, 0}) }()
		request, err = http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+hurried.address+path, reader)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/grpc")
		if got := statusOf(t, request); got == "" || got == "0" {
			t.Errorf("%s: a message that does not come: got gRPC status %q, want an error", path, got)
		}
		_ = writer.Close()
	}
}
