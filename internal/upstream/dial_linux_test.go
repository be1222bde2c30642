package upstream

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// A dead peer is found out within eleven seconds: after five seconds of silence it
// is asked every two seconds, and what it does not acknowledge ends the connection
// after ten, if requests are small. TestDeadPeer of interop/passthrough sees it happen.
func TestSocketOptions(t *testing.T) {
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
				t.Errorf("option %d: %d, want %d, %v", option, got, want, err)
			}
		})
		if err != nil {
			t.Error(err)
		}
	}
}
