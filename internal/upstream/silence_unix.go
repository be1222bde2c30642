//go:build unix

package upstream

import (
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
	silent := false
	look := func(descriptor uintptr) bool {
		waiting := [...]unix.PollFd{{Fd: int32(descriptor), Events: unix.POLLIN}} //nolint:gosec // descriptors are small
		ready, err := unix.Poll(waiting[:], 0)
		silent = err == nil && ready == 0
		return true
	}
	return func() bool { return raw.Read(look) == nil && silent }
}
