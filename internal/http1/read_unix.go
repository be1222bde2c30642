//go:build unix

package http1

import "syscall"

// read reads what has come on a socket, or says EAGAIN.
func read(descriptor uintptr, into []byte) (int, error) { return syscall.Read(int(descriptor), into) }
