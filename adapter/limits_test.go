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

// Who sends a body slowly, or never to its end, takes no call's place.
func TestSlowBodiesTakeNoPlace(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) { c.limits.CallsInFlight = 1 })
	const rpc = "/zitadel.management.v1.ManagementService/SetHumanInitialPassword HTTP/1.1\r\nContent-Type: application/grpc-web"
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
		// The handler reads, and waits.
		if answer, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(answer, "100 Continue") {
			t.Fatalf("%q, %v", answer, err)
		}
		for name, call := range protocols {
			if code, message := call(t, s.address, userA, "pat-org-owner-a"); code != "0" {
				t.Errorf("%s: %s %s", name, code, message)
			}
		}
	}
}

// A caller that calls too often is told so in every protocol and costs ZITADEL
// nothing; another one is not concerned.
func TestCallerRate(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) { c.limits.CallerRate, c.limits.CallerBurst = 1e-6, 1 })
	if code, message := protocols["REST"](t, s.address, userA, "pat-org-owner-a"); code != "0" {
		t.Fatalf("%s %s", code, message)
	}
	s.upstream.calls(t)
	for name, call := range protocols {
		code, message := call(t, s.address, userA, "pat-org-owner-a")
		if code != "8" || !strings.Contains(message, "too many calls with this token, try again later") {
			t.Errorf("%s: %s %s", name, code, message)
		}
	}
	response := sendRaw(t, s.address, aCall())
	if after := response.Header.Get("Retry-After"); response.StatusCode != http.StatusTooManyRequests || len(after) < 6 {
		t.Errorf("%d, Retry-After %q, want the rest of a million seconds", response.StatusCode, after)
	}
	if calls := s.upstream.calls(t); len(calls) > 0 {
		t.Errorf("upstream calls %v", calls)
	}
	if code, message := protocols["REST"](t, s.address, userA, "pat-iam-owner"); code == "8" {
		t.Errorf("another caller: %s", message)
	}
}

// largeAtOnce is how many large bodies are read at once.
const largeAtOnce = 8

// Bodies that are larger than any call needs are taken as v1 takes them, but only some
// at once; further ones are refused, and cost calls of the usual size nothing.
func TestLargeBodies(t *testing.T) {
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
	response := sendRaw(t, s.address, large)
	if got := bodyOf(t, response); response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") != "1" ||
		got != `{"code":14,"message":"too many calls at once, try again later"}` {
		t.Errorf("REST: %d %s, Retry-After %q", response.StatusCode, got, response.Header.Get("Retry-After"))
	}
	padded := append(grpcMessage(t, userA, "Sup3rPassw0rd!"), protowire.AppendBytes(protowire.AppendTag(nil, 99, protowire.BytesType), make([]byte, 100<<10))...)
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
			if got := callRaw(t, s, contentType, request.encoding, body); got.code != "14" || got.text != "too many calls at once, try again later" {
				t.Errorf("%s, %s: %+v", name, contentType, got)
			}
		}
	}
	for name, call := range protocols {
		if code, message := call(t, s.address, userA, "pat-org-owner-a"); code != "0" {
			t.Errorf("%s, of the usual size: %s %s", name, code, message)
		}
	}
	close(release)
	for range largeAtOnce {
		if status := <-statuses; status != http.StatusOK {
			t.Errorf("one that was there before: %d", status)
		}
	}
	eventually(t, "a large body is taken again", func() bool { return sendRaw(t, s.address, large).StatusCode == http.StatusOK })
	if got := callRaw(t, s, "application/grpc", "gzip", grpcFrame(1, wiretest.Gzip(t, padded))); got.code != "0" {
		t.Errorf("packed: %+v", got)
	}
}

// What goes to native v1 is not held, and as large as it likes.
func TestLargeBodiesOfTheRollout(t *testing.T) {
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
		{Path: "/zitadel.management.v1.ManagementService/SetHumanInitialPassword", Headers: map[string]string{"Content-Type": "application/grpc-web+proto"}},
	} {
		request.Method, request.Text = http.MethodPost, &body
		for range largeAtOnce + 1 {
			response := sendRaw(t, s.address, request)
			if got, want := bodyOf(t, response), fmt.Sprintln(size, nil); got != want {
				t.Errorf("%s: %d %q, want %q", request.Path, response.StatusCode, got, want)
			}
		}
	}
}

// The adapter's own services take no more of a stranger than a name, and not for ever.
func TestOwnServicesAreLimited(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) { c.limits.BodyTimeout = 50 * time.Millisecond })
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
			t.Errorf("%s: a large message: code %s", path, got)
		}
		reader, writer := io.Pipe()
		go func() { _, _ = writer.Write([]byte{0, 0}) }()
		request, err = http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.address+path, reader)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/grpc")
		if got := statusOf(t, request); got == "" || got == "0" {
			t.Errorf("%s: a message that does not come: code %q", path, got)
		}
		_ = writer.Close()
	}
}
