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

// namespace is a host of its own (ip-netns(8)), with a network that leads to other
// namespaces only.
type namespace struct{ name string }

// newNamespace makes a host that is gone when the test ends. It takes root, iproute2
// and iptables.
func newNamespace(t *testing.T, name string) namespace {
	t.Helper()
	n := namespace{fmt.Sprintf("v1a-%d-%s", os.Getpid(), name)}
	run(t, "ip", "netns", "add", n.name)
	t.Cleanup(func() { run(t, "ip", "netns", "delete", n.name) })
	run(t, "ip", "-n", n.name, "link", "set", "lo", "up")
	return n
}

func run(t *testing.T, command string, arguments ...string) {
	t.Helper()
	if out, err := exec.Command(command, arguments...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s(as root, with iproute2 and iptables)", command, strings.Join(arguments, " "), err, out)
	}
}

// connect lays a cable to another host. Both ends get an address of the network.
func (n namespace) connect(t *testing.T, other namespace, network string) (address string) {
	t.Helper()
	here, there := "to-"+network[len(network)-1:], "eth0"
	run(t, "ip", "-n", n.name, "link", "add", here, "type", "veth", "peer", "name", there, "netns", other.name)
	for _, end := range []struct{ namespace, link, address string }{{n.name, here, network + ".1"}, {other.name, there, network + ".2"}} {
		run(t, "ip", "-n", end.namespace, "addr", "add", end.address+"/30", "dev", end.link)
		run(t, "ip", "-n", end.namespace, "link", "set", end.link, "up")
	}
	return network + ".2"
}

// resolve lets a name have addresses, by a hosts file.
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

// silence lets nothing arrive any more, as if the host had lost its power; or ends
// that.
func (n namespace) silence(t *testing.T, silent bool) {
	t.Helper()
	change := map[bool]string{true: "--append", false: "--delete"}[silent]
	run(t, "ip", "netns", "exec", n.name, "iptables", change, "INPUT", "--in-interface", "eth0", "--jump", "DROP")
}

// start runs the program on the host, with its admin address in a Unix socket, until
// the test ends.
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
			t.Fatalf("not ready: %v", err)
		}
	}
}

func unixClient(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 100,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}
}

// One of the two hosts of ZITADEL dies without a word, while calls are under way. The
// dead connections are found out long before upstream.timeout, which is a minute: no
// answer says that time was up. Then all calls go to the other host; when that dies
// too and the first one is back, they go there.
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
				hosts[i].start(t, filepath.Join(dir, fmt.Sprintf("z%d", i)), "demo", "--fixture", recordings.Path(t, recordings.Fixture), "--listen", addresses[i]+":8080")
			}
			adapter.resolve(t, "zitadel.test", addresses)
			listen := filepath.Join(dir, "a")
			config := wiretest.WriteFile(t, dir, "config.yaml", fmt.Appendf(nil,
				"upstream: {url: 'http://zitadel.test:8080', host: localhost, protocol: %s, timeout: 60s}\nserver: {listen: 'unix:%s'}\nbreaker: {minimumCalls: 1000000}\n", protocol, listen))
			log := adapter.start(t, filepath.Join(dir, "admin"), "serve", "--config", config)

			load := newDeadPeerLoad(t, listen)
			load.succeeds(t, 100)
			for i, host := range hosts {
				if !isUsed(t, filepath.Join(dir, fmt.Sprintf("z%d", i))) {
					t.Errorf("%s, which is %s, is not used", addresses[i], host.name)
				}
			}
			hosts[0].silence(t, true)
			load.succeeds(t, 2000)
			hosts[0].silence(t, false)
			hosts[1].silence(t, true)
			load.succeeds(t, 2000)
			load.stop()
			if strings.Contains(log.String(), `"code":"deadline_exceeded"`) {
				t.Error("a call took a minute")
			}
			t.Logf("%d calls were made, %d of them failed", load.made.Load(), load.failed.Load())
		})
	}
}

// isUsed tells whether a host, which is a demo, was called.
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

// deadPeerLoad makes calls for different users all the time.
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

// succeeds waits until so many calls in a row have.
func (l *deadPeerLoad) succeeds(t *testing.T, calls int64) {
	t.Helper()
	l.inRow.Store(0)
	for deadline := time.Now().Add(50 * time.Second); l.inRow.Load() < calls; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d calls in a row succeed, not %d", l.inRow.Load(), calls)
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
