//go:build unix

package upstream

import "syscall"

// limitUnacknowledged makes a TCP connection fail when sent data has not been acknowledged, or
// the peer's full receive window has not opened again, for ten seconds; Linux's default is about
// a quarter of an hour. Unix sockets, and kernels without the option, stay as they are.
func limitUnacknowledged(_, _ string, conn syscall.RawConn) error {
	const userTimeout, milliseconds = 18, 10_000 // TCP_USER_TIMEOUT, tcp(7)
	return conn.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, userTimeout, milliseconds)
	})
}
