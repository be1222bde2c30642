package deploy_test

import (
	"bytes"
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

	appsv1 "k8s.io/api/apps/v1"

	"zitadel-v1-adapter/internal/wiretest"
)

// binary is the program that the recipes run.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "deploy")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "zitadel-v1-adapter")
	if out, err := exec.Command("go", "build", "-C", "../..", "-o", binary, "./cmd/zitadel-v1-adapter").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// Every recipe, in front of a ZITADEL that knows its own name and zitadel.example.com:
// beside an application, clients may dial names that ZITADEL does not know; in front of
// ZITADEL, a name is known or not, as it would be without the adapter (issue 9).
func TestRecipesFindTheInstance(t *testing.T) {
	t.Parallel()
	fixture := wiretest.Fixture(t)
	fixture.InstanceHosts = []string{"localhost", "zitadel.example.com"}
	_, port, _ := net.SplitHostPort(wiretest.Listen(t, wiretest.NewZITADEL(t, fixture)))
	var sidecar, gateway appsv1.Deployment
	decode(t, read(t, "kubernetes/sidecar.yaml"), &sidecar)
	decode(t, bytes.Split(read(t, "kubernetes/gateway.yaml"), []byte("\n---\n"))[0], &gateway)
	for name, recipe := range map[string]struct {
		environ []string
		args    []string
		hosts   map[string]int
	}{
		"kubernetes/sidecar.yaml": {environ(sidecar.Spec.Template.Spec.InitContainers[0].Env), nil, map[string]int{"127.0.0.1": 200, "localhost": 200, "legacy.internal": 200}},
		"kubernetes/gateway.yaml": {environ(gateway.Spec.Template.Spec.Containers[0].Env), nil, map[string]int{"zitadel.example.com": 200, "other.example": 404}},
		"compose.yaml":            {composeEnviron(t), nil, map[string]int{"127.0.0.1": 200, "zitadel-v1-adapter": 200}},
		"systemd":                 {nil, []string{"--config", "../../config.yaml"}, map[string]int{"127.0.0.1": 200, "adapter.internal": 200}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := serve(t, append(recipe.environ, "V1ADAPTER_SERVER_SHUTDOWNDELAY=0s"), append(recipe.args, "--upstream-url", "http://localhost:"+port))
			for host, want := range recipe.hosts {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
					"http://"+address+"/management/v1/users/400850336480234534/password/_initialize", strings.NewReader(`{"password":"Sup3rPassw0rd!"}`))
				if err != nil {
					t.Fatal(err)
				}
				request.Host = host
				request.Header.Set("Authorization", "Bearer pat-org-owner-a")
				response, err := http.DefaultClient.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(response.Body)
				_ = response.Body.Close()
				if err != nil || response.StatusCode != want {
					t.Errorf("a client that dials %s: HTTP %d, want %d: %s, %v", host, response.StatusCode, want, body, err)
				}
			}
		})
	}
}

// serve runs the adapter at addresses of its own until the test ends, and returns the
// one for clients.
func serve(t *testing.T, environ, args []string) string {
	t.Helper()
	address, admin := freeAddress(t), freeAddress(t)
	log := new(wiretest.Buffer)
	command := exec.Command(binary, append(append([]string{"serve"}, args...), "--listen", address, "--admin-listen", admin)...)
	command.Env, command.Stderr = environ, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		if err := command.Wait(); err != nil || t.Failed() {
			t.Errorf("%v\n%s", err, log.String())
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		response, err := http.Get("http://" + admin + "/readyz")
		if err == nil {
			_ = response.Body.Close()
			return address
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready: %v\n%s", err, log.String())
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}
