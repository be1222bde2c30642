package wiretest

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// RefusingAddress returns an address of 127.0.0.1 where connections are refused until the test
// ends.
func RefusingAddress(tb testing.TB) string {
	tb.Helper()
	port, err := takePort("127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(port.free)
	return port.address
}

// FreeAddress returns an address of 127.0.0.1 on which a program can listen that sets
// SO_REUSEADDR, as servers do. Until the test ends, nobody else is given it, in this process or
// another.
func FreeAddress(tb testing.TB) string {
	tb.Helper()
	return RefusingAddress(tb) // until the program listens
}

// takenPort is a port on which nobody listens, and which no other test gets meanwhile.
type takenPort struct {
	socket  int
	address string
}

// takePort takes the port of an IPv4 address; 0 is any.
func takePort(address string) (*takenPort, error) {
	wanted, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, err
	}
	unix.CloseOnExec(socket) // programs that a test starts must not hold it
	port := &takenPort{socket: socket}
	if port.address, err = bind(socket, wanted); err != nil {
		port.free()
		return nil, err
	}
	return port, nil
}

// bind binds a socket, although connections of a listener before it may not be over.
func bind(socket int, wanted netip.AddrPort) (address string, err error) {
	if err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return "", err
	}
	if err := unix.Bind(socket, &unix.SockaddrInet4{Addr: wanted.Addr().As4(), Port: int(wanted.Port())}); err != nil {
		return "", err
	}
	bound, err := unix.Getsockname(socket)
	if err != nil {
		return "", err
	}
	got, _ := bound.(*unix.SockaddrInet4)
	return netip.AddrPortFrom(netip.AddrFrom4(got.Addr), uint16(got.Port)).String(), nil //nolint:gosec // a port
}

// free frees the port; a nil *takenPort has none.
func (p *takenPort) free() {
	if p != nil {
		_ = unix.Close(p.socket)
	}
}
