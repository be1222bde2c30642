// Package deploy_test proves what it can of the recipes in deploy/: their formats
// are those of Kubernetes, of the Gateway API and of docker compose, to the last
// field, and the adapter takes the configuration that they give it. nginx and
// systemd are tried by .ci/run, with the real programs.
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

// load reads the configuration that a container's environment makes.
func load(t *testing.T, environment []corev1.EnvVar) config.Config {
	t.Helper()
	settings, err := config.Load("", environ(environment), nil)
	if err != nil {
		t.Fatal(err)
	}
	return settings
}

func environ(environment []corev1.EnvVar) []string {
	all := make([]string, 0, len(environment))
	for _, variable := range environment {
		all = append(all, variable.Name+"="+variable.Value)
	}
	return all
}

func decode(t *testing.T, document []byte, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict(document, into); err != nil {
		t.Fatalf("%v in\n%s", err, document)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile("../../deploy/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestSidecar(t *testing.T) {
	t.Parallel()
	var deployment appsv1.Deployment
	decode(t, read(t, "kubernetes/sidecar.yaml"), &deployment)
	pod := deployment.Spec.Template.Spec
	sidecar := pod.InitContainers[0]
	if sidecar.RestartPolicy == nil || *sidecar.RestartPolicy != corev1.ContainerRestartPolicyAlways {
		t.Error("not a sidecar")
	}
	settings := load(t, sidecar.Env)
	if app := pod.Containers[0].Env[0].Value; app != "http://"+settings.Server.Listen {
		t.Errorf("the application calls %s, the adapter listens on %s", app, settings.Server.Listen)
	}
	for _, port := range sidecar.Ports {
		if !strings.HasSuffix(settings.Admin.Listen, ":9090") || port.ContainerPort != 9090 {
			t.Errorf("probes ask port %d, the adapter listens on %s", port.ContainerPort, settings.Admin.Listen)
		}
	}
}

func TestGateway(t *testing.T) {
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
		t.Errorf("killed after %v, may need %v", grace, needed)
	}
	ports := map[gatewayv1.PortNumber]bool{}
	for _, port := range service.Spec.Ports {
		ports[port.Port] = true
	}
	for _, rule := range route.Spec.Rules {
		for _, backend := range rule.BackendRefs {
			if string(backend.Name) != service.Name || backend.Port == nil || !ports[*backend.Port] {
				t.Errorf("no such service: %+v", backend)
			}
		}
	}
}

func TestCompose(t *testing.T) {
	t.Parallel()
	settings, err := config.Load("", composeEnviron(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if grace := time.Duration(*composeService(t).StopGracePeriod); grace <= settings.Server.ShutdownTimeout {
		t.Errorf("killed after %v, may need %v", grace, settings.Server.ShutdownTimeout)
	}
}

// composeEnviron is the environment that the recipe for docker compose makes.
func composeEnviron(t *testing.T) []string {
	t.Helper()
	environment := composeService(t).Environment
	all := make([]string, 0, len(environment))
	for name, value := range environment {
		all = append(all, name+"="+*value)
	}
	return all
}

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
