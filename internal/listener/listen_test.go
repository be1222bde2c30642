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

func TestReachesTellsTheSameAddress(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		listen, address string
		want            bool
	}{
		{"127.0.0.1:80", "127.0.0.1:80", true},
		{"127.0.0.1:80", "localhost:80", true},
		{"127.0.0.1:80", "[::ffff:127.0.0.1]:80", true},
		{"zitadel:80", "zitadel:80", true},
		{":80", "127.0.0.1:80", true},
		{"0.0.0.0:80", "[::1]:80", true},
		{":80", "[::]:80", true},
		{"unix:/s", "unix:/s", true},
		{"127.0.0.1:80", "127.0.0.1:81", false},
		{"127.0.0.1:80", "[::1]:80", false},
		{"10.0.0.1:80", "127.0.0.1:80", false},
		{":80", "zitadel:80", false},
		{":80", "10.0.0.1:80", false},
		{"127.0.0.1:0", "127.0.0.1:0", false},
		{"unix:/s", "unix:/t", false},
		{"unix:/s", "127.0.0.1:80", false},
	} {
		if got := listener.Reaches(test.listen, test.address); got != test.want {
			t.Errorf("%s, %s: got %v, want %v", test.listen, test.address, got, test.want)
		}
	}
}

func TestValidateAddressAcceptsTCPAndUnix(t *testing.T) {
	t.Parallel()
	for address, valid := range map[string]bool{
		":8080": true, "[::1]:80": true, "unix:/s": true, "8080": false, "unix:s": false, "": false,
		":0": true, ":65535": true, ":65536": false, "127.0.0.1:": false, ":http": false, ":-1": false,
	} {
		if err := listener.ValidateAddress(address); (err == nil) != valid {
			t.Errorf("%q: got error %v, want valid: %v", address, err, valid)
		}
	}
}
