package deploy_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"sigs.k8s.io/yaml"

	"zitadel-v1-adapter/internal/wiretest"
)

// alert is an alerting rule of Prometheus.
type alert struct {
	Alert       string            `json:"alert,omitempty"`
	Record      string            `json:"record,omitempty"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// ruleFile is a file of Prometheus' rules.
type ruleFile struct {
	Groups []ruleGroup `json:"groups"`
}

type ruleGroup struct {
	Name  string  `json:"name"`
	Rules []alert `json:"rules"`
}

// rulesFile is the file with the alerts, which the chart takes as it is.
const rulesFile = "helm/zitadel-v1-adapter/files/rules.yaml"

// dashboardFile is the file with the dashboard, which the chart takes as it is.
const dashboardFile = "helm/zitadel-v1-adapter/files/dashboard.json"

// ruleTests are the files with promtool's unit tests of the alerts.
var ruleTests = []string{"prometheus/rules_test.yaml", "prometheus/rules_week_test.yaml"}

// alerts returns the alerts in the recipe.
func alerts(t *testing.T) []alert {
	t.Helper()
	var file ruleFile
	decode(t, read(t, rulesFile), &file)
	var all []alert
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	if len(all) == 0 {
		t.Fatal("got no alerts")
	}
	return all
}

// query is an expression of the dashboard, with values for Grafana's variables.
type query struct {
	panel, expr, legend string
}

// dashboard is what the tests look at in a dashboard of Grafana.
type dashboard struct {
	Templating struct {
		List []struct {
			Name       string `json:"name"`
			Definition string `json:"definition"`
		} `json:"list"`
	} `json:"templating"`
	Panels []struct {
		Title       string `json:"title"`
		Description string `json:"description"`
		FieldConfig struct {
			Defaults struct {
				Unit string `json:"unit"`
			} `json:"defaults"`
		} `json:"fieldConfig"`
		Targets []struct {
			Expr         string `json:"expr"`
			LegendFormat string `json:"legendFormat"`
		} `json:"targets"`
	} `json:"panels"`
}

// loadDashboard reads the recipe's. It may have fields that the tests do not know.
func loadDashboard(t *testing.T) dashboard {
	t.Helper()
	var board dashboard
	if err := json.Unmarshal(read(t, dashboardFile), &board); err != nil {
		t.Fatal(err)
	}
	return board
}

// queries returns the dashboard's expressions, those of its variables included.
func queries(t *testing.T) []query {
	t.Helper()
	variables := strings.NewReplacer("$__rate_interval", "5m", "$job", "zitadel-v1-adapter")
	var all []query
	board := loadDashboard(t)
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			all = append(all, query{panel.Title, variables.Replace(target.Expr), target.LegendFormat})
		}
	}
	for _, variable := range board.Templating.List {
		if match := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`).FindStringSubmatch(variable.Definition); match != nil {
			all = append(all, query{"variable " + variable.Name, "group by (" + match[2] + ") (" + match[1] + ")", ""})
		}
	}
	for _, each := range all {
		if each.expr == "" || strings.Contains(each.expr, "$") {
			t.Errorf("%s: got the expression %q, want one without variables that the test does not know", each.panel, each.expr)
		}
	}
	return all
}

// promtool runs Prometheus' own tool; if it is not well, or not there, the test fails.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatalf("%v: install the package prometheus", err)
	}
	if out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// The alerts are Prometheus rules, and fire when their tests say so.
func TestAlertsFire(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "rules", "../../deploy/"+rulesFile)
	for _, file := range ruleTests {
		promtool(t, "test", "rules", "../../deploy/"+file)
	}
}

// Each alert has a test in which it fires and one in which it does not.
func TestAlertsAreTested(t *testing.T) {
	t.Parallel()
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, name := range ruleTests {
		var file struct {
			Tests []struct {
				Cases []struct {
					Name     string            `json:"alertname"`
					Expected []json.RawMessage `json:"exp_alerts"`
				} `json:"alert_rule_test"`
			} `json:"tests"`
		}
		if err := yaml.Unmarshal(read(t, name), &file); err != nil {
			t.Fatal(err)
		}
		for _, test := range file.Tests {
			for _, each := range test.Cases {
				fires[each.Name] = fires[each.Name] || len(each.Expected) > 0
				quiet[each.Name] = quiet[each.Name] || len(each.Expected) == 0
			}
		}
	}
	for _, each := range alerts(t) {
		if !fires[each.Alert] || !quiet[each.Alert] {
			t.Errorf("%s: tested firing: %v, not firing: %v, want both", each.Alert, fires[each.Alert], quiet[each.Alert])
		}
		delete(fires, each.Alert)
	}
	for name := range fires {
		t.Errorf("the alert %s is tested, and is not there", name)
	}
}

// Each alert says what it means in a sentence, how urgent it is, and where to read what to
// do; and that is there.
func TestAlertsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for _, each := range alerts(t) {
		if !slices.Contains([]string{"page", "ticket", "info"}, each.Labels["severity"]) {
			t.Errorf("%s: got severity %q, want page, ticket or info", each.Alert, each.Labels["severity"])
		}
		for _, name := range []string{"summary", "description"} {
			if text := each.Annotations[name]; !strings.HasSuffix(text, ".") || strings.Contains(text, "\n") {
				t.Errorf("%s: got the %s %q, want a sentence", each.Alert, name, text)
			}
		}
		_, page, _ := strings.Cut(each.Annotations["runbook_url"], "/blob/main/")
		file, anchor, _ := strings.Cut(page, "#")
		if document, err := os.ReadFile("../../" + file); err != nil {
			t.Errorf("%s: runbook_url: %v", each.Alert, err)
		} else if !slices.Contains(anchors(string(document)), anchor) {
			t.Errorf("%s: %s has no heading for #%s", each.Alert, file, anchor)
		}
	}
}

// anchors returns those of a Markdown document's headings, as GitHub makes them.
func anchors(document string) []string {
	headings := regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(document, -1)
	all := make([]string, 0, len(headings))
	for _, heading := range headings {
		plain := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		all = append(all, strings.ReplaceAll(plain, " ", "-"))
	}
	return all
}

// Prometheus can parse what the dashboard asks it. Each panel says what it shows.
func TestDashboardCanBeAsked(t *testing.T) {
	t.Parallel()
	for _, panel := range loadDashboard(t).Panels {
		if panel.Description == "" || panel.FieldConfig.Defaults.Unit == "" || len(panel.Targets) == 0 {
			t.Errorf("the panel %q has no description, no unit or no expression", panel.Title)
		}
	}
	file := ruleFile{Groups: []ruleGroup{{Name: "dashboard"}}}
	for i, each := range queries(t) {
		if histogram := regexp.MustCompile(`(\w+_seconds)_(bucket|sum)\b`).FindStringSubmatch(each.expr); histogram != nil &&
			!regexp.MustCompile(histogram[1]+`\{[^}]*\}\[5m\]`).MatchString(each.expr) {
			t.Errorf("%s: %q is empty where Prometheus keeps native histograms", each.panel, each.expr)
		}
		file.Groups[0].Rules = append(file.Groups[0].Rules, alert{Record: fmt.Sprintf("dashboard:%d", i), Expr: each.expr})
	}
	content, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", wiretest.WriteFile(t, t.TempDir(), "rules.yaml", content))
}

var (
	selectorPattern = regexp.MustCompile(`\b((?:v1adapter|process|go)_\w+)\s*(?:\{([^}]*)\})?`)
	matcherPattern  = regexp.MustCompile(`(\w+)\s*[=!]~?\s*"([^"]*)"`)
	groupingPattern = regexp.MustCompile(`\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	legendPattern   = regexp.MustCompile(`\{\{(\w+)\}\}`)
)

// What alerts and dashboard ask for is what a running adapter has: each metric, each label,
// and each value of a label.
func TestMetricsAskedForExist(t *testing.T) {
	t.Parallel()
	asked := queries(t)
	for _, each := range alerts(t) {
		asked = append(asked, query{panel: each.Alert, expr: each.Expr})
	}
	there := exercise(t)
	for _, each := range asked {
		labels := there.ofPrometheus()
		for _, selector := range selectorPattern.FindAllStringSubmatch(each.expr, -1) {
			metric, found := there[selector[1]]
			if !found {
				t.Errorf("%s: the adapter has no metric %s", each.panel, selector[1])
			}
			maps.Copy(labels, metric)
			for _, matcher := range matcherPattern.FindAllStringSubmatch(selector[2], -1) {
				checkMatcher(t, each.panel, selector[1], cmp.Or(metric[matcher[1]], there.ofPrometheus()[matcher[1]]), matcher)
			}
		}
		var kept []string
		for _, grouping := range groupingPattern.FindAllStringSubmatch(each.expr, -1) {
			for label := range strings.SplitSeq(grouping[1], ",") {
				label = strings.TrimSpace(label)
				if kept = append(kept, label); labels[label] == nil {
					t.Errorf("%s: no metric of %q has the label %q", each.panel, each.expr, label)
				}
			}
		}
		for _, shown := range legendPattern.FindAllStringSubmatch(each.legend, -1) {
			if !slices.Contains(kept, shown[1]) {
				t.Errorf("%s: the legend shows %q, which %q does not keep", each.panel, shown[1], each.expr)
			}
		}
	}
}

// checkMatcher checks a label and its values, one of matcherPattern's matches. A label that
// is not there has nil values.
func checkMatcher(t *testing.T, where, metric string, values *labelValues, matcher []string) {
	t.Helper()
	label := matcher[1]
	if values == nil {
		t.Errorf("%s: %s has no label %q", where, metric, label)
		return
	}
	for value := range strings.SplitSeq(matcher[2], "|") {
		var code connect.Code
		isCode := label == "code" && (regexp.MustCompile(`^[1-5]\d\d$`).MatchString(value) || code.UnmarshalText([]byte(value)) == nil)
		if !values.any && !isCode && !values.seen[value] {
			t.Errorf("%s: the label %s of %s is never %q", where, label, metric, value)
		}
	}
}

// labelValues are the values that a label has; any are those that Prometheus gives.
type labelValues struct {
	seen map[string]bool
	any  bool
}

// scraped is a metric's labels by its name.
type scraped map[string]map[string]*labelValues

// ofPrometheus returns the labels that Prometheus gives to every metric.
func (s scraped) ofPrometheus() map[string]*labelValues {
	return map[string]*labelValues{"job": {any: true}, "instance": {any: true}}
}

// parseMetrics reads what /metrics answers.
func parseMetrics(text string) scraped {
	all := scraped{}
	for _, sample := range regexp.MustCompile(`(?m)^(\w+)(?:\{(.*)\})? `).FindAllStringSubmatch(text, -1) {
		labels := all[sample[1]]
		if labels == nil {
			labels = map[string]*labelValues{}
			all[sample[1]], all[strings.TrimSuffix(sample[1], "_bucket")] = labels, labels // a native histogram has the name alone
		}
		for _, label := range matcherPattern.FindAllStringSubmatch(sample[2], -1) {
			if labels[label[1]] == nil {
				labels[label[1]] = &labelValues{seen: map[string]bool{}}
			}
			labels[label[1]].seen[label[2]] = true
		}
	}
	return all
}

// The tests above look at every file in deploy/prometheus.
func TestPrometheusFilesAreTested(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../deploy/prometheus/*")
	if err != nil || len(files) != len(ruleTests) {
		t.Errorf("got %v, %v, want %v", files, err, ruleTests)
	}
}
