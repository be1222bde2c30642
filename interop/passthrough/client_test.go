package passthrough_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"
)

// exchange is a request made with net/http's client.
type exchange struct {
	method, path string
	header       http.Header
	body         func() io.Reader
	trailer      http.Header
}

var clientExchanges = map[string]exchange{
	"small":       {path: "/echo", header: http.Header{"X-A": {"1", "", "ä"}, "X-Empty": {""}, "Cookie": {"a=b", "c=d"}}},
	"with body":   {method: "POST", path: "/echo", body: func() io.Reader { return strings.NewReader("hello") }},
	"64 MiB up":   {method: "PUT", path: "/upload", body: func() io.Reader { return io.LimitReader(&endless{}, 64*mebibyte) }},
	"64 MiB down": {path: fmt.Sprint("/download?size=", 64*mebibyte)},
	"its length":  {path: fmt.Sprint("/download?length&size=", 64*mebibyte)},
	"chunked":     {method: "POST", path: "/chunked", body: func() io.Reader { return io.LimitReader(&endless{}, 10) }},
	"trailers": {
		method: "POST", path: "/trailers", trailer: http.Header{"X-Up": {"1"}},
		body: func() io.Reader { return io.LimitReader(strings.NewReader("ok"), 10) },
	},
	"204":           {method: "DELETE", path: "/204"},
	"304":           {path: "/304", header: http.Header{"If-None-Match": {`"x"`}}},
	"HEAD":          {method: "HEAD", path: "/length"},
	"HEAD, chunked": {method: "HEAD", path: "/chunked"},
	"redirect":      {path: "/redirect"},
	"early hints":   {path: "/early"},
	"100-continue":  {method: "POST", path: "/echo", header: http.Header{"Expect": {"100-continue"}}, body: func() io.Reader { return strings.NewReader("hello") }},
	"untyped":       {path: "/untyped"},
	"escaped":       {path: "/a%2Fb%20c;d=e//f/../g/%2e%2E/h?a=%2F;b&&c"},
	"gRPC-Web": {
		method: "POST", path: "/grpc-web", header: http.Header{"Content-Type": {"application/grpc-web-text"}},
		body: func() io.Reader { return strings.NewReader("AAAAAAA=") },
	},
	"Connect": {
		method: "POST", path: "/zitadel.user.v2.UserService/GetUserByID", header: http.Header{"Content-Type": {"application/json"}, "Connect-Protocol-Version": {"1"}},
		body: func() io.Reader { return strings.NewReader("{}") },
	},
}

// endless reads the content of block repeatedly, without end.
type endless struct{ at int }

func (e *endless) Read(into []byte) (int, error) {
	n := copy(into, block[e.at%len(block):])
	e.at += n
	return n, nil
}

// net/http's client gets the same responses through the adapter as directly from the upstream,
// over HTTP/1.1 and HTTP/2, in plain text and over TLS.
func TestClientResponsesPassUnchanged(t *testing.T) {
	t.Parallel()
	plain, encrypted := newPair(t, false), newPair(t, true)
	for _, protocol := range []struct {
		name  string
		pair  pair
		http2 bool
	}{{"HTTP/1.1", plain, false}, {"h2c", plain, true}, {"HTTP/1.1 over TLS", encrypted, false}, {"HTTP/2 over TLS", encrypted, true}} {
		for name, request := range clientExchanges {
			t.Run(protocol.name+", "+name, func(t *testing.T) {
				t.Parallel()
				protocol.pair.compare(t, func(t *testing.T, address string) string {
					t.Helper()
					return request.do(t, protocol.pair, address, protocol.http2)
				})
			})
		}
	}
}

func (e exchange) do(t *testing.T, p pair, address string, http2 bool) string {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	protocols.SetUnencryptedHTTP2(http2)
	transport := &http.Transport{Protocols: protocols, TLSClientConfig: p.trust.Clone(), DisableCompression: true}
	defer transport.CloseIdleConnections()
	url := "http://" + address
	if p.trust != nil {
		url = "https://" + address
	}
	var out strings.Builder
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			fmt.Fprintf(&out, "%d %q\n", code, header)
			return nil
		},
	})
	var body io.Reader
	if e.body != nil {
		body = e.body()
	}
	request, err := http.NewRequestWithContext(ctx, e.method, url+e.path, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = "localhost:8088"
	if e.header != nil {
		request.Header = e.header.Clone()
	}
	request.Trailer = e.trailer.Clone()
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	hash := sha256.New()
	size, err := io.Copy(hash, response.Body)
	fmt.Fprintf(&out, "%s %s, length %d\n", response.Proto, response.Status, response.ContentLength)
	for _, name := range slices.Sorted(maps.Keys(response.Header)) {
		if name != "Date" {
			fmt.Fprintf(&out, "%s: %q\n", name, response.Header[name])
		}
	}
	fmt.Fprintf(&out, "%d bytes, %v, %s, trailers %q", size, err, hex.EncodeToString(hash.Sum(nil)), response.Trailer)
	return out.String()
}
