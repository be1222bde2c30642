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

// Requests that cannot pass through, and answers that break off.

// A request that cannot reach ZITADEL is answered in the protocol of its client.
func TestPassthroughFailureIsAnsweredInClientsProtocol(t *testing.T) {
	t.Parallel()
	refusing := newPassing(t, "http://"+wiretest.RefusingAddress(t), nil)
	silent := newPassing(t, "http://"+wiretest.Listen(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})), func(p *parts) { p.passthrough.ResponseTimeout = 20 * time.Millisecond })

	for name, test := range map[string]struct {
		address string
		headers map[string]string
		status  int
		want    string
	}{
		"connection refused": {address: refusing, status: 503, want: restUnreachable},
		"no answer":          {address: silent, status: 504, want: `{"code":4,"message":"ZITADEL did not answer in time"}`},
		"malformed Host": {
			address: refusing, headers: map[string]string{"Host": "not a host", "Origin": "https://a.example"},
			status: 400, want: "400 Bad Request: malformed Host header",
		},
		"Connect": {
			address: refusing, headers: map[string]string{"Content-Type": "application/json", "Connect-Protocol-Version": "1"},
			status: 503, want: `{"code":"unavailable","message":"ZITADEL cannot be reached"}`,
		},
	} {
		text := "{}"
		response := sendRaw(t, test.address, recordings.Request{
			Method: http.MethodPost, Path: "/zitadel.user.v2.UserService/X", Text: &text, Headers: test.headers,
		})
		checkREST(t, name, response, test.status, test.want)
	}

	for _, contentType := range []string{"application/grpc-web+proto", "application/grpc-web-text"} {
		response := sendRaw(t, refusing, recordings.Request{
			Method: http.MethodPost, Path: "/x.Y/Z", Headers: map[string]string{"Content-Type": contentType},
		})
		grpcWebOutcome(t, response.Header, []byte(bodyOf(t, response))).check(t, contentType, "14", unreachable)
	}
	response := sendRaw(t, refusing, recordings.Request{
		Method: http.MethodGet, Path: "/x", Headers: map[string]string{"Origin": "https://a.example"},
	})
	if got, want := response.Header.Get("Access-Control-Allow-Origin"), "https://a.example"; got != want {
		t.Errorf("Access-Control-Allow-Origin: got %q, want %q", got, want)
	}
	err := callOtherMethod(t, refusing, connect.WithGRPC())
	failure := new(connect.Error)
	if !errors.As(err, &failure) || failure.Code() != connect.CodeUnavailable || failure.Message() != unreachable {
		t.Errorf("gRPC: got %v, want unavailable: %s", err, unreachable)
	}
	header, trailer, body := sendGRPC(t, newTransport(t, true), refusing, recordings.Request{
		Method: http.MethodPost, Path: "/x/Y", Headers: map[string]string{"Content-Type": "application/grpc+cbor", "Te": "trailers"},
	})
	if got := grpcOutcome(t, header, trailer, body); got.code != "14" {
		t.Errorf("gRPC with another codec: got %+v, want code 14", got)
	}
	if got := sendRaw(t, refusing, recordings.Request{Method: http.MethodConnect, Path: "x:80"}).StatusCode; got != http.StatusMethodNotAllowed {
		t.Errorf("CONNECT: got HTTP %d, want 405", got)
	}
}

// callOtherMethod calls a method that is not translated.
func callOtherMethod(t *testing.T, address string, options ...connect.ClientOption) error {
	t.Helper()
	client := connect.NewClient[emptypb.Empty, emptypb.Empty](
		&http.Client{Transport: newTransport(t, true)}, "http://"+address+"/x.Y/Z", options...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := client.CallUnary(ctx, connect.NewRequest(&emptypb.Empty{}))
	return err
}

// When the upstream closes its connection in the middle of an answer, a gRPC stream ends
// with UNAVAILABLE, as it does without the adapter, and any other answer is visibly cut.
func TestPassthroughAnswerCutByUpstreamLooksCut(t *testing.T) {
	t.Parallel()
	cut := newPassing(t, "http://"+wiretest.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		_, _ = w.Write([]byte{0, 0, 0, 0, 0})
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})), nil)
	if err := callOtherMethod(t, cut, connect.WithGRPC()); connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("gRPC: got %v, want unavailable", err)
	}
	response := sendRaw(t, cut, recordings.Request{Method: http.MethodGet, Path: "/x"})
	if body, err := io.ReadAll(response.Body); err == nil {
		t.Errorf("got %q as a whole answer, want an error", body)
	}
}

// When the upstream closes its connection in the middle of an answer, the exchange ends,
// even if the client has not sent all of its request.
func TestUpstreamAbortEndsExchangeWhileClientSends(t *testing.T) {
	t.Parallel()
	address, _ := recordHeads(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n")
	s := newPassing(t, "http://"+address, nil)
	conn, err := net.Dial("tcp", s)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\na")
	answer, err := io.ReadAll(conn)
	if err != nil || strings.Contains(string(answer), "\r\n0\r\n") {
		t.Errorf("got %q, %v, want a connection that ends before the last chunk", answer, err)
	}
}

// A malformed body is the client's fault: it is answered with HTTP 400, it does not arrive
// upstream as if it were whole, and the connection ends.
func TestPassthroughMalformedBodyIsBadRequest(t *testing.T) {
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
		t.Error("got an answer without Connection: close, want it: where the next request begins is unknown")
	}
	checkREST(t, "malformed body", response, http.StatusBadRequest, `{"code":3,"message":"the request's body cannot be read"}`)
	select {
	case body := <-whole:
		t.Errorf("upstream: got %q as a whole body, want an error", body)
	default:
	}
}
