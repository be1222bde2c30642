// Package passthrough_test runs the real program, built with the race detector, between
// clients and upstreams. It compares what a client gets through the adapter, byte for byte,
// with what it gets from the upstream directly, and tests shutdown, reloads and load.
package passthrough_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"zitadel-v1-adapter/internal/wiretest"
)

// binary is the path of the program, built with the race detector; plain is the same
// without it, for benchmarks.
var binary, plain string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "passthrough")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary, plain = filepath.Join(dir, "race", "zitadel-v1-adapter"), filepath.Join(dir, "plain", "zitadel-v1-adapter")
	for path, race := range map[string]string{binary: "1", plain: "0"} {
		build := exec.Command("go", "build", "-C", "../..", "-race="+race, "-o", path, "./cmd/zitadel-v1-adapter")
		build.Env = append(os.Environ(), "CGO_ENABLED="+race) // which the race detector needs, and releases do not have
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
			os.Exit(1)
		}
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// program is a running adapter.
type program struct {
	address string
	admin   string
	config  string      // path of the configuration file
	trust   *tls.Config // for clients; nil: plain text
	command *exec.Cmd
	log     *wiretest.Buffer
	exited  chan struct{}
}

// start runs a binary with a configuration, and with free ports as its addresses, and waits
// until it is ready. When the test ends, start kills the program if it still runs, and fails
// the test if the program has logged a data race.
func start(tb testing.TB, binary, config string) *program {
	tb.Helper()
	p := &program{
		address: wiretest.FreeAddress(tb), admin: wiretest.FreeAddress(tb), log: new(wiretest.Buffer), exited: make(chan struct{}),
		config: wiretest.WriteFile(tb, tb.TempDir(), "config.yaml", []byte(config)),
	}
	p.command = exec.Command(binary, "serve", "--config", p.config, "--listen", p.address, "--admin-listen", p.admin)
	p.command.Stderr = p.log
	if err := p.command.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() { defer close(p.exited); _ = p.command.Wait() }()
	tb.Cleanup(func() {
		end := os.Kill
		if tb.Failed() {
			end = syscall.SIGQUIT // makes the program log the stacks of all goroutines
		}
		_ = p.command.Process.Signal(end)
		<-p.exited
		if log := p.log.String(); strings.Contains(log, "DATA RACE") || tb.Failed() {
			tb.Errorf("the adapter's log:\n%s", log)
		}
	})
	p.eventually(tb, "ready", func() bool {
		response, err := http.Get("http://" + p.admin + "/readyz")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return p
}

// eventually waits for at most a minute until holds returns true; what is the expected state,
// for the failure's message.
func (p *program) eventually(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		select {
		case <-p.exited:
			tb.Fatalf("not %s: the adapter has exited", what)
		default:
		}
		if time.Now().After(deadline) {
			tb.Fatalf("not %s after a minute", what)
		}
	}
}

// stop sends SIGTERM and returns the exit code.
func (p *program) stop(tb testing.TB) int {
	tb.Helper()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		tb.Fatal(err)
	}
	select {
	case <-p.exited:
		return p.command.ProcessState.ExitCode()
	case <-time.After(time.Minute):
		tb.Fatal("still running a minute after SIGTERM")
		return -1
	}
}

// metrics returns the current metrics in Prometheus' text format.
func (p *program) metrics(tb testing.TB) string {
	tb.Helper()
	response, err := http.Get("http://" + p.admin + "/metrics")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return string(body)
}

// dial connects until the test ends, with a deadline of a minute for everything on the
// connection.
func dial(tb testing.TB, address string) net.Conn {
	tb.Helper()
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(context.Background(), "tcp", address)
	if err != nil {
		tb.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	tb.Cleanup(func() { _ = conn.Close() })
	return conn
}

// base returns the adapter's base URL, without a trailing slash.
func (p *program) base() string {
	if p.trust != nil {
		return "https://" + p.address
	}
	return "http://" + p.address
}

func (p *program) newGRPCConn() (*grpc.ClientConn, error) { return newGRPCConn(p.address, p.trust) }

// newGRPCConn returns grpc-go's connection to an address; trust is nil for plain text.
func newGRPCConn(address string, trust *tls.Config) (*grpc.ClientConn, error) {
	transport := insecure.NewCredentials()
	if trust != nil {
		transport = credentials.NewTLS(trust)
	}
	return grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(transport))
}

// newHTTPClient returns a client that speaks only HTTP/2, or only HTTP/1.1, on its own
// connections.
func (p *program) newHTTPClient(http2 bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetHTTP2(http2)
	protocols.SetUnencryptedHTTP2(http2)
	return &http.Client{Transport: &http.Transport{Protocols: protocols, DisableCompression: true, TLSClientConfig: p.trust.Clone()}}
}
