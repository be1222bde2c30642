package listener

import (
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// countedConn notes the read deadlines that are really set.
type countedConn struct {
	net.Conn

	mu  sync.Mutex
	set []time.Time
}

func (c *countedConn) SetReadDeadline(deadline time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set = append(c.set, deadline)
	return c.Conn.SetReadDeadline(deadline)
}

func (c *countedConn) deadlines() []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.set)
}

// Of the deadlines between two reads only the last is set, and none that is set already. One
// that is over ends a read at once, and so does one that comes while a read waits.
func TestReadDeadlineIsSetWhenSomethingIsRead(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	t.Cleanup(func() { _ = errors.Join(client.Close(), server.Close()) })
	counted := &countedConn{Conn: server}
	conn := &deadlineConn{Conn: counted}
	written := make(chan struct{}, 3)
	read := func() {
		t.Helper()
		go func() {
			_, _ = client.Write([]byte("x"))
			written <- struct{}{}
		}()
		if n, err := conn.Read(make([]byte, 1)); n != 1 || err != nil {
			t.Errorf("read: got %d, %v, want a byte", n, err)
		}
		<-written
	}
	first, second := time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)
	read()
	_ = conn.SetReadDeadline(first)
	_ = conn.SetReadDeadline(time.Time{})
	_ = conn.SetDeadline(second)
	read()
	_ = conn.SetReadDeadline(first)
	_ = conn.SetReadDeadline(second)
	read()
	if got := counted.deadlines(); !slices.Equal(got, []time.Time{second}) {
		t.Errorf("deadlines set: got %v, want %v", got, second)
	}

	failed := make(chan error)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		failed <- err
	}()
	time.Sleep(time.Millisecond) // most likely it waits by then; it ends in either case
	_ = conn.SetReadDeadline(time.Unix(1, 0))
	if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read that waited: got %v, want the deadline's error", err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read after the deadline: got %v, want its error", err)
	}
}
