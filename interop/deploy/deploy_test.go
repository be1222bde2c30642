// Package deploy_test tests the recipes in deploy/: every field of their files is one that
// Kubernetes, the Gateway API or docker compose knows, and the adapter accepts their
// configuration; alerts fire when they should, and the metrics that they and the dashboard
// ask for exist. The recipe for nginx is tested by interop/passthrough, that for systemd by
// .ci/run.
package deploy_test

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	"zitadel-v1-adapter/internal/config"
)

// load returns the adapter's configuration with the environment of a container.
func load(t *testing.T, environment []corev1.EnvVar) config.Config {
	t.Helper()
	settings, err := config.Load("", environ(environment), nil)
	if err != nil {
		t.Fatal(err)
	}
	return settings
}

// environ returns the environment of a container as name=value.
func environ(environment []corev1.EnvVar) []string {
	all := make([]string, 0, len(environment))
	for _, variable := range environment {
		all = append(all, variable.Name+"="+variable.Value)
	}
	return all
}

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

// The application in the sidecar recipe calls the address that the adapter listens on, and the
// probes use the port of its admin listener.
func TestSidecarRecipeIsConsistent(t *testing.T) {
	t.Parallel()
	var deployment appsv1.Deployment
	decode(t, read(t, "kubernetes/sidecar.yaml"), &deployment)
	pod := deployment.Spec.Template.Spec
	sidecar := pod.InitContainers[0]
	if sidecar.RestartPolicy == nil || *sidecar.RestartPolicy != corev1.ContainerRestartPolicyAlways {
		t.Error("the init container has no restartPolicy Always, want a sidecar")
	}
	settings := load(t, sidecar.Env)
	if app := pod.Containers[0].Env[0].Value; app != "http://"+settings.Server.Listen {
		t.Errorf("the application calls %s, want the adapter's address %s", app, settings.Server.Listen)
	}
	for _, port := range sidecar.Ports {
		if !strings.HasSuffix(settings.Admin.Listen, ":9090") || port.ContainerPort != 9090 {
			t.Errorf("got container port %d, admin address %s, want port 9090 in both", port.ContainerPort, settings.Admin.Listen)
		}
	}
}

// The route in the gateway recipe leads to the recipe's service, and pods get enough time to
// shut down.
func TestGatewayRecipeIsConsistent(t *testing.T) {
	t.Parallel()
	documents := bytes.Split(read(t, "kubernetes/gateway.yaml"), []byte("\n---\n"))
	var (
		deployment appsv1.Deployment
		service    corev1.Service
		budget     policyv1.PodDisruptionBudget
		route      gatewayv1.HTTPRoute
	)
	for i, into := range []any{&deployment, &service, &budget, &route} {
		decode(t, documents[i], into)
	}
	pod := deployment.Spec.Template.Spec
	settings := load(t, pod.Containers[0].Env)
	grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second
	if needed := settings.Server.ShutdownDelay + settings.Server.ShutdownTimeout; grace <= needed {
		t.Errorf("got a grace period of %v, want more than the %v that a shutdown may take", grace, needed)
	}
	ports := map[gatewayv1.PortNumber]bool{}
	for _, port := range service.Spec.Ports {
		ports[port.Port] = true
	}
	for _, rule := range route.Spec.Rules {
		for _, backend := range rule.BackendRefs {
			if string(backend.Name) != service.Name || backend.Port == nil || !ports[*backend.Port] {
				t.Errorf("the route leads to %+v, want service %s with one of the ports %v", backend, service.Name, ports)
			}
		}
	}
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
