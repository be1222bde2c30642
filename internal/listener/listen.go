package listener

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
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
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf(`%q: use host:port, such as "127.0.0.1:8080" or ":8080", or unix:/path`, address)
	}
	return nil
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
