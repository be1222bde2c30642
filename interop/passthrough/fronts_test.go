package passthrough_test

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"zitadel-v1-adapter/internal/wiretest"
)

// front is a proxy that gives each request that it forwards to the adapter a header of its own, X-Front-Id, and logs a
// line for each request.
type front struct {
	config  string // CLIENTS and ADAPTER are addresses, PORT is that of CLIENTS, DIR a folder that gets the log
	command func(config, dir string) *exec.Cmd
	leave   syscall.Signal // ends it when its requests are done
	// forwarded is the id of a line's request, and whether the adapter answered it with 200.
	forwarded func(line string) (id string, ok bool)
}

var fronts = map[string]front{
	"nginx": {
		config: `daemon off; pid DIR/pid; error_log DIR/error; worker_processes 1; events {}
http {
	log_format forwarded '$request_id $upstream_status'; access_log DIR/log forwarded;
	client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
	upstream adapter { server ADAPTER; keepalive 1; }
	server {
		listen CLIENTS; proxy_http_version 1.1; proxy_request_buffering off; proxy_next_upstream off;
		proxy_set_header Connection ""; proxy_set_header X-Front-Id $request_id;
		location / { proxy_pass http://adapter; }
	}
}
`,
		command: func(config, dir string) *exec.Cmd { return exec.Command("nginx", "-p", dir, "-c", config) },
		leave:   syscall.SIGQUIT,
		forwarded: func(line string) (string, bool) {
			id, status, _ := strings.Cut(line, " ")
			return id, status == "200"
		},
	},
	"Caddy": {
		config: `{
	admin off
	auto_https off
}
http://:PORT {
	bind 127.0.0.1
	log {
		output file DIR/log
	}
	reverse_proxy http://ADAPTER {
		header_up X-Front-Id {http.request.uuid}
		header_down X-Front-Id {http.request.uuid}
	}
}
`,
		command: func(config, dir string) *exec.Cmd {
			caddy := exec.Command("caddy", "run", "--adapter", "caddyfile", "--config", config)
			caddy.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
			return caddy
		},
		leave: syscall.SIGTERM,
		forwarded: func(line string) (string, bool) {
			var logged struct {
				Status  int                 `json:"status"`
				Headers map[string][]string `json:"resp_headers"`
			}
			if err := json.Unmarshal([]byte(line), &logged); err != nil || len(logged.Headers["X-Front-Id"]) != 1 {
				return "", false
			}
			return logged.Headers["X-Front-Id"][0], logged.Status == http.StatusOK
		},
	},
	"HAProxy": {
		config: `global
	log stdout format raw local0
defaults
	mode http
	timeout connect 1m
	timeout client 1m
	timeout server 1m
	retries 0
frontend clients
	bind CLIENTS
	log global
	unique-id-format %[uuid]
	unique-id-header X-Front-Id
	log-format "%ID %s %ST"
	default_backend adapter
backend adapter
	http-reuse always
	server adapter ADAPTER
`,
		command: func(config, dir string) *exec.Cmd {
			return exec.Command("sh", "-c", `exec haproxy -db -f "$0" >"$1/log"`, config, dir)
		},
		leave: syscall.SIGUSR1,
		forwarded: func(line string) (string, bool) {
			id, answer, _ := strings.Cut(line, " ")
			return id, answer == "adapter 200"
		},
	},
}

// Whatever a client sends through a real front, the upstream behind the adapter gets the requests that the front forwarded, by
// the front's own log, and no others: none without the front's mark, and none twice.
func TestFrontsForwardNoMoreThanTheyCount(t *testing.T) {
	t.Parallel()
	for name, f := range fronts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f.try(t)
		})
	}
}

func (f front) try(t *testing.T) {
	t.Helper()
	arrivals := &wiretest.Arrivals{Describe: func(r *http.Request) string { return " as " + strings.Join(r.Header["X-Front-Id"], ", ") }}
	upstream := httptest.NewUnstartedServer(arrivals)
	upstream.Config.DisableGeneralOptionsHandler = true // so that OPTIONS * arrives too
	upstream.Start()
	t.Cleanup(upstream.Close)
	adapter := start(t, binary, "upstream: {url: '"+upstream.URL+"'}")
	dir, address := t.TempDir(), wiretest.FreeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	config := strings.NewReplacer("CLIENTS", address, "PORT", port, "ADAPTER", adapter.address, "DIR", dir).Replace(f.config)
	proxy := f.command(wiretest.WriteFile(t, dir, "config", []byte(config)), dir)
	var output wiretest.Buffer
	proxy.Stdout, proxy.Stderr = &output, &output
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = proxy.Wait() }()
	t.Cleanup(func() {
		_ = proxy.Process.Kill()
		<-ended
		if t.Failed() {
			t.Log(output.String())
		}
	})
	adapter.eventually(t, "proxied", func() bool {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	})

	mutations := wiretest.Mutations("/x", "", "xyz", 3, 300)
	arrived := make([]string, 0, len(mutations))
	for _, mutation := range mutations {
		conn := dial(t, address)
		_, _ = io.WriteString(conn, mutation.Sent())
		answers, err := io.ReadAll(conn)
		if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
			t.Errorf("%s: no end of the connection: got %q", mutation.Name, answers)
		}
		_ = conn.Close()
		for _, request := range arrivals.Take() {
			_, id, _ := strings.Cut(request, " as ")
			if arrived = append(arrived, id); id == "" {
				t.Errorf("%s: the front has not forwarded %s\nit was sent %q", mutation.Name, request, mutation.Request)
			}
		}
	}
	_ = proxy.Process.Signal(f.leave)
	<-ended
	log, err := os.ReadFile(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	forwarded := make([]string, 0, len(arrived))
	for line := range strings.Lines(string(log)) {
		if id, ok := f.forwarded(strings.TrimSpace(line)); ok {
			forwarded = append(forwarded, id)
		}
	}
	slices.Sort(forwarded)
	slices.Sort(arrived)
	if !slices.Equal(forwarded, arrived) || len(arrived) == 0 || len(slices.Compact(forwarded)) != len(arrived) {
		t.Errorf("%d requests arrived, want the %d that the front forwarded, once each", len(arrived), len(forwarded))
	}
	t.Logf("%d requests forwarded, of %d lines in the front's log", len(arrived), strings.Count(string(log), "\n"))
}
