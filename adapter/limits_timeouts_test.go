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

// Limits in time: bodies that do not come, and answers that their client does not read.

// A server.writeTimeout that only a client that does not read runs into, even on a busy machine;
// and a pause that is longer.
const (
	writeTimeout = 300 * time.Millisecond
	longPause    = writeTimeout + writeTimeout/5
)

// A body that does not come ends the call and, over HTTP/1.1, the connection. The time that
// ZITADEL takes does not count.
func TestBodyTimeoutEndsCallAndConnection(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) { c.limits.BodyTimeout = 50 * time.Millisecond })
	const late = "the request's body did not arrive in time"
	for name, sent := range map[string]string{
		"length":  "POST " + userAPath + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
		"chunked": "POST " + userAPath + " HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
	} {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(conn, sent)
		reader := bufio.NewReader(conn)
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		checkREST(t, name, response, http.StatusGatewayTimeout, `{"code":4,"message":"`+late+`"}`)
		if !response.Close {
			t.Errorf("%s: got an answer without Connection: close, want it", name)
		}
		if rest, err := io.ReadAll(reader); len(rest) > 0 || err != nil {
			t.Errorf("%s: after the answer: got %q, %v, want the end of the connection", name, rest, err)
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
	grpcOutcome(t, response.Header, response.Trailer, body).check(t, "gRPC", "4", late)

	const enough = 500 * time.Millisecond // for a body that is there already, on a busy machine
	slow := newStack(t, func(c *stackConfig) {
		zitadel := wiretest.NewZITADEL(t, c.fixture)
		c.limits.BodyTimeout = enough
		c.upstream = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if isSetPassword(r) {
				time.Sleep(enough + enough/10)
			}
			zitadel.ServeHTTP(w, r)
		})
	})
	if got := sendRaw(t, slow.address, aCall()).StatusCode; got != http.StatusOK {
		t.Errorf("slow upstream: got HTTP %d, want 200", got)
	}
}

// A call without a body waits for native v1 longer than limits.bodyTimeout, and so does the
// next request on its connection.
func TestNativeCallWithoutBodyHasNoBodyTimeout(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) {
		c.rollout, c.limits.BodyTimeout = 0, 50*time.Millisecond
		c.native = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-r.Context().Done():
				t.Errorf("%s: got canceled, want it to be awaited", r.URL.Path)
			}
		})
	})
	client := &http.Client{Transport: newTransport(t, false)}
	for _, path := range []string{userAPath, "/other", userAPath} {
		response, err := client.Post("http://"+s.address+path, "", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != http.StatusOK {
			t.Errorf("%s: got HTTP %d, want 200", path, response.StatusCode)
		}
		_ = response.Body.Close()
	}
}

// Over HTTP/2 a client may leave its answer unread, by giving it no flow-control window.
// server.writeTimeout then ends the call, which no longer counts as a call in flight.
func TestUnreadAnswerReleasesItsCallSlot(t *testing.T) {
	t.Parallel()
	s := newStack(t, func(c *stackConfig) { c.limits.CallsInFlight, c.writeTimeout = 1, writeTimeout })
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
		{":path", procedure},
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
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	for { // the headers arrive, the message has no window, and then the stream is reset
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if _, isData := frame.(*http2.DataFrame); isData {
			t.Fatal("got a DATA frame without a window for it, want RST_STREAM")
		}
		if _, ended := frame.(*http2.RSTStreamFrame); ended {
			break
		}
	}
	eventually(t, "another call that succeeds", func() bool {
		code, _ := v1Protocols["REST"](t, s.address, userA, "pat-org-owner-a")
		return code == "0"
	})
}

// A stream that passes through may pause for longer than server.writeTimeout, but a client
// that does not read it is cut off, and ZITADEL's writes then fail.
func TestUnreadPassthroughStreamIsCutOff(t *testing.T) {
	t.Parallel()
	const pieces = 2
	cut := make(chan struct{}, 1)
	origin := wiretest.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		piece, count := make([]byte, 1), pieces
		if r.URL.Path == "/much" {
			piece, count = make([]byte, 1<<20), 1<<10
		}
		for range count {
			if _, err := w.Write(piece); err != nil {
				cut <- struct{}{}
				return
			}
			_ = http.NewResponseController(w).Flush()
			if r.URL.Path != "/much" {
				time.Sleep(longPause)
			}
		}
	}))
	address := newPassing(t, "http://"+origin, func(p *parts) { p.edge.WriteTimeout = writeTimeout })
	for _, http2 := range []bool{false, true} {
		client := &http.Client{Transport: newTransport(t, http2)}
		response, err := client.Get("http://" + address + "/pauses")
		if err != nil {
			t.Fatal(err)
		}
		if got := bodyOf(t, response); len(got) != pieces {
			t.Errorf("HTTP/2 %v: got %d pieces, want %d", http2, len(got), pieces)
		}
		unread, err := client.Get("http://" + address + "/much")
		if err != nil {
			t.Fatal(err)
		}
		<-cut
		_ = unread.Body.Close()
	}
}

// An answer without a body is written only after the handler has returned. A client that
// does not read such answers is cut off too.
func TestUnreadHeadAnswersAreCutOff(t *testing.T) {
	t.Parallel()
	origin := wiretest.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Fill", strings.Repeat("x", 60<<10))
	}))
	address := newPassing(t, "http://"+origin, func(p *parts) { p.edge.WriteTimeout = writeTimeout })
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	// If the adapter did not cut the client off, it would stop reading requests, and this
	// write would end with its deadline.
	requests := bytes.Repeat([]byte("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n"), 1_000_000)
	if n, err := conn.Write(requests); err == nil || isTimeout(err) {
		t.Errorf("got %d of %d bytes written and error %v, want the connection closed", n, len(requests), err)
	}
}

// A client may pause for longer than server.writeTimeout on the adapter's own stream, that
// of server reflection.
func TestReflectionStreamMayPauseBeyondWriteTimeout(t *testing.T) {
	t.Parallel()
	address := newPassing(t, "http://"+wiretest.Listen(t, http.NotFoundHandler()), func(p *parts) {
		p.services.Reflection, p.edge.WriteTimeout = grpcservices.AnswererOwn, writeTimeout
	})
	client := grpcreflect.NewClient(&http.Client{Transport: newTransport(t, true)}, "http://"+address, connect.WithGRPC())
	stream := client.NewStream(t.Context())
	defer func() { _, _ = stream.Close() }()
	for _, pause := range []time.Duration{0, longPause} {
		time.Sleep(pause)
		if services, err := stream.ListServices(); err != nil || len(services) != 1 {
			t.Fatalf("after %v: got services %v, %v, want one", pause, services, err)
		}
	}
}
