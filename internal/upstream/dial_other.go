//go:build !linux

package upstream

import "syscall"

// limitUnacknowledged does nothing: TCP_USER_TIMEOUT exists only on Linux.
func limitUnacknowledged(string, string, syscall.RawConn) error { return nil }
