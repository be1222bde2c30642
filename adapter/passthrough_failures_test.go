package adapter_test

import (
	"bufio"
	"bytes"
	"context"
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

	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/wiretest"
)

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
	})), func(p *parts) { p.passthrough.ResponseTimeout = 20 * time.Millisecond })

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

// The log names paths, at debug level, and never a query, which may hold a code.
func TestPassthroughLog(t *testing.T) {
	t.Parallel()
	var log wiretest.Buffer
	address, _ := tape(t, okAnswer)
	s := newPassing(t, "http://"+address, func(p *parts) {
		p.passthrough.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
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
