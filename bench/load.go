package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// request is what the load consists of, over HTTP/1.1 keep-alive connections.
type request struct {
	bytes []byte // as they are sent
	want  string // the answer's body begins so
}

func newRequest(method, path, body, want string, header ...string) request {
	lines := append([]string{method + " " + path + " HTTP/1.1", "Host: localhost", "User-Agent: bench", "Accept: */*"}, header...)
	if body != "" {
		lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)))
	}
	return request{[]byte(strings.Join(lines, "\r\n") + "\r\n\r\n" + body), want}
}

// client sends one request after the other on a connection.
type client struct {
	conn   net.Conn
	reader *bufio.Reader
	buffer []byte
}

func dial(ctx context.Context, address string) (*client, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, reader: bufio.NewReaderSize(conn, 64<<10), buffer: make([]byte, 64<<10)}, nil
}

// exchange sends a request and reads its answer, which must be the one that is wanted.
func (c *client) exchange(r request) error {
	if _, err := c.conn.Write(r.bytes); err != nil {
		return err
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	n, err := io.ReadAtLeast(response.Body, c.buffer, len(r.want))
	if err != nil || response.StatusCode != http.StatusOK || string(c.buffer[:len(r.want)]) != r.want {
		return fmt.Errorf("answered %s %q (%w), not %q", response.Status, c.buffer[:n], err, r.want)
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, response.Body, c.buffer)
	return err
}

// closedLoop sends on each connection one request after the other, for a time. It returns
// the number of answers.
func closedLoop(ctx context.Context, address string, r request, connections int, window time.Duration) (int, error) {
	clients := make([]*client, connections)
	for i := range clients {
		c, err := dial(ctx, address)
		if err != nil {
			return 0, err
		}
		defer func() { _ = c.conn.Close() }()
		clients[i] = c
	}
	var (
		all     sync.WaitGroup
		mu      sync.Mutex
		answers int
		failure error
	)
	end := time.Now().Add(window)
	for _, c := range clients {
		all.Go(func() {
			done, err := 0, error(nil)
			for time.Now().Before(end) && err == nil {
				err = c.exchange(r)
				done++
			}
			mu.Lock()
			defer mu.Unlock()
			answers += done
			if err != nil {
				failure = err
			}
		})
	}
	all.Wait()
	return answers, failure
}

// openLoop sends requests at a rate, whether or not the earlier ones are answered. It
// returns how long each answer took, the wait for a connection included, but not how late
// the machine's timers were.
func openLoop(ctx context.Context, address string, r request, rate int, window time.Duration) ([]time.Duration, error) {
	const connections = 32
	idle := make(chan *client, connections)
	for range connections {
		c, err := dial(ctx, address)
		if err != nil {
			return nil, err
		}
		defer func() { _ = c.conn.Close() }()
		idle <- c
	}
	count := int(window.Seconds() * float64(rate))
	latencies, failures := make([]time.Duration, count), make([]error, count)
	var all sync.WaitGroup
	start := time.Now()
	for i := range count {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(due))
		begin := time.Now()
		all.Go(func() {
			c := <-idle
			defer func() { idle <- c }()
			failures[i] = c.exchange(r)
			latencies[i] = time.Since(begin)
		})
	}
	all.Wait()
	for _, failure := range failures {
		if failure != nil {
			return nil, failure
		}
	}
	slices.Sort(latencies)
	return latencies, nil
}
