//go:build !unix

package http1

import (
	"errors"
	"syscall"
)

// readNow fails: there is no read here that does not wait.
func readNow(syscall.RawConn, []byte) (int, error) { return 0, errors.ErrUnsupported }
