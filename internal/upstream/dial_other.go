//go:build !linux

package upstream

import "syscall"

// limitUnacknowledged does nothing where there is no TCP_USER_TIMEOUT.
func limitUnacknowledged(string, string, syscall.RawConn) error { return nil }
