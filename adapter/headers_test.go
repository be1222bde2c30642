package adapter_test

import (
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/listener"
	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/wiretest"
)

// Headers: which ones reach ZITADEL with a translated call, and CORS. Those of requests
// that pass through are in passthrough_test.go, those that choose an instance in
// instance_test.go.

// A translated call takes a fixed list of the client's headers upstream, and no others.
func TestOnlyListedHeadersReachZITADEL(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	forwarded := map[string]string{
		"Authorization": "Bearer pat-org-owner-a", "X-Zitadel-Orgid": "400849858564525094", "Origin": "https://app.example",
		"Accept-Language": "de", "Traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "Tracestate": "a=b", "X-Request-Id": "r-1",
	}
	call := aCall()
	call.Headers = map[string]string{
		"Cookie": "secret=1", "X-Forwarded-For": "10.0.0.1", "X-Secret": "1", "Proxy-Authorization": "Basic eDp5", "Te": "trailers",
	}
	maps.Copy(call.Headers, forwarded)
	// No proxy is trusted: the request comes from the address that the adapter sees.
	maps.Copy(forwarded, map[string]string{
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "localhost:8088",
		"Forwarded": `for=127.0.0.1;host="localhost:8088";proto=http`,
	})
	if response := sendRaw(t, s.address, call); response.StatusCode != http.StatusOK {
		t.Fatalf("got HTTP %d, want 200", response.StatusCode)
	}
	arrived := s.upstream.last(t)
	for name, value := range forwarded {
		if got := arrived.Header.Get(name); got != value {
			t.Errorf("%s: got %q, want %q", name, got, value)
		}
	}
	own := []string{"User-Agent", "Content-Type", "Content-Length", "Connect-Protocol-Version", "Connect-Timeout-Ms", "Accept-Encoding"}
	for name := range arrived.Header {
		if _, ok := forwarded[name]; !ok && !slices.Contains(own, name) {
			t.Errorf("%s: got %q upstream, want no such header", name, arrived.Header[name])
		}
	}
	if want := "localhost:8088"; arrived.Host != want {
		t.Errorf("Host: got %q, want the client's, %q", arrived.Host, want)
	}
}

// A client on a Unix socket, which has no address, cannot forge one by way of grpc-gateway's
// Grpc-Metadata- headers.
func TestGRPCMetadataCannotForgeForwardedHeaders(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/s"
	s := newStack(t)
	on, err := listener.Listen(t.Context(), "unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	wiretest.Serve(t, on, s)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "POST "+userAPath+" HTTP/1.1\r\nHost: localhost\r\n"+
		"Authorization: Bearer pat-org-owner-a\r\nX-Zitadel-Orgid: "+orgA+"\r\n"+
		"Grpc-Metadata-X-Forwarded-For: 6.6.6.6\r\nConnection: close\r\nContent-Length: 29\r\n\r\n"+good)
	if answer, err := io.ReadAll(conn); !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
		t.Fatalf("got %q, %v, want HTTP 200", answer, err)
	}
	if got := s.upstream.last(t).Header.Get("X-Forwarded-For"); got != "" {
		t.Errorf("X-Forwarded-For: got %q, want no such header", got)
	}
}

// A browser may read errors as well as successes, over REST and gRPC-Web.
func TestErrorsCarryCORSHeaders(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for path, contentType := range map[string]string{
		userAPath:  "application/json",
		procedure:  "application/grpc-web+proto",
		"/unknown": "text/plain",
	} {
		body := `{"password":""}`
		response := sendRaw(t, s.address, recordings.Request{
			Method: http.MethodPost, Path: path, Text: &body,
			Headers: map[string]string{"Content-Type": contentType, "Origin": "https://app.example"},
		})
		if got := response.Header.Get("Access-Control-Allow-Origin"); got != "https://app.example" {
			t.Errorf("%s: Access-Control-Allow-Origin: got %q, want %q", path, got, "https://app.example")
		}
		const exposed = "Grpc-Status-Details-Bin"
		if got := response.Header.Get("Access-Control-Expose-Headers"); !strings.Contains(got, exposed) {
			t.Errorf("%s: Access-Control-Expose-Headers: got %q, want %s in it", path, got, exposed)
		}
	}
}
