package image_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"zitadel-v1-adapter/internal/wiretest"
)

// patience is how long anything may take: machines are slow at times.
const patience = time.Minute

// container is a running one.
type container struct {
	state, bundle, name string
	command             *exec.Cmd
	output              *wiretest.Buffer
	address, admin      string
}

// checkContainer checks that the demo runs in a container of the image that may do nothing:
// it answers, says that it is healthy, and lets a call end when it is told to go.
func checkContainer(t *testing.T, image v1.Image, files map[string]file) {
	t.Helper()
	c := startContainer(t, image, files, "demo")
	c.waitUntilReady(t)
	if got := c.call(t, strings.NewReader(`{"password":"Sup3rPassw0rd!"}`)); !strings.HasPrefix(got, `200 {"details":{`) {
		t.Errorf("the demo's first call: got %s, want 200", got)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	check := config.Config.Healthcheck.Test[1:] // without CMD
	if got := run(t, "runc", append([]string{"--root", c.state, "exec", c.name}, check...)...); got != "ready" {
		t.Errorf("health check: got %q, want ready", got)
	}
	c.checkRights(t)
	c.checkEnd(t)
}

// startContainer starts a container as restricted pods are: a root that cannot be written to,
// no capabilities, no new privileges. It has this machine's network.
func startContainer(t *testing.T, image v1.Image, files map[string]file, arguments ...string) *container {
	t.Helper()
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := &container{
		state: t.TempDir(), bundle: t.TempDir(), name: "adapter-" + strconv.Itoa(os.Getpid()),
		output: new(wiretest.Buffer), address: wiretest.FreeAddress(t), admin: wiretest.FreeAddress(t),
	}
	unpack(t, files, filepath.Join(c.bundle, "rootfs"))
	var uid, gid int
	if _, err := fmt.Sscanf(config.Config.User, "%d:%d", &uid, &gid); err != nil {
		t.Fatal(err)
	}
	specification, err := json.Marshal(map[string]any{
		"ociVersion": "1.0.2",
		"process": map[string]any{
			"args": append(config.Config.Entrypoint, arguments...), "cwd": "/", "user": map[string]int{"uid": uid, "gid": gid},
			"env":             append(config.Config.Env, "V1ADAPTER_SERVER_LISTEN="+c.address, "V1ADAPTER_ADMIN_LISTEN="+c.admin),
			"noNewPrivileges": true, "capabilities": map[string]any{},
		},
		"root": map[string]any{"path": "rootfs", "readonly": true},
		"mounts": []map[string]any{
			{"destination": "/proc", "type": "proc", "source": "proc"},
			{"destination": "/etc/hosts", "type": "bind", "source": "/etc/hosts", "options": []string{"bind", "ro"}},
		},
		"linux": map[string]any{"namespaces": []map[string]string{{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	wiretest.WriteFile(t, c.bundle, "config.json", specification)
	c.command = exec.Command("runc", "--root", c.state, "run", "--bundle", c.bundle, c.name)
	c.command.Stdout, c.command.Stderr = c.output, c.output
	if err := c.command.Start(); err != nil {
		t.Fatalf("%v (this test needs root, buildah and runc)", err)
	}
	t.Cleanup(func() {
		_ = exec.Command("runc", "--root", c.state, "delete", "--force", c.name).Run()
		if t.Failed() {
			t.Logf("the container printed\n%s", c.output)
		}
	})
	return c
}

// checkRights checks what the kernel says of the process.
func (c *container) checkRights(t *testing.T) {
	t.Helper()
	var state struct {
		PID int `json:"pid"`
	}
	if err := json.Unmarshal([]byte(run(t, "runc", "--root", c.state, "state", c.name)), &state); err != nil {
		t.Fatal(err)
	}
	process := fmt.Sprintf("/proc/%d/", state.PID)
	status := string(readFile(t, process+"status"))
	for _, want := range []string{"Uid:\t65532\t65532", "Gid:\t65532\t65532", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"} {
		if !strings.Contains(status, want) {
			t.Errorf("got the status\n%s\nwant %q in it", status, want)
		}
	}
	for line := range strings.Lines(string(readFile(t, process+"mountinfo"))) {
		if fields := strings.Fields(line); fields[4] != "/proc" && !strings.HasPrefix(fields[5], "ro") {
			t.Errorf("%s can be written to: %s", fields[4], line)
		}
	}
	for line := range strings.Lines(status) {
		if strings.HasPrefix(line, "VmRSS") {
			t.Logf("memory, with the embedded ZITADEL: %s", strings.Join(strings.Fields(line)[1:], " "))
		}
	}
}

// checkEnd checks that a call under way at SIGTERM is answered, and that the process then ends
// with 0.
func (c *container) checkEnd(t *testing.T) {
	t.Helper()
	body, send := io.Pipe()
	answer := make(chan string)
	go func() { answer <- c.call(t, body) }()
	_, _ = io.WriteString(send, `{"password":`)
	run(t, "runc", "--root", c.state, "kill", c.name, "TERM")
	for deadline := time.Now().Add(patience); !strings.Contains(c.output.String(), "shutting down"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("SIGTERM: the program does not shut down")
		}
	}
	_, _ = io.WriteString(send, `"Sup3rPassw0rd!"}`)
	_ = send.Close()
	if got := <-answer; !strings.HasPrefix(got, "200 ") {
		t.Errorf("the call under way: got %s, want 200", got)
	}
	if err := c.command.Wait(); err != nil {
		t.Errorf("after SIGTERM: got %v, want exit code 0", err)
	}
}

// call sets a password, and returns the status and the body of the answer.
func (c *container) call(t *testing.T, body io.Reader) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.address+"/management/v1/users/3001/password/_initialize", body)
	if err != nil {
		return err.Error()
	}
	request.Header.Set("Authorization", "Bearer acme-owner-token")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(response.StatusCode, " ", string(content))
}

func (c *container) waitUntilReady(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.admin+"/readyz", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the container is not ready")
		}
	}
}

// unpack writes the files of an image to a folder.
func unpack(t *testing.T, files map[string]file, root string) {
	t.Helper()
	for name, file := range files {
		path := filepath.Join(root, name)
		if file.header.FileInfo().IsDir() {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, file.content, file.header.FileInfo().Mode()); err != nil {
			t.Fatal(err)
		}
	}
	for _, mountpoint := range []string{"proc", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, mountpoint), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	wiretest.WriteFile(t, filepath.Join(root, "etc"), "hosts", nil)
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
