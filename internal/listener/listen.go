package listener

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// unixPrefix marks an address as the path of a Unix socket.
const unixPrefix = "unix:"

// ValidateAddress checks that an address is host:port or unix:/path, without listening
// on it. The error quotes the address and gives valid examples.
func ValidateAddress(address string) error {
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		if !strings.HasPrefix(path, "/") {
			return fmt.Errorf(`%q: use an absolute path, such as "unix:/run/zitadel-v1-adapter.sock"`, address)
		}
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf(`%q: use host:port, such as "127.0.0.1:8080" or ":8080", or unix:/path`, address)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf(`%q: use a port from 0 to 65535, such as "127.0.0.1:8080"`, address)
	}
	return nil
}

// Reaches reports whether a listener on an address of this machine is reached at another, by what
// they say alone: names are not looked up.
func Reaches(listen, address string) bool {
	host, port, err := net.SplitHostPort(listen)
	toHost, toPort, toErr := net.SplitHostPort(address)
	if err != nil || toErr != nil { // Unix sockets
		return listen == address
	}
	from, to := ipOf(host), ipOf(toHost)
	return port == toPort && port != "0" &&
		(host == toHost || from.IsValid() && from == to || from.IsUnspecified() && (to.IsUnspecified() || to.IsLoopback()))
}

// ipOf is the address of a host; zero for a name.
func ipOf(host string) netip.Addr {
	switch host {
	case "":
		return netip.IPv6Unspecified()
	case "localhost":
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	address, _ := netip.ParseAddr(host)
	return address.Unmap()
}

// Listen listens on an address that ValidateAddress accepts. A Unix socket gets mode 0660, so that
// its group may connect too; one that a killed process left behind is replaced.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	var network net.ListenConfig
	path, ok := strings.CutPrefix(address, unixPrefix)
	if !ok {
		return network.Listen(ctx, "tcp", address)
	}
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	listener, err := network.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o660); err != nil { //nolint:gosec // the group is meant to connect
		_ = listener.Close()
		return nil, err
	}
	return listener, nil
}

// removeStale removes a Unix socket on which no process listens.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return nil //nolint:nilerr // Listen reports what is wrong
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return os.Remove(path)
	}
	if err == nil {
		_ = conn.Close()
	}
	return nil
}
