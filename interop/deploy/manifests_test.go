package deploy_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/wiretest"
)

// The plain manifests in deploy/kubernetes are what the charts render. With -update, they are
// made to.
func TestChartRendersPlainManifests(t *testing.T) {
	t.Parallel()
	gatewayValues := chart + "/ci/gateway-values.yaml"
	wantFile(t, "../../deploy/kubernetes/gateway.yaml", plain(t, gatewayValues, template(t, "--values", gatewayValues)))

	charts := t.TempDir()
	if err := os.CopyFS(charts, os.DirFS("../../deploy/helm")); err != nil {
		t.Fatal(err)
	}
	legacyApp := filepath.Join(charts, "legacy-app")
	for _, args := range [][]string{{"dependency", "build", legacyApp}, {"lint", "--strict", legacyApp}} {
		if out, err := helm(t, args...); err != nil {
			t.Fatalf("helm %s: %s%v", args[0], out, err)
		}
	}
	rendered, err := helm(t, "template", "legacy-app", legacyApp)
	if err != nil {
		t.Fatal(err)
	}
	wantFile(t, "../../deploy/kubernetes/sidecar.yaml", plain(t, legacyApp+"/values.yaml", rendered))
}

// The values in the chart's README.md, for a gateway and for TLS, are what the chart takes.
func TestChartDocumentsValues(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(chart + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var args []string
	for _, block := range regexp.MustCompile("(?s)```yaml\n(# values.yaml.*?)```").FindAllStringSubmatch(string(content), -1) {
		if !strings.Contains(block[1], "mode: sidecar") {
			args = append(args, "--values", wiretest.WriteFile(t, t.TempDir(), "values.yaml", []byte(block[1])))
		}
	}
	if objects := parse(t, template(t, args...)); len(args) != 4 || len(objects.Routes) != 1 || len(objects.TLSPolicies) != 1 {
		t.Errorf("got %d values and %+v, want a route and a policy for TLS", len(args)/2, objects)
	}
}

// What names the places where releases are found has those of .ci/addresses, to which the release
// workflow pushes.
func TestReleaseAddresses(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("../../.ci/addresses").Output()
	if err != nil {
		t.Fatal(err)
	}
	var repository, image string
	if _, err := fmt.Sscanf(string(out), "REPOSITORY=%s\nIMAGE=%s\n", &repository, &image); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	for file, want := range map[string]string{
		"Dockerfile":      repository,
		"README.md":       repository + "/releases",
		"docs/install.md": "oci://" + image + "/charts/zitadel-v1-adapter",
		"deploy/helm/zitadel-v1-adapter/Chart.yaml":       "home: " + repository,
		"deploy/helm/zitadel-v1-adapter/files/rules.yaml": repository + "/blob/main/docs/operations.md",
		"deploy/helm/zitadel-v1-adapter/values.yaml":      "repository: " + image + "\n",
		"deploy/kubernetes/sidecar.yaml":                  "image: " + image + ":",
	} {
		if content, err := os.ReadFile("../../" + file); err != nil || !strings.Contains(string(content), want) {
			t.Errorf("%s does not have %q: %v", file, want, err)
		}
	}
}

// plain is what helm has rendered without what is only helm's, below the comment with which
// the file with the values begins.
func plain(t *testing.T, values, rendered string) string {
	t.Helper()
	content, err := os.ReadFile(values)
	if err != nil {
		t.Fatal(err)
	}
	head := regexp.MustCompile(`^(#.*\n)+`).FindString(string(content))
	if head == "" {
		t.Errorf("%s does not begin with a comment", values)
	}
	rendered = regexp.MustCompile(`(?m)^(# Source:| +helm\.sh/chart:| +app\.kubernetes\.io/managed-by:).*\n`).ReplaceAllString(rendered, "")
	return head + strings.ReplaceAll(strings.TrimPrefix(rendered, "---\n"), "\n\n---\n", "\n---\n")
}
