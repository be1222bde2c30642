//go:build !unix

package upstream

import "syscall"

// limitUnacknowledged does nothing: the option is Linux's.
func limitUnacknowledged(_, _ string, _ syscall.RawConn) error { return nil }
