package deploy_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/wiretest"
)

// exercise runs an adapter through all that has a metric, and returns its metrics: a call, a
// request that passes through, bad and good reloads, shadow mode, and a ZITADEL that goes
// away.
func exercise(t *testing.T) scraped {
	t.Helper()
	fixture := wiretest.Fixture(t)
	fixture.InstanceHosts = []string{"localhost"}
	zitadel := httptest.NewServer(wiretest.NewZITADEL(t, fixture))
	t.Cleanup(zitadel.Close)
	_, port, _ := net.SplitHostPort(zitadel.Listener.Addr().String())
	dir, ca := t.TempDir(), wiretest.NewCA(t)
	certificate, key := ca.Issue(t, 1)
	certFile := wiretest.WriteFile(t, dir, "certificate.pem", certificate)
	// The third failure in a row opens the breaker, so that a call is tried again before.
	good := fmt.Sprintf("upstream: {url: http://localhost:%s}\nserver: {tls: {certFile: %s, keyFile: %s}}\nbreaker: {minimumCalls: 3}\n",
		port, certFile, wiretest.WriteFile(t, dir, "key.pem", key))
	configFile := wiretest.WriteFile(t, dir, "config.yaml", []byte(good))
	adapter := start(t, nil, []string{"--config", configFile})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}}}
	t.Cleanup(client.CloseIdleConnections)

	call(t, client, adapter, http.StatusOK)
	request(t, client, http.MethodGet, "https://"+adapter.address+"/not-translated")
	write(t, configFile, "no such key: 1\n")
	hangUp(t, adapter, `v1adapter_config_reloads_total{result="error"} 1`, `v1adapter_certificate_reloads_total{certificate="server",result="ok"} 1`)
	// This ZITADEL has no v1: native v1's answer differs from the adapter's.
	write(t, configFile, good+"rollout: {percent: 0, shadow: true}\n")
	hangUp(t, adapter, `v1adapter_config_reloads_total{result="ok"} 1`)
	call(t, client, adapter, http.StatusNotFound)
	write(t, configFile, good)
	hangUp(t, adapter, `v1adapter_config_reloads_total{result="ok"} 2`, `v1adapter_shadow_total{method="SetHumanInitialPassword",result="differs"} 1`)
	write(t, certFile, "no certificate")
	hangUp(t, adapter, `v1adapter_certificate_reloads_total{certificate="server",result="error"} 1`)
	zitadel.CloseClientConnections()
	zitadel.Close()
	// The first may be sent on a connection that is dead already, and is not made again then.
	for range 3 {
		call(t, client, adapter, http.StatusServiceUnavailable)
	}
	return parseMetrics(metrics(t, adapter))
}

// call makes a v1 call, whose answer has a status.
func call(t *testing.T, client *http.Client, adapter running, want int) {
	t.Helper()
	if got := request(t, client, http.MethodPost, "https://"+adapter.address+"/management/v1/users/400850336480234534/password/_initialize"); got != want {
		t.Fatalf("got status %d of a call, want %d", got, want)
	}
}

// request returns the status of an answer.
func request(t *testing.T, client *http.Client, method, address string) int {
	t.Helper()
	made, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(`{"password":"Sup3rPassw0rd!"}`))
	if err != nil {
		t.Fatal(err)
	}
	made.Header.Set("Authorization", "Bearer pat-org-owner-a")
	response, err := client.Do(made)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode
}

// write changes a file.
func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// hangUp sends SIGHUP, and returns when the adapter's metrics have all that is wanted.
func hangUp(t *testing.T, adapter running, wanted ...string) {
	t.Helper()
	if err := adapter.process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	awaitMetrics(t, adapter, wanted...)
}

// awaitMetrics returns when the adapter's metrics have all that is wanted.
func awaitMetrics(t *testing.T, adapter running, wanted ...string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		got, missing := metrics(t, adapter), ""
		for _, want := range wanted {
			if !strings.Contains(got, want) {
				missing = want
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("got no %s after 20s in\n%s", missing, got)
		}
	}
}

// metrics returns what /metrics answers.
func metrics(t *testing.T, adapter running) string {
	t.Helper()
	response, err := http.Get("http://" + adapter.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
