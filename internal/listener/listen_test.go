package listener_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"zitadel-v1-adapter/internal/listener"
)

// Listen replaces a Unix socket that a killed process left behind, but not one that is in
// use. The socket's group may connect.
func TestOnlyStaleUnixSocketIsReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = stale.Close()
	start(t, "unix:"+path, http.HandlerFunc(describe), nil, io.Discard)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("got %v, %v, want mode 0660", info, err)
	}
	if _, err := listener.Listen(t.Context(), "unix:"+path); err == nil {
		t.Error("Listen on a socket that is in use: got no error, want one")
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get("http://x/")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
}

func TestValidateAddressAcceptsTCPAndUnix(t *testing.T) {
	t.Parallel()
	for address, valid := range map[string]bool{
		":8080": true, "[::1]:80": true, "unix:/s": true, "8080": false, "unix:s": false, "": false,
	} {
		if err := listener.ValidateAddress(address); (err == nil) != valid {
			t.Errorf("%q: got error %v, want valid: %v", address, err, valid)
		}
	}
}
