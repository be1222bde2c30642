package wire_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/emptypb"

	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client/internal/wire"
)

// call makes an RPC with connect-go over a Client of package wire.
func call(t *testing.T, address string, version upstream.Version) error {
	t.Helper()
	client := wire.NewClient(wiretest.Upstream(t, "http://"+address, upstream.HostUpstream), version)
	t.Cleanup(client.CloseIdleConnections)
	options := []connect.ClientOption{connect.WithReadMaxBytes(wire.MaxAnswerBytes)}
	if version == upstream.HTTP2 {
		options = append(options, connect.WithGRPC())
	}
	rpc := connect.NewClient[emptypb.Empty, emptypb.Empty](client, "http://"+address+"/package.Service/Method", options...)
	_, err := rpc.CallUnary(t.Context(), connect.NewRequest(new(emptypb.Empty)))
	return err
}

var versions = map[string]upstream.Version{"Connect": upstream.HTTP1, "gRPC": upstream.HTTP2}

// An Error comes through connect-go, whatever connect-go makes of it: the end of a connection,
// which it forgets if that is io.EOF, and answers that are not ZITADEL's.
func TestErrorIsFoundThroughConnect(t *testing.T) {
	t.Parallel()
	answers := func(status int, header, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", header)
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	sent := wire.Error{Dialed: true, Sent: true}
	answered := func(status int) wire.Error {
		return wire.Error{Dialed: true, Sent: true, Status: status, RetryAfter: 3 * time.Second}
	}
	noRoute := answered(http.StatusNotFound)
	noRoute.NoRoute = true
	for protocol, version := range versions {
		for name, test := range map[string]struct {
			address string
			want    wire.Error
		}{
			"connection refused": {wiretest.RefusingAddress(t), wire.Error{}},
			"hangs up":           {hangingUp(t), sent},
			"resets the stream":  {wiretest.Listen(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })), sent},
			"page":               {wiretest.Listen(t, answers(403, "text/html", "<html>")), answered(403)},
			"JSON":               {wiretest.Listen(t, answers(503, "application/json", `{"message":"no"}`)), answered(503)},
			"another code":       {wiretest.Listen(t, answers(503, "application/json", `{"code":"not_found"}`)), answered(503)},
			"no route":           {wiretest.Listen(t, answers(404, "application/json", `{"code":5, "message":"Not Found"}`)), noRoute},
			"redirect":           {wiretest.Listen(t, answers(307, "text/html", "")), answered(307)},
			"Envoy's limit": {wiretest.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Envoy-Ratelimited", "true")
				w.Header().Set("Retry-After", "3")
				w.Header().Set("Content-Type", "application/grpc")
				w.Header().Set("Grpc-Status", "14")
			})), answered(429)},
		} {
			err := call(t, test.address, version)
			failure, ok := errors.AsType[*wire.Error](err)
			if !ok {
				t.Errorf("%s, %s: got %v, want a *wire.Error in it", protocol, name, err)
				continue
			}
			got := *failure
			got.Cause = nil
			if got.Dialed && !got.Sent && name == "hangs up" { // HTTP/2 may notice before it sends
				got.Sent = true
			}
			if got != test.want {
				t.Errorf("%s, %s: got %+v, want %+v", protocol, name, got, test.want)
			}
		}
	}
}

// hangingUp is a server that closes each connection when something has arrived.
func hangingUp(t *testing.T) (address string) {
	t.Helper()
	listening, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listening.Close() })
	go func() {
		for {
			conn, err := listening.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 64<<10))
			_ = conn.Close()
		}
	}()
	return listening.Addr().String()
}

// An error of ZITADEL's own comes through as it is, of any size.
func TestErrorsOfZITADELsStayAsTheyAre(t *testing.T) {
	t.Parallel()
	for protocol, version := range versions {
		for _, size := range []int{0, 10, 100 << 10} {
			said := string(bytes.Repeat([]byte("x"), size))
			address := wiretest.Listen(t, connect.NewUnaryHandler("/package.Service/Method",
				func(context.Context, *connect.Request[emptypb.Empty]) (*connect.Response[emptypb.Empty], error) {
					return nil, connect.NewError(connect.CodeNotFound, errors.New(said))
				}))
			if version == upstream.HTTP2 && size > 10 {
				continue // over gRPC, it is a header, which is limited
			}
			err := call(t, address, version)
			answer, ok := errors.AsType[*connect.Error](err)
			if !ok || !connect.IsWireError(err) || answer.Code() != connect.CodeNotFound || answer.Message() != said {
				t.Errorf("%s, %d bytes: got %.100v, want not_found as it was said", protocol, size, err)
			}
		}
	}
}

// A request keeps its header, whose Host is where connect-go looks for it: it may be made again.
func TestRequestIsNotChanged(t *testing.T) {
	t.Parallel()
	hosts := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { hosts <- r.Host }))
	t.Cleanup(server.Close)
	client := wire.NewClient(wiretest.Upstream(t, server.URL, upstream.HostUpstream), upstream.HTTP1)
	t.Cleanup(client.CloseIdleConnections)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header["Host"] = []string{"zitadel.example"}
	for range 2 {
		response, err := client.Send(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if got := fmt.Sprintf("%s %v", <-hosts, request.Header); got != "zitadel.example map[Host:[zitadel.example]]" {
			t.Errorf("got %s, want the Host sent, and kept", got)
		}
	}
}
