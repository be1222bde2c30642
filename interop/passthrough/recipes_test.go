package passthrough_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/internal/wiretest"
)

// recipe is a proxy with its configuration in deploy/. That for Envoy is tested by interop/deploy.
type recipe struct {
	file string
	// command runs the proxy with the recipe, of which only addresses, names and the folder
	// of the certificate were changed. It is in dir, and so may be other files.
	command func(t *testing.T, dir, config string) *exec.Cmd
	// server is the adapter's section server.
	server string
	// peer is whom the adapter sees when 127.0.0.2 calls.
	peer string
	// all says that everything goes through the adapter.
	all bool
}

var recipes = map[string]recipe{
	"nginx":                    {file: "nginx/zitadel-v1-adapter.conf", server: trusting, peer: "127.0.0.2, 127.0.0.1", command: nginx},
	"nginx with all traffic":   {file: "nginx/all-traffic.conf", server: trusting, peer: "127.0.0.2, 127.0.0.1", command: nginx, all: true},
	"Caddy":                    {file: "caddy/Caddyfile", server: trusting, peer: "127.0.0.2, 127.0.0.1", command: caddy},
	"Caddy with all traffic":   {file: "caddy/all-traffic.Caddyfile", server: trusting, peer: "127.0.0.2, 127.0.0.1", command: caddy, all: true},
	"HAProxy":                  {file: "haproxy/haproxy.cfg", server: trusting, peer: "127.0.0.2, 127.0.0.1", command: haproxy},
	"HAProxy with all traffic": {file: "haproxy/all-traffic.cfg", server: trusting, peer: "127.0.0.2, 127.0.0.1", command: haproxy, all: true},
	"HAProxy with the PROXY protocol": {
		file: "haproxy/proxy-protocol.cfg", peer: "127.0.0.2", all: true, command: haproxy,
		server: "{trustedProxies: [127.0.0.1], proxyProtocol: true, tls: {certFile: DIR/tls.crt, keyFile: DIR/tls.key}}",
	},
}

// traefikRecipes are tried by `make traefik`, which compiles all of Traefik.
var traefikRecipes = map[string]recipe{
	"two calls":   {file: "traefik/zitadel-v1-adapter.yaml", server: trusting, peer: "127.0.0.2, 127.0.0.1", command: traefik},
	"all traffic": {file: "traefik/all-traffic.yaml", server: trusting, peer: "127.0.0.2, 127.0.0.1", command: traefik, all: true},
}

// trusting is a section server that believes a proxy on this machine.
const trusting = "{trustedProxies: [127.0.0.1]}"

// nginx is that of Debian's package nginx-light.
func nginx(t *testing.T, dir, config string) *exec.Cmd {
	t.Helper()
	main := wiretest.WriteFile(t, dir, "nginx.conf", fmt.Appendf(nil, `daemon off; pid %[1]s/pid; error_log stderr; worker_processes 1;
events {}
http { access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
include %[2]s; }`, dir, config))
	return exec.Command("nginx", "-p", dir, "-c", main)
}

// caddy is that of Debian's package caddy.
func caddy(t *testing.T, dir, config string) *exec.Cmd {
	t.Helper()
	main := wiretest.WriteFile(t, dir, "Main", fmt.Appendf(nil, "{\n\tadmin off\n\tauto_https disable_redirects\n}\nimport %s\n", config))
	command := exec.Command("caddy", "run", "--adapter", "caddyfile", "--config", main)
	command.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	return command
}

// haproxy is that of Debian's package haproxy.
func haproxy(_ *testing.T, _, config string) *exec.Cmd {
	return exec.Command("haproxy", "-db", "-f", config)
}

// traefik is that of tools/traefik, run by the command in the recipe's first comment.
func traefik(t *testing.T, _, config string) *exec.Cmd {
	t.Helper()
	content, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	_, line, _ := strings.Cut(string(content), "\n#   traefik ")
	line, _, _ = strings.Cut(line, "\n")
	path, err := exec.Command("go", "tool", "-modfile=../../tools/traefik/go.mod", "-n", "traefik").Output()
	if err != nil {
		t.Fatal(err)
	}
	return exec.Command(strings.TrimSpace(string(path)), strings.Fields(line)...)
}

// start runs the proxy until the test ends, and returns its address. dir contains the
// certificate.
func (r recipe) start(t *testing.T, dir string, adapter *program, origin string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("../../deploy", r.file))
	if err != nil {
		t.Fatal(err)
	}
	address := wiretest.FreeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	_, adminPort, _ := net.SplitHostPort(adapter.admin)
	proxy := r.command(t, dir, wiretest.WriteFile(t, dir, filepath.Base(r.file), []byte(strings.NewReplacer(
		"127.0.0.1:8443", address, "127.0.0.1:8080", adapter.address, "127.0.0.1:8081", origin, "port 9090", "port "+adminPort,
		"/etc/nginx", dir, "/etc/caddy", dir, "/etc/haproxy", dir, "/etc/traefik", dir,
		"https://zitadel.example.com:8443", "https://localhost:"+port, "zitadel.example.com", "localhost",
	).Replace(string(content)))))
	var log wiretest.Buffer
	proxy.Stdout, proxy.Stderr = &log, &log
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = proxy.Process.Signal(terminate)
		_ = proxy.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return address
}

// arrival is what ZITADEL is told of where a request comes from.
type arrival struct{ host, forwardedHost, forwardedProto, forwardedFor, forwarded string }

// With each recipe, the real proxy sends the v1 calls, in every protocol, to the adapter, and
// all else to ZITADEL. The adapter, and ZITADEL behind it, see the client's address, and the
// host and the scheme that it used, whatever the client says of that. Refusals are v1's.
func TestProxyRecipes(t *testing.T) {
	t.Parallel()
	tryAll(t, recipes)
}

// The same with Traefik.
func TestTraefikRecipes(t *testing.T) {
	t.Parallel()
	tryAll(t, traefikRecipes)
}

func tryAll(t *testing.T, recipes map[string]recipe) {
	t.Helper()
	for name, r := range recipes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r.try(t)
		})
	}
}

func (r recipe) try(t *testing.T) {
	t.Helper()
	var mu sync.Mutex
	var writes []arrival
	origin := newWatchedOrigin(t, nil, func(request *http.Request) {
		if !strings.HasSuffix(request.URL.Path, "/SetPassword") {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		header := request.Header
		writes = append(writes, arrival{request.Host, header.Get("X-Forwarded-Host"), header.Get("X-Forwarded-Proto"), header.Get("X-Forwarded-For"), header.Get("Forwarded")})
	})
	ca, dir := wiretest.NewCA(t), t.TempDir()
	cert, key := ca.Issue(t, 2)
	wiretest.WriteFile(t, dir, "tls.crt", cert)
	wiretest.WriteFile(t, dir, "tls.key", key)
	wiretest.WriteFile(t, dir, "tls.pem", append(cert, key...))
	p := start(t, binary, "upstream: {url: 'http://"+origin+"', host: client}\nserver: "+strings.ReplaceAll(r.server, "DIR", dir))
	c := newCaller(t, r.start(t, dir, p, origin), &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"})
	p.eventually(t, "proxied", func() bool {
		conn, err := c.dial(t.Context(), "")
		if err != nil {
			return false
		}
		defer func() { _ = conn.Close() }()
		return tls.Client(conn, c.trust).HandshakeContext(t.Context()) == nil
	})

	const tooShort = "Password is too short (DOMAIN-HuJf6)"
	for protocol, test := range map[string]struct {
		call          func(*testing.T, string) string
		good, refused string
	}{
		"REST":     {c.rest, `200 {"details":{"sequence":`, `400 {"code":3,"message":"` + tooShort + `"`},
		"gRPC":     {c.grpc, "OK", "InvalidArgument " + tooShort + " [id:\"DOMAIN-HuJf6\""},
		"gRPC-Web": {c.grpcWeb, `\x80\x00\x00\x00\x10grpc-status: 0\r\n`, `3 ` + tooShort},
	} {
		if got := test.call(t, "Sup3rPassw0rd!"); !strings.Contains(got, test.good) {
			t.Errorf("%s: got %s, want %s", protocol, got, test.good)
		}
		if got := strings.ReplaceAll(test.call(t, "short"), "  ", " "); !strings.HasPrefix(got, test.refused) {
			t.Errorf("%s, refused: got %s, want %s", protocol, got, test.refused)
		}
	}
	if got := c.do(t, http.MethodGet, "/length", "", http.NoBody); got != "200 hello" {
		t.Errorf("other request: got %s, want ZITADEL's answer", got)
	}
	if _, err := testgrpc.NewTestServiceClient(c.conn).EmptyCall(t.Context(), new(testgrpc.Empty)); err != nil {
		t.Errorf("other gRPC call: got %v, want ZITADEL's answer", err)
	}

	const calls = 6
	p.eventually(t, "logged", func() bool { return strings.Count(p.log.String(), `"msg":"SetHumanInitialPassword"`) == calls })
	if got := strings.Count(p.log.String(), `"peer":"`+r.peer+`"`); got != calls {
		t.Errorf("got %d calls from %s, want all %d:\n%s", got, r.peer, calls, p.log.String())
	}
	hops := strings.Split(r.peer, ", ")
	want := arrival{"localhost:8443", "localhost:8443", "https", r.peer, "for=" + hops[len(hops)-1] + `;host="localhost:8443";proto=https`}
	mu.Lock()
	defer mu.Unlock()
	if len(writes) != calls {
		t.Errorf("got %d writes, want %d", len(writes), calls)
	}
	for _, got := range writes {
		if got != want {
			t.Errorf("ZITADEL was told %+v, want %+v", got, want)
		}
	}
	metrics := p.metrics(t)
	if got := strings.Contains(metrics, "v1adapter_passed_through_total{"); got != r.all {
		t.Errorf("requests passed through the adapter: got %v, want %v", got, r.all)
	}
	if refused := regexp.MustCompile(`v1adapter_refusals_total\{.*\} [1-9].*`).FindString(metrics); refused != "" {
		t.Errorf("got %s, want none", refused)
	}
}

// caller is a client at 127.0.0.2 that calls https://localhost:8443 by way of an address, and says
// that it is somebody else.
type caller struct {
	address string
	trust   *tls.Config
	http    *http.Client
	conn    *grpc.ClientConn
}

const v1Procedure = "/zitadel.management.v1.ManagementService/SetHumanInitialPassword"

func newCaller(t *testing.T, address string, trust *tls.Config) *caller {
	t.Helper()
	c := &caller{address: address, trust: trust}
	transport := &http.Transport{
		TLSClientConfig: trust.Clone(), ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx, "") },
	}
	c.http = &http.Client{Transport: transport, Timeout: time.Minute}
	t.Cleanup(transport.CloseIdleConnections)
	var err error
	if c.conn, err = grpc.NewClient("passthrough:///localhost:8443", grpc.WithContextDialer(c.dial), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: trust.RootCAs}))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.conn.Close() })
	return c
}

func (c *caller) dial(ctx context.Context, _ string) (net.Conn, error) {
	return (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).DialContext(ctx, "tcp", c.address)
}

// forgedHeaders are forwarding headers that the client itself sends. Proxies and the adapter
// must replace or drop them.
func forgedHeaders() map[string]string {
	return map[string]string{
		"Forwarded": "for=203.0.113.9;host=forged.example;proto=http", "X-Zitadel-Forwarded": "host=forged.example",
		"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "forged.example", "X-Forwarded-Proto": "http",
	}
}

// do makes a request, and returns the status, that of gRPC if there is one, and the body.
func (c *caller) do(t *testing.T, method, path, contentType string, body io.Reader) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "https://localhost:8443"+path, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("Authorization", "Bearer pat-org-owner-a")
	for name, value := range forgedHeaders() {
		request.Header.Set(name, value)
	}
	response, err := c.http.Do(request)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	if strings.HasPrefix(contentType, "application/grpc-web") {
		return fmt.Sprintf("%s %s %q", response.Header.Get("Grpc-Status"), response.Header.Get("Grpc-Message"), answer)
	}
	return fmt.Sprintf("%d %s", response.StatusCode, answer)
}

func (c *caller) rest(t *testing.T, password string) string {
	t.Helper()
	return c.do(t, http.MethodPost, "/management/v1/users/"+userA+"/password/_initialize", "application/json", strings.NewReader(`{"password":"`+password+`"}`))
}

func (c *caller) grpcWeb(t *testing.T, password string) string {
	t.Helper()
	message, err := proto.Marshal(&managementv1.SetHumanInitialPasswordRequest{UserId: userA, Password: password})
	if err != nil {
		t.Fatal(err)
	}
	frame := append([]byte{0, 0, 0, 0, byte(len(message))}, message...)
	return c.do(t, http.MethodPost, v1Procedure, "application/grpc-web+proto", bytes.NewReader(frame))
}

func (c *caller) grpc(t *testing.T, password string) string {
	t.Helper()
	ctx := metadata.NewOutgoingContext(t.Context(), metadata.Join(metadata.New(forgedHeaders()), metadata.Pairs("authorization", "Bearer pat-org-owner-a")))
	err := c.conn.Invoke(ctx, v1Procedure, &managementv1.SetHumanInitialPasswordRequest{UserId: userA, Password: password}, new(managementv1.SetHumanInitialPasswordResponse))
	failed := status.Convert(err)
	return fmt.Sprintf("%v %s %v", failed.Code(), failed.Message(), failed.Details())
}
