package passthrough_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/recordings"
	"zitadel-v1-adapter/internal/wiretest"
)

// namespace is a network namespace (ip-netns(8)), used as a separate host. Its network
// leads only to the namespaces that it is connected to.
type namespace struct{ name string }

// newNamespace makes a host that is removed when the test ends. It needs root, iproute2
// and iptables.
func newNamespace(t *testing.T, name string) namespace {
	t.Helper()
	n := namespace{fmt.Sprintf("v1a-%d-%s", os.Getpid(), name)}
	run(t, "ip", "netns", "add", n.name)
	t.Cleanup(func() { run(t, "ip", "netns", "delete", n.name) })
	run(t, "ip", "-n", n.name, "link", "set", "lo", "up")
	return n
}

// run runs a command and fails the test if the command fails.
func run(t *testing.T, command string, arguments ...string) {
	t.Helper()
	if out, err := exec.Command(command, arguments...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s(this test needs root, iproute2 and iptables)", command, strings.Join(arguments, " "), err, out)
	}
}

// connect connects another host by a veth(4) pair, and returns that host's address. network
// is the first three bytes of the addresses of both ends, such as "10.231.0".
func (n namespace) connect(t *testing.T, other namespace, network string) (address string) {
	t.Helper()
	local, remote := "to-"+network[len(network)-1:], "eth0"
	run(t, "ip", "-n", n.name, "link", "add", local, "type", "veth", "peer", "name", remote, "netns", other.name)
	for _, end := range []struct{ namespace, link, address string }{
		{n.name, local, network + ".1"}, {other.name, remote, network + ".2"},
	} {
		run(t, "ip", "-n", end.namespace, "addr", "add", end.address+"/30", "dev", end.link)
		run(t, "ip", "-n", end.namespace, "link", "set", end.link, "up")
	}
	return network + ".2"
}

// resolve makes a host name resolve to addresses on this host, by its /etc/hosts.
func (n namespace) resolve(t *testing.T, name string, addresses []string) {
	t.Helper()
	dir := "/etc/netns/" + n.name
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	var hosts strings.Builder
	for _, address := range addresses {
		fmt.Fprintf(&hosts, "%s %s\n", address, name)
	}
	wiretest.WriteFile(t, dir, "hosts", []byte(hosts.String()))
}

// setDead drops everything that is sent to the host, as if it had lost its power, or stops
// doing so.
func (n namespace) setDead(t *testing.T, dead bool) {
	t.Helper()
	change := map[bool]string{true: "--append", false: "--delete"}[dead]
	run(t, "ip", "netns", "exec", n.name, "iptables", change, "INPUT", "--in-interface", "eth0", "--jump", "DROP")
}

// start runs the program on the host until the test ends, with its admin listener on the
// Unix socket admin, and returns its output.
func (n namespace) start(t *testing.T, admin string, arguments ...string) *wiretest.Buffer {
	t.Helper()
	log := new(wiretest.Buffer)
	command := exec.Command("ip", append([]string{"netns", "exec", n.name, binary}, arguments...)...)
	command.Args = append(command.Args, "--admin-listen", "unix:"+admin)
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", n.name, log.String())
		}
	})
	client := unixClient(admin)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		response, err := client.Get("http://localhost/readyz")
		if err == nil {
			_ = response.Body.Close()
			client.CloseIdleConnections()
			return log
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not ready after 30s: %v", n.name, err)
		}
	}
}

// unixClient returns a client that connects to a Unix socket whatever the URL's host is.
func unixClient(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 100,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
}

// When one of ZITADEL's two hosts dies silently during calls, all calls soon go to the other
// host, and when that dies and the first one is back, they go there. The dead connections
// are detected long before upstream.timeout, one minute, so no call fails with
// deadline_exceeded.
func TestDeadPeer(t *testing.T) {
	t.Parallel()
	for n, protocol := range []string{"connect", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			adapter := newNamespace(t, "a"+protocol)
			var hosts [2]namespace
			addresses := make([]string, len(hosts))
			for i := range hosts {
				hosts[i] = newNamespace(t, fmt.Sprintf("z%d%s", i, protocol))
				addresses[i] = adapter.connect(t, hosts[i], fmt.Sprintf("10.231.%d", 2*n+i))
				hosts[i].start(t, filepath.Join(dir, fmt.Sprintf("z%d", i)),
					"demo", "--fixture", recordings.Path(t, recordings.Fixture), "--listen", addresses[i]+":8080")
			}
			adapter.resolve(t, "zitadel.test", addresses)
			listen := filepath.Join(dir, "a")
			config := wiretest.WriteFile(t, dir, "config.yaml", fmt.Appendf(nil,
				"upstream: {url: 'http://zitadel.test:8080', host: localhost, protocol: %s, timeout: 60s}\n"+
					"server: {listen: 'unix:%s'}\nbreaker: {minimumCalls: 1000000}\n", protocol, listen))
			log := adapter.start(t, filepath.Join(dir, "admin"), "serve", "--config", config)

			load := newDeadPeerLoad(t, listen)
			load.waitForSuccesses(t, 100)
			for i, host := range hosts {
				if !isUsed(t, filepath.Join(dir, fmt.Sprintf("z%d", i))) {
					t.Errorf("got no calls to %s (%s), want some", addresses[i], host.name)
				}
			}
			hosts[0].setDead(t, true)
			load.waitForSuccesses(t, 2000)
			hosts[0].setDead(t, false)
			hosts[1].setDead(t, true)
			load.waitForSuccesses(t, 2000)
			load.stop()
			if strings.Contains(log.String(), `"code":"deadline_exceeded"`) {
				t.Error("a call failed with deadline_exceeded after a minute, want dead connections to be detected earlier")
			}
			t.Logf("%d calls were made, %d of them failed", load.made.Load(), load.failed.Load())
		})
	}
}

// isUsed reports whether a host, which runs the demo command, has answered a call.
func isUsed(t *testing.T, admin string) bool {
	t.Helper()
	client := unixClient(admin)
	defer client.CloseIdleConnections()
	response, err := client.Get("http://localhost/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(body), `v1adapter_passed_through_total{status="200"}`)
}

// deadPeerLoad makes v1 calls continuously, 16 at a time.
type deadPeerLoad struct {
	client       *http.Client
	made, failed atomic.Int64
	inRow        atomic.Int64 // successes since the last failure
	stopping     chan struct{}
	workers      sync.WaitGroup
}

func newDeadPeerLoad(t *testing.T, listen string) *deadPeerLoad {
	t.Helper()
	l := &deadPeerLoad{client: unixClient(listen), stopping: make(chan struct{})}
	for range 16 {
		l.workers.Go(func() {
			for {
				select {
				case <-l.stopping:
					return
				case <-time.After(time.Millisecond):
				}
				l.call(t)
			}
		})
	}
	t.Cleanup(l.stop)
	return l
}

func (l *deadPeerLoad) call(t *testing.T) {
	t.Helper()
	l.made.Add(1)
	if callREST(t.Context(), l.client, "http://localhost") != nil {
		l.failed.Add(1)
		l.inRow.Store(0)
		return
	}
	l.inRow.Add(1)
}

// waitForSuccesses waits until count calls in a row have succeeded, for at most 50 s.
func (l *deadPeerLoad) waitForSuccesses(t *testing.T, count int64) {
	t.Helper()
	l.inRow.Store(0)
	for deadline := time.Now().Add(50 * time.Second); l.inRow.Load() < count; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("got %d successful calls in a row, want %d", l.inRow.Load(), count)
		}
	}
}

func (l *deadPeerLoad) stop() {
	select {
	case <-l.stopping:
	default:
		close(l.stopping)
	}
	l.workers.Wait()
	l.client.CloseIdleConnections()
}
