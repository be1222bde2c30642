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

// What goes upstream is what is meant to, and nothing else.
func TestForwardedHeaders(t *testing.T) {
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
	// Nobody is trusted: where the request comes from is what the adapter sees.
	maps.Copy(forwarded, map[string]string{
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "localhost:8088",
		"Forwarded": `for=127.0.0.1;host="localhost:8088";proto=http`,
	})
	if response := sendRaw(t, s.address, call); response.StatusCode != http.StatusOK {
		t.Fatalf("status %d", response.StatusCode)
	}
	arrived := s.upstream.last(t)
	for name, value := range forwarded {
		if got := arrived.Header.Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	own := []string{"User-Agent", "Content-Type", "Content-Length", "Connect-Protocol-Version", "Connect-Timeout-Ms", "Accept-Encoding"}
	for name := range arrived.Header {
		if _, ok := forwarded[name]; !ok && !slices.Contains(own, name) {
			t.Errorf("%s: %q went upstream", name, arrived.Header[name])
		}
	}
	if arrived.Host != "localhost:8088" {
		t.Errorf("Host %q, want the client's", arrived.Host)
	}
}

// Nobody on a socket forges where a request came from by way of gRPC metadata.
func TestForwardedMetadata(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/s"
	s := newStack(t)
	on, err := listener.Listen(t.Context(), "unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	wiretest.Serve(t, on, s.handler)
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "POST "+userAPath+" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer pat-org-owner-a\r\nX-Zitadel-Orgid: 400849858564525094\r\n"+
		"Grpc-Metadata-X-Forwarded-For: 6.6.6.6\r\nConnection: close\r\nContent-Length: 29\r\n\r\n"+good)
	if answer, err := io.ReadAll(conn); !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
		t.Fatalf("%q, %v", answer, err)
	}
	if got := s.upstream.last(t).Header.Get("X-Forwarded-For"); got != "" {
		t.Errorf("X-Forwarded-For %q", got)
	}
}

// Browsers may read errors as well as successes, over REST and gRPC-Web.
func TestCORSOnErrors(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for path, contentType := range map[string]string{
		userAPath: "application/json",
		"/zitadel.management.v1.ManagementService/SetHumanInitialPassword": "application/grpc-web+proto",
		"/unknown": "text/plain",
	} {
		body := `{"password":""}`
		response := sendRaw(t, s.address, recordings.Request{
			Method: http.MethodPost, Path: path, Text: &body,
			Headers: map[string]string{"Content-Type": contentType, "Origin": "https://app.example"},
		})
		if got := response.Header.Get("Access-Control-Allow-Origin"); got != "https://app.example" {
			t.Errorf("%s: Access-Control-Allow-Origin %q", path, got)
		}
		if got := response.Header.Get("Access-Control-Expose-Headers"); !strings.Contains(got, "Grpc-Status-Details-Bin") {
			t.Errorf("%s: Access-Control-Expose-Headers %q", path, got)
		}
	}
}
