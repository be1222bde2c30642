package deploy_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

// chart is the Helm chart's folder.
const chart = "../../deploy/helm/zitadel-v1-adapter"

// helmPath is the path of the helm that go.mod names, which is built once.
var helmPath = sync.OnceValues(func() (string, error) {
	command := exec.Command("go", "tool", "-n", "helm")
	command.Stderr = os.Stderr
	path, err := command.Output()
	return strings.TrimSpace(string(path)), err
})

// helm runs helm, and returns what it prints, and its messages as an error.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	path, err := helmPath()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), path, args...)
	var out, messages bytes.Buffer
	command.Stdout, command.Stderr = &out, &messages
	if command.Run() != nil {
		return out.String(), errors.New(messages.String())
	}
	return out.String(), nil
}

// template renders the chart as the release named zitadel-v1-adapter. The arguments are
// helm's.
func template(t *testing.T, args ...string) string {
	t.Helper()
	out, err := helm(t, append([]string{"template", "zitadel-v1-adapter", chart}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// valueSets are the files with values in the chart's folder ci.
func valueSets(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(chart + "/ci/*-values.yaml")
	if err != nil || len(files) < 14 {
		t.Fatalf("got the value sets %v, %v, want fourteen or more", files, err)
	}
	return files
}

// manifests are the objects in a stream of YAML documents.
type manifests struct {
	Deployments     []appsv1.Deployment
	Services        []corev1.Service
	ConfigMaps      []corev1.ConfigMap
	Claims          []corev1.PersistentVolumeClaim
	ServiceAccounts []corev1.ServiceAccount
	Budgets         []policyv1.PodDisruptionBudget
	Autoscalers     []autoscalingv2.HorizontalPodAutoscaler
	NetworkPolicies []networkingv1.NetworkPolicy
	Ingresses       []networkingv1.Ingress
	Routes          []gatewayv1.HTTPRoute
	TLSPolicies     []gatewayv1.BackendTLSPolicy
	ServiceMonitors []monitoringv1.ServiceMonitor
	PodMonitors     []monitoringv1.PodMonitor
	PrometheusRules []monitoringv1.PrometheusRule
}

// parse reads a stream of YAML documents. Objects of a kind that manifests has not, and fields
// that a kind has not, fail the test.
func parse(t *testing.T, stream string) manifests {
	t.Helper()
	var all manifests
	kinds := map[string]func(*testing.T, []byte){
		"apps/v1 Deployment": to(&all.Deployments), "v1 Service": to(&all.Services), "v1 ConfigMap": to(&all.ConfigMaps),
		"v1 PersistentVolumeClaim": to(&all.Claims),
		"v1 ServiceAccount":        to(&all.ServiceAccounts), "policy/v1 PodDisruptionBudget": to(&all.Budgets),
		"autoscaling/v2 HorizontalPodAutoscaler":        to(&all.Autoscalers),
		"networking.k8s.io/v1 NetworkPolicy":            to(&all.NetworkPolicies),
		"networking.k8s.io/v1 Ingress":                  to(&all.Ingresses),
		"gateway.networking.k8s.io/v1 HTTPRoute":        to(&all.Routes),
		"gateway.networking.k8s.io/v1 BackendTLSPolicy": to(&all.TLSPolicies),
		"monitoring.coreos.com/v1 ServiceMonitor":       to(&all.ServiceMonitors),
		"monitoring.coreos.com/v1 PodMonitor":           to(&all.PodMonitors),
		"monitoring.coreos.com/v1 PrometheusRule":       to(&all.PrometheusRules),
	}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(stream)))
	for {
		content, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		var header metav1.TypeMeta
		if err := errors.Join(err, yaml.Unmarshal(content, &header)); err != nil {
			t.Fatalf("%v in\n%s", err, content)
		}
		add := kinds[header.APIVersion+" "+header.Kind]
		if add == nil {
			t.Errorf("got an object of the kind %q, %q", header.APIVersion, header.Kind)
			continue
		}
		add(t, content)
	}
}

// to returns a function that decodes an object strictly and adds it to a list.
func to[Object any](list *[]Object) func(*testing.T, []byte) {
	return func(t *testing.T, document []byte) {
		t.Helper()
		var object Object
		decode(t, document, &object)
		*list = append(*list, object)
	}
}
