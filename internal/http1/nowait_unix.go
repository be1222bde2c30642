//go:build unix

package http1

import (
	"io"
	"net"
	"os"
	"syscall"
)

// readNow reads what has come on a socket. If that is nothing, it fails with
// os.ErrDeadlineExceeded.
func readNow(socket syscall.RawConn, into []byte) (n int, err error) {
	failed := socket.Read(func(descriptor uintptr) bool {
		n, err = syscall.Read(int(descriptor), into)
		return true
	})
	switch {
	case failed != nil:
		return 0, net.ErrClosed // or its deadline has passed, which says nothing about what has come
	case err == syscall.EAGAIN:
		return 0, os.ErrDeadlineExceeded
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}
