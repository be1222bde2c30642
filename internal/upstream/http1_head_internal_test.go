package upstream

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// FuzzWriteHead compares heads with those that net/http writes.
func FuzzWriteHead(f *testing.F) {
	f.Add("POST", "/a/b?c=d", "zitadel.example.com:8080", "X-A: b\nAuthorization: Bearer t\nUser-Agent: u\nX-A: c", "body", false)
	f.Add("GET", "/", "localhost", "User-Agent: ", "", true)
	f.Add("PUT", "/%2F?", "[::1]:80", "Connection: x\nContent-Length: 9\nHost: y", "", false)
	f.Add("DELETE", "//x", "A.example", "x-lower: a\n\xff: b\nX-Space:  c ", "", true)
	f.Fuzz(func(t *testing.T, method, target, host, headers, body string, last bool) {
		to, err := url.ParseRequestURI(target)
		if err != nil || strings.ContainsAny(method, " \r\n") {
			t.Skip()
		}
		to.Scheme, to.Host = "http", "upstream"
		request := &http.Request{Method: method, URL: to, Host: host, Header: http.Header{}, Close: last, ContentLength: int64(len(body))}
		if body != "" {
			request.Body = io.NopCloser(strings.NewReader(body))
		}
		for line := range strings.SplitSeq(headers, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			request.Header[name] = append(request.Header[name], value)
		}
		var got, want bytes.Buffer
		w := bufio.NewWriter(&got)
		if !writeHead(w, request) {
			if w.Buffered() > 0 {
				t.Errorf("%+v: left to net/http after %d bytes", request, w.Buffered())
			}
			return
		}
		_, _ = w.WriteString(body)
		_ = w.Flush()
		if err := request.Write(&want); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("got %q, net/http writes %q, %v", got.Bytes(), want.Bytes(), err)
		}
	})
}

func BenchmarkWriteHead(b *testing.B) {
	request, err := http.NewRequest(http.MethodPost, "http://localhost/zitadel.user.v2.UserService/SetPassword", http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{
		"Accept-Encoding", "Authorization", "Connect-Protocol-Version", "Connect-Timeout-Ms", "Content-Type", "Forwarded",
		"User-Agent", "X-Forwarded-For", "X-Request-Id", "X-Zitadel-Orgid",
	} {
		request.Header.Set(name, strings.Repeat("x", 30))
	}
	for name, write := range map[string]func(*bufio.Writer){
		"own":      func(w *bufio.Writer) { writeHead(w, request) },
		"net/http": func(w *bufio.Writer) { _ = request.Write(w) },
	} {
		b.Run(name, func(b *testing.B) {
			w := bufio.NewWriter(io.Discard)
			b.ReportAllocs()
			for b.Loop() {
				write(w)
				_ = w.Flush()
			}
		})
	}
}
