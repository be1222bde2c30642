package adapter_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"zitadel-v1-adapter/internal/grpcservices"
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

// A body that does not come ends the call and, over HTTP/1.1, the connection.
func TestBodyTimeout(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) { c.limits.BodyTimeout = 50 * time.Millisecond })
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
		c.limits.BodyTimeout = 50 * time.Millisecond
		c.upstream = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(60 * time.Millisecond)
			zitadel.ServeHTTP(w, r)
		})
	})
	if got := sendRaw(t, slow.address, aCall()).StatusCode; got != http.StatusOK {
		t.Errorf("a slow upstream: %d", got)
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

// Over HTTP/2 a client may refuse to take its answer, without a word and for as long
// as it likes. It holds up no call but its own, and that not for ever.
func TestUntakenAnswer(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) { c.limits.CallsInFlight, c.writeTimeout = 1, 50*time.Millisecond })
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, http2.ClientPreface)
	framer := http2.NewFramer(conn, conn)
	var headers bytes.Buffer
	encoder := hpack.NewEncoder(&headers)
	for _, field := range [][2]string{
		{":method", http.MethodPost},
		{":scheme", "http"},
		{":authority", "localhost"},
		{":path", "/zitadel.management.v1.ManagementService/SetHumanInitialPassword"},
		{"content-type", "application/grpc"},
		{"authorization", "Bearer pat-org-owner-a"},
	} {
		_ = encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	body, err := base64.StdEncoding.DecodeString(*grpcCallBodyFor(userA))
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}),
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers.Bytes(), EndHeaders: true}),
		framer.WriteData(1, true, body),
	)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	for { // its headers come, its message cannot, and then its time is up
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if _, isData := frame.(*http2.DataFrame); isData {
			t.Fatal("data without room for it")
		}
		if _, ended := frame.(*http2.RSTStreamFrame); ended {
			break
		}
	}
	eventually(t, "the call counts no longer", func() bool {
		code, _ := protocols["REST"](t, s.address, userA, "pat-org-owner-a")
		return code == "0"
	})
}

// A stream of the adapter's own, which is server reflection, may pause too.
func TestReflectionMayPause(t *testing.T) {
	t.Parallel()
	address := newPassing(t, "http://"+wiretest.Listen(t, http.NotFoundHandler()), func(p *parts) {
		p.services.Reflection, p.edge.WriteTimeout = grpcservices.AnswererOwn, 50*time.Millisecond
	})
	client := grpcreflect.NewClient(&http.Client{Transport: newTransport(t, true)}, "http://"+address, connect.WithGRPC())
	stream := client.NewStream(t.Context())
	defer func() { _, _ = stream.Close() }()
	for range 2 {
		if services, err := stream.ListServices(); err != nil || len(services) != 1 {
			t.Fatalf("%v, %v", services, err)
		}
		time.Sleep(80 * time.Millisecond)
	}
}

// What passes through may pause for as long as it likes, but a client that does not
// take it is cut off, and ZITADEL hears of it.
func TestUntakenStream(t *testing.T) {
	t.Parallel()
	cut := make(chan struct{}, 1)
	origin := wiretest.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		piece := make([]byte, 1)
		pieces := 3
		if r.URL.Path == "/much" {
			piece, pieces = make([]byte, 1<<20), 1<<10
		}
		for range pieces {
			if _, err := w.Write(piece); err != nil {
				cut <- struct{}{}
				return
			}
			_ = http.NewResponseController(w).Flush()
			if r.URL.Path != "/much" {
				time.Sleep(80 * time.Millisecond)
			}
		}
	}))
	address := newPassing(t, "http://"+origin, func(p *parts) {
		p.edge.WriteTimeout = 50 * time.Millisecond
	})
	for _, http2 := range []bool{false, true} {
		client := &http.Client{Transport: newTransport(t, http2)}
		response, err := client.Get("http://" + address + "/pauses")
		if err != nil {
			t.Fatal(err)
		}
		if got := bodyOf(t, response); len(got) != 3 {
			t.Errorf("HTTP/2 %v: %d of three pieces", http2, len(got))
		}
		untaken, err := client.Get("http://" + address + "/much") // and not read
		if err != nil {
			t.Fatal(err)
		}
		<-cut
		_ = untaken.Body.Close()
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

// statusOf is the gRPC status of the answer to a request over HTTP/2. It may be called
// from any goroutine.
func statusOf(t *testing.T, request *http.Request) string {
	t.Helper()
	response, err := newTransport(t, true).RoundTrip(request)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Error(err)
	}
	return response.Header.Get("Grpc-Status") + response.Trailer.Get("Grpc-Status")
}
