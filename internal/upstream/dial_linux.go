package upstream

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// limitUnacknowledged lets a connection fail when what was sent has not been
// acknowledged for so long, or not been read (TCP_USER_TIMEOUT of tcp(7)); the kernel
// would try for a quarter of an hour.
func limitUnacknowledged(network, _ string, conn syscall.RawConn) error {
	const milliseconds = 10_000
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	return conn.Control(func(fd uintptr) {
		// A kernel that does not know it does without.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, milliseconds)
	})
}
