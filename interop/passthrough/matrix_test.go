package passthrough_test

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/wiretest"
)

// pair is the same upstream, directly and through the adapter.
type pair struct {
	direct, through string
	trust           *tls.Config // nil: plain text
}

// newPair starts an upstream and the adapter before it, both with TLS or both
// without.
func newPair(t *testing.T, encrypted bool) pair {
	t.Helper()
	if !encrypted {
		origin := newOrigin(t, nil)
		return pair{direct: origin, through: start(t, binary, "upstream: {url: 'http://"+origin+"', host: client}").address}
	}
	ca, dir := wiretest.NewCA(t), t.TempDir()
	cert, key := ca.Issue(t, 2)
	certificate, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	origin := newOrigin(t, &tls.Config{Certificates: []tls.Certificate{certificate}})
	adapter := start(t, binary, fmt.Sprintf("upstream: {url: 'https://%s', host: client, tls: {caFile: %s}}\nserver: {tls: {certFile: %s, keyFile: %s}}",
		origin, wiretest.WriteFile(t, dir, "ca", ca.PEM), wiretest.WriteFile(t, dir, "cert", cert), wiretest.WriteFile(t, dir, "key", key)))
	return pair{direct: origin, through: adapter.address, trust: &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}}
}

// connect opens a connection that speaks HTTP/1.1.
func (p pair) connect(t *testing.T, address string) net.Conn {
	t.Helper()
	conn := dial(t, address)
	if p.trust == nil {
		return conn
	}
	return tls.Client(conn, p.trust)
}

// compare makes one exchange both ways.
func (p pair) compare(t *testing.T, exchange func(t *testing.T, address string) string) {
	t.Helper()
	direct, through := exchange(t, p.direct), exchange(t, p.through)
	if direct != through {
		t.Errorf("direct:\n%s\nthrough the adapter:\n%s", direct, through)
	}
	if direct == "" {
		t.Error("nothing to compare")
	}
}

// rawRequests are sent as they stand; the connection is closed after each.
var rawRequests = map[string]string{
	"small":              "GET /echo HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n\r\n",
	"HTTP/1.0":           "GET /length HTTP/1.0\r\nHost: h.example\r\n\r\n",
	"with body":          "POST /echo HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
	"chunked up":         "POST /echo HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
	"trailers up":        "POST /echo HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\nTrailer: X-A\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-A: b\r\n\r\n",
	"chunked down":       "GET /chunked HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n\r\n",
	"trailers down":      "POST /trailers HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
	"204":                "DELETE /204 HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n\r\n",
	"304":                "GET /304 HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\nIf-None-Match: \"x\"\r\n\r\n",
	"HEAD":               "HEAD /length HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n\r\n",
	"HEAD, chunked":      "HEAD /chunked HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n\r\n",
	"redirect":           "GET /redirect HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n\r\n",
	"early hints":        "GET /early HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n\r\n",
	"no content type":    "GET /untyped HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n\r\n",
	"refused websocket":  "GET /websocket HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n\r\n",
	"odd method":         "FROB /echo HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n\r\n",
	"options":            "OPTIONS * HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n\r\n",
	"escaped":            "GET /a%2Fb%20c;d=e//f/../g/%2e%2E/h%zq HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n\r\n",
	"escaped well":       "GET /a%2Fb%20c;d=e//f/../g/%2e%2E/|^/\xc3\xa4?a=%2F;b&&c HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n\r\n",
	"slashes first":      "GET //a//b HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n\r\n",
	"question mark last": "GET /a? HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n\r\n",
	"headers":            "GET /echo HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\nX-A: 1\r\nx-a: \r\nX-A: 2\r\nX-B:\r\nX-Text: \xe4\xc3\xa4\r\nCookie: a=b\r\nCookie: c=d\r\nReferer: /\r\nAuthorization: Bearer x\r\n\r\n",
	"gRPC-Web":           "POST /grpc-web HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\nContent-Type: application/grpc-web+proto\r\nContent-Length: 7\r\n\r\n\x00\x00\x00\x00\x02ab",
	"gRPC-Web ZITADEL":   "POST /zitadel.user.v2.UserService/GetUserByID HTTP/1.1\r\nHost: localhost:8088\r\nConnection: close\r\nAuthorization: Bearer pat-org-owner-a\r\nContent-Type: application/grpc-web\r\nContent-Length: 25\r\n\r\n\x00\x00\x00\x00\x14\x0a\x12400850336480234534",
	"Connect ZITADEL":    "POST /zitadel.user.v2.UserService/GetUserByID HTTP/1.1\r\nHost: localhost:8088\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
	"not HTTP":           "hello, this is no HTTP\r\n\r\n",
	"64 MiB down":        "GET /download?size=67108864 HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n\r\n",
	"64 MiB, its length": "GET /download?length&size=67108864 HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n\r\n",
}

// HTTP/1.1 on raw sockets, in plain text and over TLS: what comes back is the
// same, byte for byte, but for the order of header lines and the time of day.
func TestRawHTTP1(t *testing.T) {
	t.Parallel()
	for _, encrypted := range []bool{false, true} {
		p := newPair(t, encrypted)
		for name, request := range rawRequests {
			t.Run(fmt.Sprintf("%s, TLS %v", name, encrypted), func(t *testing.T) {
				t.Parallel()
				p.compare(t, func(t *testing.T, address string) string {
					t.Helper()
					conn := p.connect(t, address)
					if _, err := io.WriteString(conn, request); err != nil {
						t.Fatal(err)
					}
					return transcript(t, conn)
				})
			})
		}
		for name, talk := range map[string]func(*testing.T, net.Conn) string{
			"64 MiB up": talkUpload, "100-continue": talkContinue, "100-continue refused": talkContinueRefused,
			"server-sent events": talkEvents, "WebSocket": talkWebSocket, "two on one connection": talkTwice,
		} {
			t.Run(fmt.Sprintf("%s, TLS %v", name, encrypted), func(t *testing.T) {
				t.Parallel()
				p.compare(t, func(t *testing.T, address string) string {
					t.Helper()
					return talk(t, p.connect(t, address))
				})
			})
		}
	}
}

// transcript reads to the end, and makes it comparable: chunks are as the network
// cut them, so their data is put together.
func transcript(t *testing.T, from io.Reader) string {
	t.Helper()
	reader := bufio.NewReader(from)
	var out strings.Builder
	head := readHead(reader)
	for strings.HasPrefix(head, "HTTP/1.1 1") {
		out.WriteString(head)
		head = readHead(reader)
	}
	out.WriteString(head)
	body, trailers := io.Reader(reader), ""
	if strings.Contains(head, "Transfer-Encoding: chunked\r\n") {
		body = httputil.NewChunkedReader(reader)
	}
	content, err := io.ReadAll(body)
	if body != reader {
		trailers = readHead(reader)
	}
	if len(content) < 4096 {
		fmt.Fprintf(&out, "%q", content)
	} else {
		sum := sha256.Sum256(content)
		fmt.Fprintf(&out, "%d bytes, %s", len(content), hex.EncodeToString(sum[:]))
	}
	more, moreErr := io.ReadAll(reader)
	fmt.Fprintf(&out, ", %v, trailers %q, then %q, %v", err, trailers, more, moreErr)
	return out.String()
}

// readHead reads to an empty line, sorts, and takes the date out.
func readHead(reader *bufio.Reader) string {
	var lines []string
	for {
		line, err := reader.ReadString('\n')
		if strings.HasPrefix(line, "Date: ") {
			line = "Date: <date>\r\n"
		}
		if line == "Trailer: X-Second, X-First\r\n" { // net/http keeps them in no order
			line = "Trailer: X-First, X-Second\r\n"
		}
		if line == "\r\n" || err != nil {
			break
		}
		lines = append(lines, line)
	}
	if len(lines) > 0 {
		slices.Sort(lines[1:])
	}
	return strings.Join(lines, "") + "\r\n"
}

func talkUpload(t *testing.T, conn net.Conn) string {
	t.Helper()
	fmt.Fprintf(conn, "POST /upload HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", 64*mebibyte)
	for range 64 * mebibyte / len(block) {
		if _, err := conn.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	return transcript(t, conn)
}

func talkContinue(t *testing.T, conn net.Conn) string {
	t.Helper()
	_, _ = io.WriteString(conn, "POST /echo HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
	reader := bufio.NewReader(conn)
	asked := readHead(reader)
	_, _ = io.WriteString(conn, "hello")
	return asked + transcript(t, reader)
}

func talkContinueRefused(t *testing.T, conn net.Conn) string {
	t.Helper()
	_, _ = io.WriteString(conn, "POST /refuse-body HTTP/1.1\r\nHost: h.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
	reader := bufio.NewReader(conn)
	head := readHead(reader)
	closeWrite(conn)
	rest, err := io.ReadAll(reader)
	return fmt.Sprintf("%s%q, %v", head, rest, err)
}

func talkEvents(t *testing.T, conn net.Conn) string {
	t.Helper()
	_, _ = io.WriteString(conn, "POST /events HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
	reader := bufio.NewReader(conn)
	var out strings.Builder
	out.WriteString(readHead(reader))
	for range 3 {
		for range 5 { // size, two lines of the event, the chunk's end: what is there is there
			line, err := reader.ReadString('\n')
			out.WriteString(line)
			if err != nil {
				t.Fatal(err)
			}
			if line == "\r\n" {
				break
			}
		}
		_, _ = io.WriteString(conn, "5\r\nnext\n\r\n")
	}
	_, _ = io.WriteString(conn, "0\r\n\r\n")
	rest, err := io.ReadAll(reader)
	return fmt.Sprintf("%s%q, %v", out.String(), rest, err)
}

func talkWebSocket(t *testing.T, conn net.Conn) string {
	t.Helper()
	_, _ = io.WriteString(conn, "GET /websocket HTTP/1.1\r\nHost: h.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n")
	reader := bufio.NewReader(conn)
	out := readHead(reader)
	for _, message := range []string{"\x81\x05hello", "A: b\r\n c\r\n\r\n", strings.Repeat("\x00\xff", 50_000)} {
		go func() { _, _ = io.WriteString(conn, message) }()
		back := make([]byte, len(message))
		if _, err := io.ReadFull(reader, back); err != nil || string(back) != message {
			t.Fatalf("%.20q came back as %.20q, %v", message, back, err)
		}
	}
	closeWrite(conn)
	return out
}

func closeWrite(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

func talkTwice(t *testing.T, conn net.Conn) string {
	t.Helper()
	_, _ = io.WriteString(conn, "POST /echo HTTP/1.1\r\nHost: h.example\r\nContent-Length: 5\r\n\r\nhello"+
		"GET /echo HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n\r\n")
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	first, err := io.ReadAll(response.Body)
	return fmt.Sprintf("%s, %v\n", first, err) + transcript(t, reader)
}

// exchange is one request of net/http's client.
type exchange struct {
	method, path string
	header       http.Header
	body         func() io.Reader
	trailer      http.Header
}

var clientExchanges = map[string]exchange{
	"small":         {path: "/echo", header: http.Header{"X-A": {"1", "", "ä"}, "X-Empty": {""}, "Cookie": {"a=b", "c=d"}}},
	"with body":     {method: "POST", path: "/echo", body: func() io.Reader { return strings.NewReader("hello") }},
	"64 MiB up":     {method: "PUT", path: "/upload", body: func() io.Reader { return io.LimitReader(&endless{}, 64*mebibyte) }},
	"64 MiB down":   {path: fmt.Sprint("/download?size=", 64*mebibyte)},
	"its length":    {path: fmt.Sprint("/download?length&size=", 64*mebibyte)},
	"chunked":       {method: "POST", path: "/chunked", body: func() io.Reader { return io.LimitReader(&endless{}, 10) }},
	"trailers":      {method: "POST", path: "/trailers", body: func() io.Reader { return io.LimitReader(strings.NewReader("ok"), 10) }, trailer: http.Header{"X-Up": {"1"}}},
	"204":           {method: "DELETE", path: "/204"},
	"304":           {path: "/304", header: http.Header{"If-None-Match": {`"x"`}}},
	"HEAD":          {method: "HEAD", path: "/length"},
	"HEAD, chunked": {method: "HEAD", path: "/chunked"},
	"redirect":      {path: "/redirect"},
	"early hints":   {path: "/early"},
	"100-continue":  {method: "POST", path: "/echo", header: http.Header{"Expect": {"100-continue"}}, body: func() io.Reader { return strings.NewReader("hello") }},
	"untyped":       {path: "/untyped"},
	"escaped":       {path: "/a%2Fb%20c;d=e//f/../g/%2e%2E/h?a=%2F;b&&c"},
	"gRPC-Web":      {method: "POST", path: "/grpc-web", header: http.Header{"Content-Type": {"application/grpc-web-text"}}, body: func() io.Reader { return strings.NewReader("AAAAAAA=") }},
	"Connect": {
		method: "POST", path: "/zitadel.user.v2.UserService/GetUserByID", header: http.Header{"Content-Type": {"application/json"}, "Connect-Protocol-Version": {"1"}},
		body: func() io.Reader { return strings.NewReader("{}") },
	},
}

// endless is the content of block, over and over.
type endless struct{ at int }

func (e *endless) Read(into []byte) (int, error) {
	n := copy(into, block[e.at%len(block):])
	e.at += n
	return n, nil
}

// net/http's client over HTTP/1.1, h2c and HTTP/2 over TLS.
func TestClientHTTP(t *testing.T) {
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
