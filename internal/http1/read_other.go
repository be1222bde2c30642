//go:build !unix

package http1

import "errors"

// read fails: there is no read here that does not wait.
func read(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
