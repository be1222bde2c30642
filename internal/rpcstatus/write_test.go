package rpcstatus_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"zitadel-v1-adapter/internal/rpcstatus"
	"zitadel-v1-adapter/internal/wiretest"
)

// A refusal over gRPC has its status in trailers, and no Content-Length: nginx and HAProxy take
// one of 0 for the end, and send no trailers, so that clients get code 2 (unknown).
func TestGRPCRefusalHasNoContentLength(t *testing.T) {
	t.Parallel()
	address := wiretest.Listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rpcstatus.Write(w, r, rpcstatus.New(connect.CodePermissionDenied, "no"))
	}))
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Post("http://"+address+"/a.B/C", "application/grpc", strings.NewReader(""))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	if response.Header["Content-Length"] != nil || response.Trailer.Get("Grpc-Status") != "7" {
		t.Errorf("got headers %v, trailers %v; want no Content-Length, and status 7 in a trailer", response.Header, response.Trailer)
	}
}
