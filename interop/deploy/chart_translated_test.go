package deploy_test

import (
	"encoding/json"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// What users of other charts set arrives where Kubernetes looks for it.
func TestChartTranslatedValues(t *testing.T) {
	t.Parallel()
	for file, wanted := range map[string]map[string]string{
		"oauth2-proxy-ingress": {
			"args":                `[--config, /etc/zitadel-v1-adapter/config/config.yaml, --set, log.level=debug, "--set=deprecation.since=2026-01-31"]`,
			"envFrom":             `[{configMapRef: {name: tracing}}]`,
			"ingress annotations": `{cert-manager.io/cluster-issuer: letsencrypt, nginx.ingress.kubernetes.io/proxy-buffer-size: 16k}`,
			"gRPC annotations":    `{cert-manager.io/cluster-issuer: letsencrypt, nginx.ingress.kubernetes.io/proxy-buffer-size: 16k, nginx.ingress.kubernetes.io/backend-protocol: GRPC}`,
			"ingress TLS":         `[{secretName: zitadel-tls, hosts: [zitadel.example.com, login.example.com]}]`,
			"ingress class":       `nginx`,
		},
		"oauth2-proxy-scaled": {
			"autoscaling":      `[{type: Resource, resource: {name: memory, target: {type: Utilization, averageUtilization: 80}}}]`,
			"readiness times":  `{initialDelaySeconds: 1, periodSeconds: 5, timeoutSeconds: 3, successThreshold: 1, failureThreshold: 2}`,
			"liveness times":   `{periodSeconds: 30, timeoutSeconds: 5}`,
			"tier of pods":     `pods`,
			"tier of Service":  `edge`,
			"pods annotations": `{example.com/team: identity}`,
		},
		"oauth2-proxy-placed": {
			"DNS":                 `{nameservers: [10.96.0.10], searches: [zitadel.svc.cluster.local, svc.cluster.local], options: [{name: ndots, value: "2"}]}`,
			"DNS policy":          `None`,
			"host aliases":        `[{ip: 10.1.2.3, hostnames: [zitadel.internal.example.com]}]`,
			"Service type":        `LoadBalancer`,
			"Service annotations": `{service.beta.kubernetes.io/aws-load-balancer-internal: "true"}`,
			"exposed":             `internally`,
			"budgets":             `0`,
		},
		"cloud-sql-proxy-identity": {
			"account annotations": `{iam.gke.io/gcp-service-account: ledger@project.iam.gserviceaccount.com}`,
			"strategy":            `{type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}`,
			"lifecycle":           `{preStop: {sleep: {seconds: 5}}}`,
			"Service type":        `NodePort`,
		},
		"cloud-sql-proxy-files": {
			"pod security": `{fsGroup: 2000}`,
			"strategy":     `{type: Recreate}`,
		},
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			got := placed(parse(t, template(t, "--values", filepath.Join(chart, "ci", file+"-values.yaml"))))
			for name, want := range wanted {
				if text, want := asJSON(t, got[name]), fromYAML(t, want); text != want {
					t.Errorf("%s: got %s, want %s", name, text, want)
				}
			}
		})
	}
}

// placed is what the chart's objects have, by names of the test's own.
func placed(objects manifests) map[string]any {
	deployment, service := objects.Deployments[0], objects.Services[0]
	pod := deployment.Spec.Template
	in := pod.Spec.Containers[0]
	all := map[string]any{
		"args": in.Args, "envFrom": in.EnvFrom, "lifecycle": in.Lifecycle, "strategy": deployment.Spec.Strategy,
		"readiness times": times(in.ReadinessProbe), "liveness times": times(in.LivenessProbe),
		"tier of pods": pod.Labels["example.com/tier"], "pods annotations": pod.Annotations,
		"tier of Service": service.Labels["example.com/tier"], "exposed": service.Labels["example.com/exposed"],
		"Service type": service.Spec.Type, "Service annotations": service.Annotations,
		"DNS": pod.Spec.DNSConfig, "DNS policy": pod.Spec.DNSPolicy, "host aliases": pod.Spec.HostAliases, "pod security": pod.Spec.SecurityContext,
		"budgets": len(objects.Budgets), "account annotations": objects.ServiceAccounts[0].Annotations,
	}
	for _, autoscaler := range objects.Autoscalers {
		all["autoscaling"] = autoscaler.Spec.Metrics
	}
	if len(objects.Ingresses) == 2 {
		all["ingress annotations"], all["gRPC annotations"] = objects.Ingresses[0].Annotations, objects.Ingresses[1].Annotations
		all["ingress class"], all["ingress TLS"] = objects.Ingresses[1].Spec.IngressClassName, objects.Ingresses[1].Spec.TLS
	}
	return all
}

// times are those of a probe.
func times(probe *corev1.Probe) corev1.Probe {
	copied := *probe
	copied.ProbeHandler = corev1.ProbeHandler{}
	return copied
}

// asJSON is a value in JSON.
func asJSON(t *testing.T, of any) string {
	t.Helper()
	text, err := json.Marshal(of)
	if err != nil {
		t.Fatal(err)
	}
	return fromYAML(t, string(text))
}

// fromYAML is YAML in JSON, with the keys of maps in order.
func fromYAML(t *testing.T, text string) string {
	t.Helper()
	converted, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return string(converted)
}
