//go:build unix

package upstream

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// silence returns what looks, without waiting, whether nothing has come on an idle
// connection: data, or the end, means that the other side is done with it.
func silence(conn net.Conn) func() bool {
	if secured, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secured.NetConn()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return func() bool { return true }
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return func() bool { return false }
	}
	var (
		silent bool
		peeked [1]byte
	)
	look := func(descriptor uintptr) bool {
		_, _, err := unix.Recvfrom(int(descriptor), peeked[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		silent = errors.Is(err, unix.EAGAIN)
		return true
	}
	return func() bool { return raw.Read(look) == nil && silent }
}
