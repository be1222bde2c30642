package listener

import (
	"net"
	"sync"
	"time"
)

// deadlineListener's connections are *deadlineConns.
type deadlineListener struct{ net.Listener }

func (l deadlineListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &deadlineConn{Conn: conn}, nil
}

// deadlineConn is a connection whose read deadline is set when something is read. To set one
// costs about as much as to read: the runtime's network poller has to be told, and often
// woken. net/http sets and clears several for each request, of which most are gone before
// anything is read, because a request usually comes in one piece.
type deadlineConn struct {
	net.Conn

	mu      sync.Mutex
	reading bool
	wanted  time.Time
	set     time.Time // of Conn
}

// Read reads by the deadline that was set last, also if that happens while it waits.
func (c *deadlineConn) Read(into []byte) (int, error) {
	c.mu.Lock()
	err := c.apply()
	c.reading = err == nil
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(into)
	c.mu.Lock()
	c.reading = false
	c.mu.Unlock()
	return n, err
}

// SetReadDeadline sets the time until which reads may take. If the connection is closed, the
// next Read says so.
func (c *deadlineConn) SetReadDeadline(deadline time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = deadline
	if !c.reading {
		return nil
	}
	return c.apply()
}

// apply sets the deadline that is wanted. The caller holds the lock.
func (c *deadlineConn) apply() error {
	if c.set.Equal(c.wanted) {
		return nil
	}
	c.set = c.wanted
	return c.Conn.SetReadDeadline(c.wanted)
}

// SetDeadline sets the time until which reads and writes may take.
func (c *deadlineConn) SetDeadline(deadline time.Time) error {
	if err := c.SetReadDeadline(deadline); err != nil {
		return err
	}
	return c.SetWriteDeadline(deadline)
}

// NetConn returns the underlying connection.
func (c *deadlineConn) NetConn() net.Conn { return c.Conn }

// CloseWrite closes the sending side of the connection, if it has such a method.
func (c *deadlineConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
