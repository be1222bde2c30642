package deploy_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	podsecurityapi "k8s.io/pod-security-admission/api"
	podsecurity "k8s.io/pod-security-admission/policy"

	"zitadel-v1-adapter/internal/config"
)

// With each value set, the chart's objects have only fields that Kubernetes knows, belong
// together, and hold a configuration that the adapter starts with.
func TestChartValueSets(t *testing.T) {
	t.Parallel()
	secrets := clusterSecrets(t)
	languages := corev1.ConfigMap{Data: map[string]string{"en.yaml": "Errors: {User: {Password: {NotFound: Password not found}}}\n"}}
	languages.Name = "zitadel-messages"
	for _, file := range valueSets(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			objects := parse(t, template(t, "--values", file))
			checkHoldsNoSecret(t, objects.ConfigMaps, secrets)
			if strings.HasPrefix(filepath.Base(file), "sidecar") {
				if alone := (manifests{ConfigMaps: objects.ConfigMaps, PodMonitors: objects.PodMonitors}); !reflect.DeepEqual(objects, alone) {
					t.Errorf("got %+v, want a ConfigMap, a PodMonitor and nothing else", objects)
				}
				return
			}
			deployment := objects.Deployments[0]
			pod := deployment.Spec.Template.Spec
			in := adapterContainer(t, pod, append(objects.ConfigMaps, languages), secrets)
			settings := in.settings(t)
			checkPorts(t, in.Container, settings)
			if port := portNumber(in.Container, "http"); settings.Server.Listen != fmt.Sprintf(":%d", port) {
				t.Errorf("got the container port %d, want that of server.listen, %s", port, settings.Server.Listen)
			}
			checkGracePeriod(t, pod, settings)
			checkRestricted(t, deployment.Spec.Template)
			checkServiceAccount(t, objects, pod)
			checkSelectors(t, objects)
			checkNetworkPolicies(t, objects.NetworkPolicies, in.Container)
			checkService(t, objects, settings)
			checkLedger(t, objects, settings)
			checkRoutes(t, objects)
			checkIngresses(t, objects)
			checkMonitoring(t, objects, settings)
			checkDashboard(t, objects)
		})
	}
}

// portNumber is the number of a container's port; 0 is none.
func portNumber(of corev1.Container, name string) int32 {
	for _, port := range of.Ports {
		if port.Name == name {
			return port.ContainerPort
		}
	}
	return 0
}

// checkHoldsNoSecret looks for the content of Secrets in ConfigMaps.
func checkHoldsNoSecret(t *testing.T, configMaps []corev1.ConfigMap, secrets map[string]map[string]string) {
	t.Helper()
	for _, configMap := range configMaps {
		for _, secret := range secrets {
			for _, content := range secret {
				if strings.Contains(fmt.Sprint(configMap), content) {
					t.Errorf("the ConfigMap %s holds %q", configMap.Name, content)
				}
			}
		}
	}
}

// checkPorts checks that probes come to the admin listener, in the way that it speaks.
func checkPorts(t *testing.T, in corev1.Container, settings config.Config) {
	t.Helper()
	if port := portNumber(in, "admin"); settings.Admin.Listen != fmt.Sprintf(":%d", port) {
		t.Errorf("got the container port %d for probes, want that of admin.listen, %s", port, settings.Admin.Listen)
	}
	scheme := corev1.URIScheme("")
	if settings.Admin.TLS.Files().Enabled() {
		scheme = corev1.URISchemeHTTPS
	}
	probes := map[string]*corev1.Probe{"/readyz": in.ReadinessProbe, "/healthz": in.LivenessProbe}
	for path, probe := range probes {
		want := corev1.HTTPGetAction{Path: path, Port: intstr.FromString("admin"), Scheme: scheme}
		if probe == nil || probe.HTTPGet == nil || !reflect.DeepEqual(*probe.HTTPGet, want) {
			t.Errorf("got the probe %+v, want %+v", probe, want)
		}
	}
}

// checkGracePeriod checks that a pod may take as long as its end may take.
func checkGracePeriod(t *testing.T, pod corev1.PodSpec, settings config.Config) {
	t.Helper()
	grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second
	if needed := settings.Server.ShutdownDelay + settings.Server.ShutdownTimeout; grace < needed+10*time.Second {
		t.Errorf("got a grace period of %v, want ten seconds more than the %v that a shutdown may take", grace, needed)
	}
	if settings.Server.ShutdownDelay == 0 {
		t.Error("server.shutdownDelay: got 0s, want time in which the gateway notices")
	}
}

// checkRestricted asks the judge of Kubernetes' own admission, and adds what the restricted
// standard leaves open.
func checkRestricted(t *testing.T, pod corev1.PodTemplateSpec) {
	t.Helper()
	evaluator, err := podsecurity.NewEvaluator(podsecurity.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := podsecurityapi.LevelVersion{Level: podsecurityapi.LevelRestricted, Version: podsecurityapi.LatestVersion()}
	if result := podsecurity.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec)); !result.Allowed {
		t.Errorf("not restricted: %s", result.ForbiddenDetail())
	}
	for _, each := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
		if context := each.SecurityContext; context.ReadOnlyRootFilesystem == nil || !*context.ReadOnlyRootFilesystem {
			t.Errorf("%s: the root file system can be written to", each.Name)
		}
	}
}

// checkServiceAccount checks that no pod has a token of Kubernetes.
func checkServiceAccount(t *testing.T, objects manifests, pod corev1.PodSpec) {
	t.Helper()
	if token := pod.AutomountServiceAccountToken; token == nil || *token {
		t.Error("the pod has a token of its service account")
	}
	for _, account := range objects.ServiceAccounts {
		if token := account.AutomountServiceAccountToken; token == nil || *token || account.Name != pod.ServiceAccountName {
			t.Errorf("got %+v, want one with the name %s and without token", account, pod.ServiceAccountName)
		}
	}
}

// checkSelectors checks that whatever selects pods selects the Deployment's.
func checkSelectors(t *testing.T, objects manifests) {
	t.Helper()
	deployment := objects.Deployments[0]
	selectors := map[string]map[string]string{
		"Deployment": deployment.Spec.Selector.MatchLabels,
		"Service":    objects.Services[0].Spec.Selector,
	}
	for _, budget := range objects.Budgets {
		selectors["PodDisruptionBudget"] = budget.Spec.Selector.MatchLabels
	}
	for _, policy := range objects.NetworkPolicies {
		selectors["NetworkPolicy"] = policy.Spec.PodSelector.MatchLabels
	}
	for _, constraint := range deployment.Spec.Template.Spec.TopologySpreadConstraints {
		selectors["spread over "+constraint.TopologyKey] = constraint.LabelSelector.MatchLabels
	}
	if len(deployment.Spec.Template.Spec.TopologySpreadConstraints) == 0 {
		t.Error("pods are not spread")
	}
	for name, selector := range selectors {
		if len(selector) == 0 || !labels.SelectorFromSet(selector).Matches(labels.Set(deployment.Spec.Template.Labels)) {
			t.Errorf("%s selects %v, want some of the pods' labels %v", name, selector, deployment.Spec.Template.Labels)
		}
	}
	for _, autoscaler := range objects.Autoscalers {
		if target := autoscaler.Spec.ScaleTargetRef; target.Name != deployment.Name || target.Kind != "Deployment" || deployment.Spec.Replicas != nil {
			t.Errorf("got autoscaling of %+v, replicas %v, want %s, whose number it decides alone", target, deployment.Spec.Replicas, deployment.Name)
		}
	}
}

// checkNetworkPolicies checks that the policies name ports of the container, and that one which
// opens the admin listener's port says to whom.
func checkNetworkPolicies(t *testing.T, policies []networkingv1.NetworkPolicy, in corev1.Container) {
	t.Helper()
	for _, policy := range policies {
		for _, rule := range policy.Spec.Ingress {
			for _, port := range rule.Ports {
				if portNumber(in, port.Port.StrVal) == 0 || port.Port.StrVal == "admin" && len(rule.From) == 0 {
					t.Errorf("the NetworkPolicy lets %v to the port %v, want a port of the container, and for admin not everybody", rule.From, port.Port)
				}
			}
		}
		if limited := slices.Contains(policy.Spec.PolicyTypes, networkingv1.PolicyTypeEgress); limited != (len(policy.Spec.Egress) > 0) {
			t.Errorf("the NetworkPolicy limits egress: %v, to %v", limited, policy.Spec.Egress)
		}
	}
}

// checkService checks that the Service's ports lead to ports of the container.
func checkService(t *testing.T, objects manifests, settings config.Config) {
	t.Helper()
	targets := map[string]string{"http": "http", "grpc": "http", "admin": "admin"}
	for _, port := range objects.Services[0].Spec.Ports {
		if port.TargetPort.StrVal != targets[port.Name] || portNumber(objects.Deployments[0].Spec.Template.Spec.Containers[0], port.TargetPort.StrVal) == 0 {
			t.Errorf("the Service's port %s leads to %v, want %q of the container", port.Name, port.TargetPort, targets[port.Name])
		}
		if h2c := port.AppProtocol != nil && *port.AppProtocol == "kubernetes.io/h2c"; h2c && (port.Name != "grpc" || settings.Server.TLS.Files().Enabled()) {
			t.Errorf("the Service's port %s says that it speaks h2c", port.Name)
		}
		delete(targets, port.Name)
	}
	if len(targets) > 0 {
		t.Errorf("the Service lacks the ports %v", targets)
	}
}

// Pods are replaced when a key of the configuration changes that needs it, and when what
// they mount does; not otherwise.
func TestChartReplacesPods(t *testing.T) {
	t.Parallel()
	replaced := map[string]string{
		"limits.headerTimeout": "5s", "limits.idleTimeout": "1m", "limits.writeTimeout": "30s", "limits.headerBytes": "5000", "limits.connectionsPerPeer": "7",
		"usage.store": "postgres://v1adapter@db/zitadel", "usage.storeFile": "/run/usage.store", "usage.retention": "1h", "usage.names": "false",
		"log.format": "text",
	}
	document, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	var needed []string
	for _, entry := range strings.Split(string(document), "\n- `")[1:] {
		entry, _, _ = strings.Cut(entry, "\n\n")
		key, about, _ := strings.Cut(entry, "`")
		if strings.Contains(strings.Join(strings.Fields(about), " "), "Needs a restart.") && !slices.Contains(setByChart, key) {
			needed = append(needed, key)
		}
	}
	slices.Sort(needed)
	if got := slices.Sorted(maps.Keys(replaced)); !slices.Equal(got, needed) {
		t.Fatalf("got %v, want the keys that need a restart, %v", got, needed)
	}
	sets := map[string]bool{
		"config.rollout.percent=50": false, "config.log.level=debug": false, "config.server.grpcHealth=own": false,
		"secrets.serverTLS.name=adapter-tls": true, "secrets.usageStore.name=adapter-usage": true, "extraArgs={--set,rollout.percent=25}": true,
	}
	for key, value := range replaced {
		sets["config."+key+"="+value] = true
	}
	render := func(t *testing.T, set string) appsv1.Deployment {
		t.Helper()
		// One key that needs a restart is set already, so that there is a checksum.
		return parse(t, template(t, "--values", chart+"/ci/default-values.yaml", "--set", "config.limits.idleTimeout=3m", "--set", set)).Deployments[0]
	}
	before := render(t, "replicaCount=2")
	for set, want := range sets {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			if got := !reflect.DeepEqual(before.Spec.Template, render(t, set).Spec.Template); got != want {
				t.Errorf("pods are replaced: %v, want %v", got, want)
			}
		})
	}
}
