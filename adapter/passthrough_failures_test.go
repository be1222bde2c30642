package adapter_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
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
