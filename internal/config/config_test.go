package config_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/upstream"
	"zitadel-v1-adapter/v2client"
)

const example = "../../config.yaml"

// config.yaml at the root of the project shows every key with its default.
func TestExampleShowsTheDefaults(t *testing.T) {
	t.Parallel()
	got, err := config.Read(example, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("config.yaml is\n%+v\nthe defaults are\n%+v", got, want)
	}
	content, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := yaml.Unmarshal(content, &document); err != nil {
		t.Fatal(err)
	}
	for _, key := range config.Keys() {
		var value any = document
		for name := range strings.SplitSeq(key, ".") {
			section, _ := value.(map[string]any)
			value = section[name]
		}
		if value == nil {
			t.Errorf("config.yaml does not show %s", key)
		}
	}
}

// The environment overrides the file, and flags override both.
func TestLaterSourceOverridesEarlier(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte("upstream: {url: http://file, timeout: 1s}\nlog: {level: warn}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := config.Load(path,
		[]string{"PATH=/bin", "V1ADAPTER_UPSTREAM_URL=http://environment", "V1ADAPTER_UPSTREAM_TIMEOUT=2s", "V1ADAPTER_SERVER_LISTEN=[::1]:80\n"},
		[]config.Override{{Key: "upstream.url", Value: "http://flag"}})
	if err != nil {
		t.Fatal(err)
	}
	if got.Upstream.URL != "http://flag" || got.Upstream.Timeout != 2*time.Second || got.Log.Level != slog.LevelWarn || got.Server.Listen != "[::1]:80" {
		t.Errorf("%+v", got)
	}
}

// Started as it is shipped, config.yaml says what to set.
func TestExampleNeedsAnUpstream(t *testing.T) {
	t.Parallel()
	if _, err := config.Load(example, nil, nil); err == nil || !strings.Contains(err.Error(), ": upstream.url: missing: set it in the file") {
		t.Errorf("got %v, want an error that says to set upstream.url", err)
	}
}

// In a pod, Kubernetes sets variables for every Service. Those of one that is called
// v1adapter, or v1adapter-something, are no keys.
func TestServiceLinksAreIgnored(t *testing.T) {
	t.Parallel()
	links := []string{
		"V1ADAPTER_SERVICE_HOST", "V1ADAPTER_SERVICE_PORT", "V1ADAPTER_SERVICE_PORT_HTTP", "V1ADAPTER_PORT",
		"V1ADAPTER_PORT_8080_TCP", "V1ADAPTER_PORT_8080_TCP_PROTO", "V1ADAPTER_PORT_8080_TCP_PORT", "V1ADAPTER_PORT_8080_TCP_ADDR",
		"V1ADAPTER_INTERNAL_SERVICE_HOST", "V1ADAPTER_INTERNAL_PORT",
	}
	environ := slices.Grow([]string{"PATH=/bin", "V1ADAPTER_UPSTREAM_URL=http://x", "SERVICE_HOST=x"}, len(links))
	for _, name := range links {
		environ = append(environ, name+"=x")
	}
	if _, err := config.Load("", environ, nil); err != nil {
		t.Error(err)
	}
	if got := config.ServiceLinks(environ); !slices.Equal(got, links) {
		t.Errorf("got %q, want %q", got, links)
	}
	for _, name := range []string{"V1ADAPTER_SERVER_PORTS", "V1ADAPTER_SERVICE", "V1ADAPTER_PORT_8080"} {
		if _, err := config.Load("", append(environ, name+"=x"), nil); err == nil || !strings.HasPrefix(err.Error(), name+": unknown key") {
			t.Errorf("%s: got %v, want an error", name, err)
		}
	}
}

// Every key can be set by its variable.
func TestEveryKeyHasAVariable(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"server.listen": ":1", "server.shutdownTimeout": "1s", "server.shutdownDelay": "2s",
		"server.tls.certFile": "/c,/c2", "server.tls.keyFile": "/k,/k2", "server.tls.clientCAFile": "/a", "server.tls.minVersion": "1.3",
		"server.trustedProxies": "10.0.0.0/8, unix", "server.proxyProtocol": "true",
		"server.grpcHealth": "own", "server.grpcReflection": "own",
		"admin.listen": "unix:/admin", "admin.quitquitquit": "true", "admin.hosts": "prometheus.internal",
		"admin.tokenFile": "config_test.go", "admin.pprof": "true", "admin.tls.certFile": "/ac", "admin.tls.keyFile": "/ak", "admin.tls.clientCAFile": "/aa",
		"upstream.url": "http://x", "upstream.protocol": "grpc", "upstream.host": "client", "upstream.timeout": "3s", "upstream.readTimeout": "2s",
		"upstream.tls.caFile": "/ua", "upstream.tls.certFile": "/uc", "upstream.tls.keyFile": "/uk", "upstream.tls.serverName": "n",
		"messages.dir": "/md", "roles.userWrite": "OWN_WRITER, ORG_OWNER",
		"passthrough.enabled": "false", "passthrough.responseTimeout": "4s", "rollout.percent": "50", "rollout.shadow": "true",
		"orgScope": "off", "breaker.minimumCalls": "5", "breaker.failureRate": "0.25", "breaker.window": "4s", "breaker.openFor": "6s",
		"limits.callsInFlight": "9", "limits.bodyTimeout": "9s", "limits.headerTimeout": "8s", "limits.idleTimeout": "7s", "limits.headerBytes": "5000",
		"limits.writeTimeout": "6s", "limits.connectionsPerPeer": "8", "limits.callerRate": "0.5", "limits.callerBurst": "3",
		"deprecation.since": "2025-11-03", "deprecation.sunset": "2027-01-31T12:00:00Z", "deprecation.link": "https://l",
		"deprecation.sunsetLink": "https://s", "deprecation.successorLink": "https://n", "deprecation.afterSunset": "refuse",
		"deprecation.brownouts": "0 9 * * 1 for 1h", "deprecation.brownoutPercent": "5", "deprecation.brownoutCallers": "1, 2", "deprecation.exempt": "3",
		"usage.store": "sqlite:/u", "usage.storeFile": "/us", "usage.retention": "24h", "usage.identify": "true", "usage.names": "true",
		"retry.attempts": "4", "retry.baseDelay": "7ms", "retry.maxDelay": "8s", "retry.budget": "0.5",
		"log.level": "debug", "log.format": "text", "log.passthrough": "errors",
	}
	environ := make([]string, 0, len(values))
	for _, key := range config.Keys() {
		value, ok := values[key]
		if !ok {
			t.Errorf("no value for %s in this test", key)
		}
		environ = append(environ, config.Variable(key)+"="+value)
	}
	got, err := config.Load("", environ, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		Server: config.Server{
			Listen: ":1", TLS: config.ServerTLS{CertFile: []string{"/c", "/c2"}, KeyFile: []string{"/k", "/k2"}, ClientCAFile: "/a", MinVersion: "1.3"},
			TrustedProxies: []string{"10.0.0.0/8", "unix"}, ProxyProtocol: true, GRPCHealth: "own", GRPCReflection: "own",
			ShutdownDelay: 2 * time.Second, ShutdownTimeout: time.Second,
		},
		Admin: config.Admin{Listen: "unix:/admin", QuitQuitQuit: true, Hosts: []string{"prometheus.internal"}, TokenFile: "config_test.go", Pprof: true, TLS: config.AdminTLS{CertFile: "/ac", KeyFile: "/ak", ClientCAFile: "/aa"}},
		Upstream: config.Upstream{
			URL: "http://x", Protocol: v2client.ProtocolGRPC, Host: "client", Timeout: 3 * time.Second, ReadTimeout: 2 * time.Second,
			TLS: upstream.TLS{CAFile: "/ua", CertFile: "/uc", KeyFile: "/uk", ServerName: "n"},
		},
		OrgScope:    "off",
		Messages:    config.Messages{Dir: "/md"},
		Roles:       config.Roles{UserWrite: []string{"OWN_WRITER", "ORG_OWNER"}},
		Passthrough: config.Passthrough{Enabled: false, ResponseTimeout: 4 * time.Second},
		Rollout:     config.Rollout{Percent: 50, Shadow: true},
		Deprecation: config.Deprecation{
			Since: time.Date(2025, 11, 3, 0, 0, 0, 0, time.UTC), Sunset: time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC),
			Link: "https://l", SunsetLink: "https://s", SuccessorLink: "https://n", AfterSunset: "refuse",
			Brownouts: []string{"0 9 * * 1 for 1h"}, BrownoutPercent: 5, BrownoutCallers: []string{"1", "2"}, Exempt: []string{"3"},
		},
		Usage:   config.Usage{Store: "sqlite:/u", StoreFile: "/us", Retention: 24 * time.Hour, Identify: true, Names: true},
		Breaker: v2client.BreakerConfig{MinimumCalls: 5, FailureRate: 0.25, Window: 4 * time.Second, OpenFor: 6 * time.Second},
		Retry:   v2client.RetryConfig{Attempts: 4, BaseDelay: 7 * time.Millisecond, MaxDelay: 8 * time.Second, Budget: 0.5},
		Limits: config.Limits{
			CallsInFlight: 9, BodyTimeout: 9 * time.Second, HeaderTimeout: 8 * time.Second, IdleTimeout: 7 * time.Second, HeaderBytes: 5000,
			WriteTimeout: 6 * time.Second, ConnectionsPerPeer: 8, CallerRate: 0.5, CallerBurst: 3,
		},
		Log: config.Log{Level: slog.LevelDebug, Format: "text", Passthrough: "errors"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

// Changes names the keys, not the values.
func TestChangesNamesKeysWithoutValues(t *testing.T) {
	t.Parallel()
	from := config.Default()
	to := from
	to.Server.TrustedProxies, to.Upstream.TLS.CAFile, to.Rollout.Percent = []string{"unix"}, "/ca", 5
	if got, want := config.Changes(from, to), []string{"server.trustedProxies", "upstream.tls.caFile", "rollout.percent"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := config.Changes(from, config.Default()); got != nil {
		t.Errorf("%q", got)
	}
}
