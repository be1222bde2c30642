package passthrough_test

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/wiretest"
)

// pair is an upstream together with an adapter in front of it.
type pair struct {
	direct, through string      // addresses of the upstream and of the adapter
	trust           *tls.Config // nil: plain text
}

// newPair starts an upstream and an adapter in front of it, both with TLS or both without.
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
	caFile := wiretest.WriteFile(t, dir, "ca", ca.PEM)
	certFile, keyFile := wiretest.WriteFile(t, dir, "cert", cert), wiretest.WriteFile(t, dir, "key", key)
	adapter := start(t, binary, fmt.Sprintf("upstream: {url: 'https://%s', host: client, tls: {caFile: %s}}\n"+
		"server: {tls: {certFile: %s, keyFile: %s}}", origin, caFile, certFile, keyFile))
	return pair{direct: origin, through: adapter.address, trust: &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}}
}

// connect opens a connection to send HTTP/1.1 on.
func (p pair) connect(t *testing.T, address string) net.Conn {
	t.Helper()
	conn := dial(t, address)
	if p.trust == nil {
		return conn
	}
	return tls.Client(conn, p.trust)
}

// compare makes an exchange with the upstream and with the adapter. Both results, which
// must not be empty, have to be the same.
func (p pair) compare(t *testing.T, exchange func(t *testing.T, address string) string) {
	t.Helper()
	direct, through := exchange(t, p.direct), exchange(t, p.through)
	if direct != through {
		t.Errorf("got through the adapter:\n%s\nwant, as directly from the upstream:\n%s", through, direct)
	}
	if direct == "" {
		t.Error("got an empty result, want something to compare")
	}
}

// closing is the rest of a request line, and the first headers, of the last request on a
// connection.
const closing = " HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n"

// rawRequests are sent byte for byte, each on its own connection.
var rawRequests = map[string]string{
	"small":              "GET /echo" + closing + "\r\n",
	"HTTP/1.0":           "GET /length HTTP/1.0\r\nHost: h.example\r\n\r\n",
	"with body":          "POST /echo" + closing + "Content-Length: 5\r\n\r\nhello",
	"chunked up":         "POST /echo" + closing + "Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
	"trailers up":        "POST /echo" + closing + "Trailer: X-A\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-A: b\r\n\r\n",
	"chunked down":       "GET /chunked" + closing + "\r\n",
	"trailers down":      "POST /trailers" + closing + "Content-Length: 2\r\n\r\nok",
	"204":                "DELETE /204" + closing + "\r\n",
	"304":                "GET /304" + closing + "If-None-Match: \"x\"\r\n\r\n",
	"HEAD":               "HEAD /length" + closing + "\r\n",
	"HEAD, chunked":      "HEAD /chunked" + closing + "\r\n",
	"redirect":           "GET /redirect" + closing + "\r\n",
	"early hints":        "GET /early" + closing + "\r\n",
	"no content type":    "GET /untyped" + closing + "\r\n",
	"refused websocket":  "GET /websocket" + closing + "\r\n",
	"odd method":         "FROB /echo" + closing + "\r\n",
	"options":            "OPTIONS *" + closing + "\r\n",
	"escaped":            "GET /a%2Fb%20c;d=e//f/../g/%2e%2E/h%zq" + closing + "\r\n",
	"escaped well":       "GET /a%2Fb%20c;d=e//f/../g/%2e%2E/|^/\xc3\xa4?a=%2F;b&&c" + closing + "\r\n",
	"slashes first":      "GET //a//b" + closing + "\r\n",
	"question mark last": "GET /a?" + closing + "\r\n",
	"headers": "GET /echo" + closing + "X-A: 1\r\nx-a: \r\nX-A: 2\r\nX-B:\r\nX-Text: \xe4\xc3\xa4\r\n" +
		"Cookie: a=b\r\nCookie: c=d\r\nReferer: /\r\nAuthorization: Bearer x\r\n\r\n",
	"gRPC-Web": "POST /grpc-web" + closing + "Content-Type: application/grpc-web+proto\r\nContent-Length: 7\r\n\r\n\x00\x00\x00\x00\x02ab",
	"gRPC-Web ZITADEL": "POST /zitadel.user.v2.UserService/GetUserByID HTTP/1.1\r\nHost: localhost:8088\r\nConnection: close\r\n" +
		"Authorization: Bearer pat-org-owner-a\r\nContent-Type: application/grpc-web\r\nContent-Length: 25\r\n\r\n\x00\x00\x00\x00\x14\x0a\x12400850336480234534",
	"Connect ZITADEL": "POST /zitadel.user.v2.UserService/GetUserByID HTTP/1.1\r\nHost: localhost:8088\r\nConnection: close\r\n" +
		"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
	"not HTTP":           "hello, this is not HTTP\r\n\r\n",
	"64 MiB down":        "GET /download?size=67108864" + closing + "\r\n",
	"64 MiB, its length": "GET /download?length&size=67108864" + closing + "\r\n",
}

// Over HTTP/1.1, in plain text and over TLS, a client gets the same bytes through the adapter
// as directly from the upstream, except for the order of headers and the date.
func TestHTTP1ResponsesPassUnchanged(t *testing.T) {
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

// transcript reads responses until the connection ends, and returns them in a comparable
// form: headers sorted, without the date, and chunks joined, because their sizes vary.
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

// readHead reads until an empty line, and returns the lines sorted and without the date.
func readHead(reader *bufio.Reader) string {
	var lines []string
	for {
		line, err := reader.ReadString('\n')
		if strings.HasPrefix(line, "Date: ") {
			line = "Date: <date>\r\n"
		}
		if line == "Trailer: X-Second, X-First\r\n" { // net/http's order varies
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
		for range 5 { // chunk size, two lines of the event, end of the chunk; an earlier empty line ends the event
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
	_, _ = io.WriteString(conn, "GET /websocket HTTP/1.1\r\nHost: h.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n")
	reader := bufio.NewReader(conn)
	out := readHead(reader)
	for _, message := range []string{"\x81\x05hello", "A: b\r\n c\r\n\r\n", strings.Repeat("\x00\xff", 50_000)} {
		go func() { _, _ = io.WriteString(conn, message) }()
		back := make([]byte, len(message))
		if _, err := io.ReadFull(reader, back); err != nil || string(back) != message {
			t.Fatalf("got %.20q, %v, want the echo of %.20q", back, err, message)
		}
	}
	closeWrite(conn)
	return out
}

// closeWrite closes the sending side of a connection.
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
