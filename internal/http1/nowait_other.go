//go:build !unix

package http1

import "net"

// newAttempt cannot be done here.
func newAttempt(net.Conn) func(into []byte) (int, error) { return nil }
