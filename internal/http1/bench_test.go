package http1_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
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
		"own":      &http1.Transport{Address: address, Base: &http.Transport{DialContext: new(net.Dialer).DialContext, MaxIdleConnsPerHost: 100}},
		"net/http": &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100},
	} {
		for kind, from := range map[string]func() io.Reader{
			"no body":  nil,
			"memory":   func() io.Reader { return strings.NewReader(body) },
			"streamed": func() io.Reader { return &once{strings.NewReader(body)} },
		} {
			b.Run(kind+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetParallelism(16)
				before := cpuTime()
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
						_, _ = io.Copy(io.Discard, response.Body)
						_ = response.Body.Close()
					}
				})
				b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
			})
		}
		client.CloseIdleConnections()
	}
}

// once is a body that says with its last bytes that it is over, as those of net/http's server.
type once struct{ *strings.Reader }

func (o *once) Read(into []byte) (int, error) {
	n, err := o.Reader.Read(into)
	if err == nil && o.Len() == 0 {
		err = io.EOF
	}
	return n, err
}

func cpuTime() int64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return used.Utime.Nano() + used.Stime.Nano()
}
