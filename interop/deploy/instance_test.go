package deploy_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/wiretest"
)

// binary is the path of the program.
var binary string

func TestMain(m *testing.M) { os.Exit(wiretest.RunWithProgram(m, &binary, "../..")) }

// With each recipe, the adapter's requests select the instance of a ZITADEL that knows the
// names localhost and zitadel.example.com. In recipes that run the adapter next to an
// application, clients may use names that ZITADEL does not know. In the gateway recipe,
// ZITADEL gets the name that the client used and answers 404 if it does not know it, as
// without the adapter (issue 9).
func TestRecipesSelectTheInstance(t *testing.T) {
	t.Parallel()
	fixture := wiretest.Fixture(t)
	fixture.InstanceHosts = []string{"localhost", "zitadel.example.com"}
	_, port, _ := net.SplitHostPort(wiretest.Listen(t, wiretest.NewZITADEL(t, fixture)))
	sidecar, gateway := recipeContainer(t, "kubernetes/sidecar.yaml"), recipeContainer(t, "kubernetes/gateway.yaml")
	for name, recipe := range map[string]struct {
		environ []string
		args    []string
		hosts   map[string]int // status by the host that the client sends
	}{
		"kubernetes/sidecar.yaml": {
			sidecar.environ,
			[]string{"--config", sidecar.configFile(t)},
			map[string]int{"127.0.0.1": 200, "localhost": 200, "legacy.internal": 200},
		},
		"kubernetes/gateway.yaml": {
			gateway.environ,
			[]string{"--config", gateway.configFile(t)},
			map[string]int{"zitadel.example.com": 200, "other.example": 404},
		},
		"compose.yaml": {composeEnviron(t), nil, map[string]int{"127.0.0.1": 200, "zitadel-v1-adapter": 200}},
		"systemd":      {nil, []string{"--config", "../../config.yaml"}, map[string]int{"127.0.0.1": 200, "adapter.internal": 200}},
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
					t.Errorf("host %s: got status %d, %s, %v, want status %d", host, response.StatusCode, body, err, want)
				}
			}
		})
	}
}

// recipeContainer is the adapter's in a recipe for Kubernetes.
func recipeContainer(t *testing.T, name string) container {
	t.Helper()
	objects := parse(t, string(read(t, name)))
	return adapterContainer(t, objects.Deployments[0].Spec.Template.Spec, objects.ConfigMaps, nil)
}

// serve runs the adapter on free ports until the test ends, and returns its address for
// clients.
func serve(t *testing.T, environ, args []string) string {
	t.Helper()
	return start(t, environ, args).address
}

// running is an adapter that runs.
type running struct {
	address, admin string // for clients, and of the admin listener
	process        *os.Process
}

// start is serve that tells more.
func start(t *testing.T, environ, args []string) running {
	t.Helper()
	address, admin := wiretest.FreeAddress(t), wiretest.FreeAddress(t)
	log := new(wiretest.Buffer)
	command := exec.Command(binary, append(append([]string{"serve"}, args...), "--listen", address, "--admin-listen", admin)...)
	command.Env, command.Stderr = environ, log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		if err := command.Wait(); err != nil || t.Failed() {
			t.Errorf("the adapter exited with %v, log:\n%s", err, log.String())
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		response, err := http.Get("http://" + admin + "/readyz")
		if err == nil {
			_ = response.Body.Close()
			return running{address: address, admin: admin, process: command.Process}
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready after 20s: %v, log:\n%s", err, log.String())
		}
	}
}
