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

// balancer is clients that keep connections open and go elsewhere when they are told to, and how
// their requests went.
type balancer struct{ sent, moved, lost atomic.Int64 }

// client sends requests to one address until an answer asks it to close the connection, and then to
// the other one, until stop is closed.
func (b *balancer) client(t *testing.T, to, elsewhere string, stop <-chan struct{}) {
	t.Helper()
	reader, conn := (*bufio.Reader)(nil), net.Conn(nil)
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(rand.IntN(60)) * time.Millisecond):
		}
		if conn == nil {
			conn = dial(t, to)
			reader = bufio.NewReader(conn)
		}
		b.sent.Add(1)
		_, _ = io.WriteString(conn, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			b.lost.Add(1)
			to, conn = elsewhere, nil
			continue
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if response.Close {
			b.moved.Add(1)
			_ = conn.Close()
			to, conn = elsewhere, nil
		}
	}
}

// Clients that treat connections as load balancers do lose no request, though they never retry:
// when readiness is off, each answer asks to close the connection, and the adapter closes idle
// connections last.
func TestTerminationLosesNoRequestOfABalancer(t *testing.T) {
	t.Parallel()
	const rounds, leaving, connections = 5, 4, 30
	config := "upstream: {url: 'http://" + newOrigin(t, nil) + "'}\nserver: {shutdownDelay: 1500ms}"
	stays := start(t, binary, config)
	var b balancer
	for range rounds {
		var programs sync.WaitGroup
		for range leaving {
			leaves := start(t, binary, config)
			programs.Go(func() {
				stop := make(chan struct{})
				var clients sync.WaitGroup
				for range connections {
					clients.Go(func() { b.client(t, leaves.address, stays.address, stop) })
				}
				time.Sleep(150 * time.Millisecond) // all connections are busy
				if code := leaves.stop(t); code != 0 {
					t.Errorf("got exit code %d, want 0", code)
				}
				close(stop)
				clients.Wait()
			})
		}
		programs.Wait()
	}
	t.Logf("%d requests, %d connections moved, %d requests lost", b.sent.Load(), b.moved.Load(), b.lost.Load())
	if b.lost.Load() != 0 || b.moved.Load() < rounds*leaving*connections/2 {
		t.Errorf("got %d requests lost and %d connections moved, want none lost and most moved", b.lost.Load(), b.moved.Load())
	}
}
