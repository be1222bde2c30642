package upstream

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// A dead peer is found out within eleven seconds: after five seconds of silence it
// is asked every two seconds, and what it does not acknowledge ends the connection
// after ten. TestDeadPeer of interop/passthrough sees it happen.
func TestSocketOptions(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	d := dialer{connect: newConnect()}
	conn, err := d.dial(t.Context(), "tcp", listener.Addr().String(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for option, want := range map[int]int{
		unix.TCP_KEEPIDLE: 5, unix.TCP_KEEPINTVL: 2, unix.TCP_KEEPCNT: 3, unix.TCP_USER_TIMEOUT: 10_000,
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
