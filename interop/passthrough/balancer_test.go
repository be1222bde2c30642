package passthrough_test

import (
	"bufio"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Clients that keep connections open and go elsewhere when they are told to, as load
// balancers do, lose no request, though they never retry: from the moment readiness is off
// each answer says so, and connections without a request are closed last.
func TestTerminationLosesNoRequestOfABalancer(t *testing.T) {
	t.Parallel()
	const rounds, connections = 20, 30
	config := "upstream: {url: 'http://" + newOrigin(t, nil) + "'}\nserver: {shutdownDelay: 1500ms}"
	stays := start(t, binary, config)
	var lost, sent, moved atomic.Int64
	for range rounds {
		leaves := start(t, binary, config)
		stop := make(chan struct{})
		var clients sync.WaitGroup
		for range connections {
			clients.Go(func() {
				reader, conn := (*bufio.Reader)(nil), net.Conn(nil)
				for to := leaves.address; ; {
					select {
					case <-stop:
						return
					case <-time.After(time.Duration(rand.IntN(20)) * time.Millisecond):
					}
					if conn == nil {
						conn = dial(t, to)
						reader = bufio.NewReader(conn)
					}
					sent.Add(1)
					_, _ = io.WriteString(conn, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
					response, err := http.ReadResponse(reader, nil)
					if err != nil {
						lost.Add(1)
						to, conn = stays.address, nil
						continue
					}
					_, _ = io.Copy(io.Discard, response.Body)
					_ = response.Body.Close()
					if response.Close {
						moved.Add(1)
						_ = conn.Close()
						to, conn = stays.address, nil
					}
				}
			})
		}
		time.Sleep(50 * time.Millisecond) // all connections are busy
		if code := leaves.stop(t); code != 0 {
			t.Errorf("got exit code %d, want 0", code)
		}
		close(stop)
		clients.Wait()
	}
	t.Logf("%d rounds, %d requests, %d connections moved, %d requests lost", rounds, sent.Load(), moved.Load(), lost.Load())
	if lost.Load() != 0 || moved.Load() < rounds*connections/2 {
		t.Errorf("got %d requests lost and %d connections moved, want none lost and most moved", lost.Load(), moved.Load())
	}
}
