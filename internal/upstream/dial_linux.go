package upstream

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// limitUnacknowledged makes a TCP connection fail when sent data has not been
// acknowledged, or the peer's full receive window has not opened again, for ten
// seconds (TCP_USER_TIMEOUT, tcp(7)). By default, Linux retransmits for about a
// quarter of an hour. Unix sockets, and kernels without the option, stay as they are.
func limitUnacknowledged(_, _ string, conn syscall.RawConn) error {
	const milliseconds = 10_000
	return conn.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, milliseconds)
	})
}
