//go:build unix

package http1

import (
	"io"
	"net"
	"os"
	"syscall"
)

// newAttempt returns a function that reads what has come on a socket without waiting, or nil if
// the connection is not a socket.
func newAttempt(dialed net.Conn) func(into []byte) (int, error) {
	socket, ok := dialed.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	var ( // here, so that an attempt allocates nothing
		into    []byte
		n       int
		failure error
	)
	read := func(descriptor uintptr) bool {
		n, failure = syscall.Read(int(descriptor), into)
		return true
	}
	return func(buffer []byte) (int, error) {
		into = buffer
		if err := raw.Read(read); err != nil {
			return 0, net.ErrClosed // or its deadline has passed, which says nothing about what has come
		}
		switch {
		case failure == syscall.EAGAIN:
			return 0, os.ErrDeadlineExceeded
		case failure != nil:
			return 0, failure
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}
