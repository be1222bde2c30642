package passthrough_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"

	managementv1 "zitadel-v1-adapter/gen/zitadel/management/v1"
	"zitadel-v1-adapter/internal/wiretest"
)

// startNginx runs nginx with the recipe until the test ends, and returns its address. dir
// contains tls.crt and tls.key.
func startNginx(t *testing.T, dir, adapter, origin string) string {
	t.Helper()
	recipe, err := os.ReadFile("../../deploy/nginx/zitadel-v1-adapter.conf")
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	server := strings.NewReplacer(
		"127.0.0.1:8443", address, "127.0.0.1:8080", adapter, "127.0.0.1:8081", origin, "/etc/nginx", dir, "zitadel.example.com", "localhost",
	).Replace(string(recipe))
	main := wiretest.WriteFile(t, dir, "nginx.conf", fmt.Appendf(nil, `daemon off; pid %[1]s/pid; error_log stderr; worker_processes 1;
events {}
http { access_log off; client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
%[2]s }`, dir, server))
	nginx := exec.Command("nginx", "-p", dir, "-c", main) // Debian package nginx-light
	var log wiretest.Buffer
	nginx.Stderr = &log
	if err := nginx.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = nginx.Process.Signal(terminate)
		_ = nginx.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return address
}

// With the recipe in deploy/nginx, a real nginx sends the v1 call, in every protocol, to the
// adapter, and everything else directly to ZITADEL.
func TestNginxRecipe(t *testing.T) {
	t.Parallel()
	origin := newOrigin(t, nil)
	p := start(t, binary, "upstream: {url: 'http://"+origin+"', host: client}\nserver: {trustedProxies: [127.0.0.1]}")
	ca, dir := wiretest.NewCA(t), t.TempDir()
	cert, key := ca.Issue(t, 2)
	wiretest.WriteFile(t, dir, "tls.crt", cert)
	wiretest.WriteFile(t, dir, "tls.key", key)
	address := startNginx(t, dir, p.address, origin)
	trust := &tls.Config{RootCAs: ca.Pool()}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	p.eventually(t, "proxied", func() bool { return callREST(t.Context(), client, "https://"+address) == nil })

	conn, err := newGRPCConn(address, &tls.Config{RootCAs: ca.Pool(), ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer pat-org-owner-a")
	var response managementv1.SetHumanInitialPasswordResponse
	if err := conn.Invoke(ctx, "/zitadel.management.v1.ManagementService/SetHumanInitialPassword",
		&managementv1.SetHumanInitialPasswordRequest{UserId: userA, Password: "Sup3rPassw0rd!"}, &response); err != nil {
		t.Errorf("gRPC call: got %v, want success", err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		"https://"+address+"/zitadel.management.v1.ManagementService/SetHumanInitialPassword", bytes.NewReader([]byte{0, 0, 0, 0, 0}))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/grpc-web+proto")
	if err := do(client, request, func(response *http.Response, _ []byte) bool { return response.Header.Get("Grpc-Status") == "16" }); err != nil {
		t.Errorf("gRPC-Web call without token: got %v, want Grpc-Status 16", err)
	}
	// With upstream.host: client, ZITADEL gets the host that the client sent, and answers 404
	// if it does not know it (issue 9).
	unknown, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		"https://"+address+"/management/v1/users/"+userA+"/password/_initialize", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	unknown.Host = "other.example"
	if err := do(client, unknown, func(response *http.Response, _ []byte) bool { return response.StatusCode == http.StatusNotFound }); err != nil {
		t.Errorf("REST call for an unknown host: got %v, want status 404", err)
	}
	p.eventually(t, "translated", func() bool { return strings.Count(p.log.String(), `"msg":"SetHumanInitialPassword"`) >= 3 })
	before := p.metrics(t)
	other, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/length", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if err := do(client, other, func(_ *http.Response, body []byte) bool { return string(body) == "hello" }); err != nil {
		t.Errorf("other request: got %v, want ZITADEL's own response", err)
	}
	if strings.Contains(before, "v1adapter_passed_through_total{") || strings.Contains(p.metrics(t), "v1adapter_passed_through_total{") {
		t.Error("a request that nginx should send to ZITADEL went through the adapter")
	}
}
