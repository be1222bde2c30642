package upstream

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// The socket options detect a dead peer within eleven seconds: keep-alive probes start
// after five seconds, three unanswered ones two seconds apart end the connection, and,
// if requests are small, so does data that is not acknowledged within ten seconds.
// TestDeadPeer of interop/passthrough tests the effect.
func TestSocketOptionsDetectDeadPeers(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	for small, userTimeout := range map[bool]int{true: 10_000, false: 0} {
		checkSocket(t, listener.Addr().String(), small, userTimeout)
	}
}

func checkSocket(t *testing.T, address string, small bool, userTimeout int) {
	t.Helper()
	d := dialer{connect: newConnect(small)}
	conn, err := d.dial(t.Context(), "tcp", address, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	raw, err := conn.(*abortableConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for option, want := range map[int]int{
		unix.TCP_KEEPIDLE: 5, unix.TCP_KEEPINTVL: 2, unix.TCP_KEEPCNT: 3, unix.TCP_USER_TIMEOUT: userTimeout,
	} {
		err := raw.Control(func(fd uintptr) {
			if got, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option); got != want || err != nil {
				t.Errorf("small requests %v, option %d: got %d, %v, want %d", small, option, got, err, want)
			}
		})
		if err != nil {
			t.Error(err)
		}
	}
}
