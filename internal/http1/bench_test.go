package http1_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/http1"
)

// BenchmarkExchange is one exchange with a server of net/http in the same process, the server's
// part included, with our Transport and with net/http's.
func BenchmarkExchange(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "ok")
	}))
	defer server.Close()
	address := server.Listener.Addr().String()
	body := strings.Repeat("x", 60)
	for name, client := range map[string]transport{
		"own": &http1.Transport{Dial: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}},
		"net/http": &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100},
	} {
		for kind, from := range map[string]func() io.Reader{
			"no body":  nil,
			"memory":   func() io.Reader { return strings.NewReader(body) },
			"streamed": func() io.Reader { return struct{ io.Reader }{strings.NewReader(body)} },
		} {
			b.Run(kind+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				b.RunParallel(func(parallel *testing.PB) {
					for parallel.Next() {
						request := requestOf(http.MethodPost, from)(server.URL)
						if from != nil {
							request.ContentLength = int64(len(body))
						}
						response, err := client.RoundTrip(request)
						if err != nil {
							b.Error(err)
							return
						}
						_, _ = readAll(response.Body)
						_ = response.Body.Close()
					}
				})
			})
		}
		client.CloseIdleConnections()
	}
}
