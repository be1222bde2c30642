package passthrough_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"zitadel-v1-adapter/internal/wiretest"
)

// rewrite replaces a file atomically, as editors do.
func rewrite(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// serial returns the serial number of the certificate that a new connection gets, or -1.
func (p *program) serial(t *testing.T) int64 {
	t.Helper()
	conn, err := tls.Dial("tcp", p.address, p.trust)
	if err != nil {
		t.Error(err)
		return -1
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// Reloads of the configuration, by a change of the file and by SIGHUP, and renewals of the
// certificate interrupt neither the 500 exchanges that are in flight throughout nor the
// requests made meanwhile.
func TestReloadLosesNothing(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	ca, dir := wiretest.NewCA(t), t.TempDir()
	renew := func(serial int64) {
		cert, key := ca.Issue(t, serial)
		rewrite(t, dir+"/key", string(key))
		rewrite(t, dir+"/cert", string(cert))
	}
	renew(2)
	settings := "upstream: {url: 'http://" + g.address + "', timeout: %ds, host: localhost:8088}\n" +
		"server: {tls: {certFile: " + dir + "/cert, keyFile: " + dir + "/key}}\n"
	p := start(t, binary, fmt.Sprintf(settings, 60))
	p.trust = &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	clients := g.clients(p)
	failures := g.fill(ctx, t, p, clients)

	stopped, others := make(chan struct{}), new(sync.WaitGroup)
	var made atomic.Int64
	passing := p.newHTTPClient(false)
	defer passing.CloseIdleConnections()
	for range 4 {
		others.Go(func() {
			for {
				select {
				case <-stopped:
					return
				default:
				}
				request, _ := http.NewRequestWithContext(ctx, http.MethodGet, p.base()+"/length", http.NoBody)
				if err := do(passing, request, func(_ *http.Response, body []byte) bool { return string(body) == "hello" }); err != nil {
					t.Error(err)
					return
				}
				made.Add(1)
			}
		})
	}
	for n := range 5 {
		before := made.Load()
		rewrite(t, p.config, fmt.Sprintf(settings, 50-n))
		renew(int64(3 + n))
		if n%2 == 0 {
			_ = p.command.Process.Signal(syscall.SIGHUP)
		}
		p.eventually(t, "reloaded", func() bool {
			return strings.Count(p.log.String(), `"msg":"configuration reloaded","keys":["upstream.timeout"]`) == n+1 &&
				p.serial(t) == int64(3+n) && made.Load() > before+50
		})
	}
	close(stopped)
	others.Wait()
	close(g.open)
	for range clients {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d requests were made meanwhile", made.Load())
}

// An invalid configuration file changes nothing, and the log says why. A valid one changes
// what can change without a restart, and the log names the keys that need one.
func TestReloadOfConfiguration(t *testing.T) {
	t.Parallel()
	origin := newOrigin(t, nil)
	settings := "upstream: {url: 'http://" + origin + "', host: localhost:8088}\n"
	p := start(t, binary, settings)
	client := p.newHTTPClient(false)
	defer client.CloseIdleConnections()
	logged := func(text string) {
		t.Helper()
		p.eventually(t, "logged: "+text, func() bool { return strings.Contains(p.log.String(), text) })
	}

	rewrite(t, p.config, settings+"colour: red\n")
	logged(`"msg":"configuration not reloaded, the old one stays in use","cause":"` + p.config + `:2: colour: unknown key`)
	rewrite(t, p.config, settings+"rollout: {percent: 200}\n")
	logged(`"cause":"` + p.config + `:2: rollout.percent: 200: use a whole number from 0`)
	rewrite(t, p.config, strings.Replace(settings, "host:", "tls: {caFile: /nowhere}, host:", 1))
	logged(`"cause":"` + p.config + `:1: upstream.tls.caFile: open /nowhere: no such file or directory"`)
	if err := callREST(t.Context(), client, "http://"+p.address); err != nil {
		t.Error(err)
	}
	if metrics := p.metrics(t); !strings.Contains(metrics, "v1adapter_config_last_reload_successful 0\n") {
		t.Errorf("got metrics %s\nwant v1adapter_config_last_reload_successful 0", metrics)
	}

	cert, key := wiretest.NewCA(t).Issue(t, 2)
	dir := t.TempDir()
	rewrite(t, dir+"/cert", string(cert))
	rewrite(t, dir+"/key", string(key))
	rewrite(t, p.config, settings+"server: {tls: {certFile: "+dir+"/cert, keyFile: "+dir+"/key}}\nlog: {format: text, level: debug}\npassthrough: {enabled: false}\n")
	logged(`"msg":"configuration reloaded","keys":["passthrough.enabled","log.level"]`)
	logged(`"msg":"configuration changes that need a restart","keys":["server.tls.certFile","server.tls.keyFile","log.format"]`)
	response, err := client.Get("http://" + p.address + "/length")
	if err != nil || response.StatusCode != http.StatusNotFound {
		t.Errorf("with passthrough.enabled false: got %v, %v, want status 404", response, err)
	}
	if metrics := p.metrics(t); !strings.Contains(metrics, "v1adapter_config_last_reload_successful 1\n") {
		t.Errorf("got metrics %s\nwant v1adapter_config_last_reload_successful 1", metrics)
	}
}

// Changed language files are taken over; broken ones change nothing, and the log says why.
func TestReloadOfLanguageFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	words := func(text string) { rewrite(t, dir+"/en.yaml", "Errors: {User: {Password: {NotFound: "+text+"}}}\n") }
	words("lost")
	p := start(t, binary, "upstream: {url: 'http://"+newOrigin(t, nil)+"', host: localhost:8088}\nmessages: {dir: "+dir+"}\n")
	client := p.newHTTPClient(false)
	defer client.CloseIdleConnections()
	answers := func(want string) {
		t.Helper()
		p.eventually(t, want, func() bool {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
				"http://"+p.address+"/management/v1/users/unknown/password/_initialize", strings.NewReader(`{"password":"Sup3rPassw0rd!"}`))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer pat-org-owner-a")
			request.Header.Set("Accept-Language", "en")
			return do(client, request, func(_ *http.Response, body []byte) bool {
				return strings.Contains(string(body), `"message":"`+want+` (COMMAND-G8dh3)"`)
			}) == nil
		})
	}
	answers("lost")
	words("gone")
	answers("gone")
	words("[")
	p.eventually(t, "logged", func() bool {
		return strings.Contains(p.log.String(), `"msg":"language files not taken over, the old ones stay in use","cause":"messages.dir: `+dir+`/en.yaml: yaml: `)
	})
	answers("gone")
	words("found")
	answers("found")
	if metrics := p.metrics(t); !strings.Contains(metrics, "v1adapter_config_last_reload_successful 1\n") {
		t.Errorf("got metrics %s\nwant v1adapter_config_last_reload_successful 1", metrics)
	}
}

// swapMounted replaces the files behind the symbolic links to dir/..data atomically, like
// kubelet's atomic writer. version is different for each call.
func swapMounted(t *testing.T, dir string, version int, files map[string][]byte) {
	t.Helper()
	content := filepath.Join(dir, fmt.Sprintf("..%d", version))
	if err := os.Mkdir(content, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range files {
		wiretest.WriteFile(t, content, name, data)
	}
	if err := os.Symlink(filepath.Base(content), filepath.Join(dir, "..tmp")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "..tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
}

// When certificates are renewed under load, as Kubernetes does it by swapping a symbolic
// link, new handshakes use the new certificate and no request fails. After an invalid
// renewal, the old certificates stay in use, and metrics and log show the error. This holds
// for the certificates of the listener and for those towards the upstream.
func TestReloadOfCertificates(t *testing.T) {
	t.Parallel()
	ca, dir := wiretest.NewCA(t), t.TempDir()
	cert, key := ca.Issue(t, 2)
	certificate, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	origin := newOrigin(t, &tls.Config{Certificates: []tls.Certificate{certificate}, ClientCAs: ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert})
	version := 0
	swap := func(files map[string][]byte) {
		version++
		swapMounted(t, dir, version, files)
	}
	pairOf := func(serial int64) map[string][]byte {
		cert, key := ca.Issue(t, serial)
		return map[string][]byte{"tls.crt": cert, "tls.key": key, "ca.crt": ca.PEM}
	}
	swap(pairOf(10))
	for _, name := range []string{"tls.crt", "tls.key", "ca.crt"} {
		if err := os.Symlink("..data/"+name, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, binary, fmt.Sprintf(`upstream:
  {url: 'https://%s', host: localhost:8088, tls: {caFile: %[2]s/ca.crt, certFile: %[2]s/tls.crt, keyFile: %[2]s/tls.key, serverName: zitadel.example}}
server: {tls: {certFile: %[2]s/tls.crt, keyFile: %[2]s/tls.key}}`, origin, dir))

	p.trust = &tls.Config{RootCAs: ca.Pool()}
	stopped, load := make(chan struct{}), new(sync.WaitGroup)
	var made atomic.Int64
	for n := range 4 {
		load.Go(func() { p.makeRequests(t, n%2 == 0, &made, stopped) })
	}
	for renewal := int64(11); renewal < 14; renewal++ {
		before := made.Load()
		swap(pairOf(renewal))
		p.eventually(t, "renewed", func() bool { return p.serial(t) == renewal && made.Load() > before+20 })
	}
	p.eventually(t, "renewed towards the upstream", func() bool {
		return strings.Count(p.log.String(), `"msg":"renewed upstream certificates taken over"`) == 3
	})
	swap(map[string][]byte{"tls.crt": []byte("not a certificate"), "tls.key": nil, "ca.crt": []byte("not a certificate")})
	p.eventually(t, "refused", func() bool {
		metrics := p.metrics(t)
		return strings.Contains(metrics, `v1adapter_certificate_reloads_total{certificate="server",result="error"} 1`) &&
			strings.Contains(metrics, `v1adapter_certificate_reloads_total{certificate="upstream",result="error"} 1`)
	})
	if got := p.serial(t); got != 13 {
		t.Errorf("after an invalid renewal: got serial %d, want 13", got)
	}
	for _, text := range []string{
		`"msg":"renewed certificate not taken over, the old one stays in use","cause":"server.tls.certFile: `,
		`"msg":"renewed upstream certificates not taken over, the old ones stay in use","cause":"upstream.tls.caFile: `,
	} {
		if log := p.log.String(); !strings.Contains(log, text) {
			t.Errorf("got log %s\nwant %s in it", log, text)
		}
	}
	close(stopped)
	load.Wait()
	t.Logf("%d pairs of requests were made meanwhile", made.Load())
}

// makeRequests makes a request that is passed through and a v1 call, in turn, until stopped
// is closed or one fails, which fails the test. It counts the pairs in made. If reconnect
// is set, each pair makes a new TLS handshake.
func (p *program) makeRequests(t *testing.T, reconnect bool, made *atomic.Int64, stopped <-chan struct{}) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: p.trust.Clone(), ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	for {
		select {
		case <-stopped:
			return
		default:
		}
		request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, p.base()+"/length", http.NoBody)
		if err := do(client, request, func(_ *http.Response, body []byte) bool { return string(body) == "hello" }); err != nil {
			t.Error(err)
			return
		}
		if err := callREST(t.Context(), client, p.base()); err != nil {
			t.Error(err)
			return
		}
		if reconnect {
			client.CloseIdleConnections()
		}
		made.Add(1)
	}
}
