package deploy_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"zitadel-v1-adapter/internal/config"
)

// checkMonitoring checks that Prometheus asks the admin port as that wants to be asked, for
// what the alerts are about, and gets the alerts as they are.
func checkMonitoring(t *testing.T, objects manifests, settings config.Config) {
	t.Helper()
	for _, monitor := range objects.ServiceMonitors {
		endpoint := monitor.Spec.Endpoints[0]
		if !labels.SelectorFromSet(monitor.Spec.Selector.MatchLabels).Matches(labels.Set(objects.Services[0].Labels)) {
			t.Errorf("the ServiceMonitor selects %v, want labels of the Service, %v", monitor.Spec.Selector.MatchLabels, objects.Services[0].Labels)
		}
		if secure := endpoint.Scheme == "https"; endpoint.Port != "admin" || endpoint.Path != "/metrics" || secure != settings.Admin.TLS.Files().Enabled() {
			t.Errorf("got the endpoint %+v, want /metrics of the admin port, TLS: %v", endpoint, !secure)
		}
		if (endpoint.Authorization != nil) != (settings.Admin.TokenFile != "") {
			t.Errorf("got the authorization %v, admin.tokenFile %q", endpoint.Authorization, settings.Admin.TokenFile)
		}
		if relabel := endpoint.RelabelConfigs[0]; relabel.TargetLabel != "job" || *relabel.Replacement != "zitadel-v1-adapter" {
			t.Errorf("got %+v, want the job's name in the alerts", relabel)
		}
	}
	for _, rule := range objects.PrometheusRules {
		var got, want ruleFile
		content, err := yaml.Marshal(rule.Spec)
		if err != nil {
			t.Fatal(err)
		}
		decode(t, content, &got)
		decode(t, read(t, rulesFile), &want)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got the rules\n%v\nwant\n%v", got, want)
		}
	}
}

// checkDashboard checks that Grafana's sidecar finds the dashboard, and gets it as it is.
func checkDashboard(t *testing.T, objects manifests) {
	t.Helper()
	for _, configMap := range objects.ConfigMaps {
		if !strings.HasSuffix(configMap.Name, "-dashboard") {
			continue
		}
		got := configMap.Data["zitadel-v1-adapter.json"]
		if configMap.Labels["grafana_dashboard"] != "1" || got != string(read(t, dashboardFile)) || !json.Valid([]byte(got)) {
			t.Errorf("got the labels %v and %d bytes, want grafana_dashboard, and %s", configMap.Labels, len(got), dashboardFile)
		}
	}
}

// Prometheus asks sidecars as they want to be asked, by the labels of the application's pods.
func TestChartMonitorsSidecars(t *testing.T) {
	t.Parallel()
	monitors := parse(t, template(t, "--values", chart+"/ci/sidecar-values.yaml")).PodMonitors
	if len(monitors) != 1 {
		t.Fatalf("got %+v, want a PodMonitor", monitors)
	}
	const want = `{
		"selector": {"matchLabels": {"app": "legacy-app"}},
		"podMetricsEndpoints": [{
			"port": "admin", "path": "/metrics", "interval": "30s", "scheme": "https", "tlsConfig": {"serverName": "legacy-app.example.com"},
			"authorization": {"credentials": {"name": "adapter-admin", "key": "bearer"}},
			"relabelings": [{"targetLabel": "job", "replacement": "zitadel-v1-adapter"}]
		}]
	}`
	var spec monitoringv1.PodMonitorSpec
	decode(t, []byte(want), &spec)
	if !reflect.DeepEqual(monitors[0].Spec, spec) || monitors[0].Labels["release"] != "prometheus" {
		t.Errorf("got %+v, want the label release, and %s", monitors[0], want)
	}
}
