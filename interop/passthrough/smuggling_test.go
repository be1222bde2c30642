package passthrough_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"zitadel-v1-adapter/internal/wiretest"
)

// What net/http's server refuses is refused in plain text and over TLS, and nothing of it, or of what follows, reaches the
// upstream. TestRequestsAreReadAsByNetHTTP has many more requests, and those that are taken.
func TestSmugglingIsRefused(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var arrived []string
	origin := wiretest.Listen(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil {
			mu.Lock()
			defer mu.Unlock()
			arrived = append(arrived, fmt.Sprintf("%s %s %q", r.Method, r.RequestURI, body))
		}
	}))
	ca, dir := wiretest.NewCA(t), t.TempDir()
	cert, key := ca.Issue(t, 2)
	plain := start(t, binary, "upstream: {url: 'http://"+origin+"'}")
	encrypted := start(t, binary, fmt.Sprintf("upstream: {url: 'http://%s'}\nserver: {tls: {certFile: %s, keyFile: %s}}",
		origin, wiretest.WriteFile(t, dir, "cert", cert), wiretest.WriteFile(t, dir, "key", key)))

	const next = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, request := range map[string]string{
		"two Content-Lengths":            "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 37\r\n\r\n" + next,
		"Content-Length with a sign":     "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: +37\r\n\r\n" + next,
		"Transfer-Encoding in disguise":  "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + next,
		"Transfer-Encoding twice":        "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + next,
		"space before the colon":         "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length : 37\r\n\r\n" + next,
		"space in a name":                "GET /x HTTP/1.1\r\nHost: x\r\nX Y: z\r\n\r\n",
		"chunk size is not a number":     "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n" + next,
		"chunk ended by a bare LF":       "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;\na\r\n0\r\n\r\n" + next,
		"extension ended by a bare LF":   "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0;a\n" + next,
		"fields after such an extension": "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0;a\nX: y\nContent-Length: 3\r\n\r\n" + next,
		"no Host":                        "GET /x HTTP/1.1\r\n\r\n",
		"two Hosts":                      "GET /x HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"NUL in a header":                "GET /x HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n",
		"stray HTTP/2 preface":           "PRI * HTTP/2.0\r\n\r\n" + next,
	} {
		for way, connect := range map[string]func() net.Conn{
			"plain": func() net.Conn { return dial(t, plain.address) },
			"TLS": func() net.Conn {
				return tls.Client(dial(t, encrypted.address), &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"})
			},
		} {
			for _, path := range []string{"/x", "/management/v1/users/1/password/_initialize"} {
				conn := connect()
				_, _ = io.WriteString(conn, strings.Replace(request, " /x ", " "+path+" ", 1))
				closeWrite(conn)
				answer, err := io.ReadAll(conn)
				if text := string(answer); !strings.HasPrefix(text, "HTTP/1.1 4") && !strings.HasPrefix(text, "HTTP/1.1 501") || strings.Count(text, "HTTP/1.1 ") != 1 {
					t.Errorf("%s, %s, %s: got %q, %v, want a single response with status 4xx or 501", name, way, path, text, err)
				}
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(arrived) > 0 {
		t.Errorf("got requests at the upstream: %q, want none", arrived)
	}
}
