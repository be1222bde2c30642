// Package deploy_test tests the recipes in deploy/: every field of what the Helm chart renders is
// one that Kubernetes, the Gateway API or the operator of Prometheus knows, every field for docker
// compose one that compose knows, and the adapter accepts their configuration; the manifests for
// Kubernetes are the chart's; Envoy's definitions accept its recipes; alerts fire when they should, and the metrics that they and the dashboard
// ask for exist. The recipes for other proxies are tested by interop/passthrough, those for systemd by
// .ci/run.
package deploy_test

import (
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"zitadel-v1-adapter/internal/config"
)

// decode reads YAML; unknown fields fail the test.
func decode(t *testing.T, document []byte, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict(document, into); err != nil {
		t.Fatalf("%v in\n%s", err, document)
	}
}

// read returns the content of a file in deploy/.
func read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile("../../deploy/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// The application in the sidecar recipe calls the address that the adapter listens on, and
// waits for it; the adapter's container is as restricted as in the gateway recipe.
func TestSidecarRecipeIsConsistent(t *testing.T) {
	t.Parallel()
	objects := parse(t, string(read(t, "kubernetes/sidecar.yaml")))
	template := objects.Deployments[0].Spec.Template
	sidecar := adapterContainer(t, template.Spec, objects.ConfigMaps, nil)
	if sidecar.RestartPolicy == nil || *sidecar.RestartPolicy != corev1.ContainerRestartPolicyAlways {
		t.Error("the init container has no restartPolicy Always, want a sidecar")
	}
	if startup := sidecar.StartupProbe; startup == nil || !reflect.DeepEqual(startup.HTTPGet, sidecar.ReadinessProbe.HTTPGet) {
		t.Errorf("got the startup probe %+v, want one like the readiness probe", startup)
	}
	settings := sidecar.settings(t)
	if app := template.Spec.Containers[0].Env[0].Value; app != "http://"+settings.Server.Listen {
		t.Errorf("the application calls %s, want the adapter's address %s", app, settings.Server.Listen)
	}
	checkPorts(t, sidecar.Container, settings)
	template.Spec.Containers = nil // the application's is its own affair
	checkRestricted(t, template)
}

// docker compose gives the adapter enough time to shut down.
func TestComposeRecipeIsConsistent(t *testing.T) {
	t.Parallel()
	settings, err := config.Load("", composeEnviron(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if grace := time.Duration(*composeService(t).StopGracePeriod); grace <= settings.Server.ShutdownTimeout {
		t.Errorf("got a grace period of %v, want more than server.shutdownTimeout, %v", grace, settings.Server.ShutdownTimeout)
	}
}

// composeEnviron returns the environment of the adapter in the recipe for docker compose.
func composeEnviron(t *testing.T) []string {
	t.Helper()
	environment := composeService(t).Environment
	all := make([]string, 0, len(environment))
	for name, value := range environment {
		all = append(all, name+"="+*value)
	}
	return all
}

// composeService returns the adapter's service in the recipe for docker compose.
func composeService(t *testing.T) types.ServiceConfig {
	t.Helper()
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  "../../deploy",
		ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Content: read(t, "compose.yaml")}},
		Environment: types.Mapping{},
	}, func(options *loader.Options) { options.SetProjectName("deploy", true) })
	if err != nil {
		t.Fatal(err)
	}
	return project.Services["zitadel-v1-adapter"]
}
