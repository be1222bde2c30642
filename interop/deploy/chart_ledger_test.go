package deploy_test

import (
	"path"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"zitadel-v1-adapter/internal/config"
)

// claimMounts are the folders of a container that are on volumes of claims.
func claimMounts(pod corev1.PodSpec, in corev1.Container) []string {
	var folders []string
	for _, mount := range in.VolumeMounts {
		if slices.ContainsFunc(pod.Volumes, func(volume corev1.Volume) bool {
			return volume.Name == mount.Name && volume.PersistentVolumeClaim != nil
		}) {
			folders = append(folders, mount.MountPath)
		}
	}
	return folders
}

// checkLedger checks that a ledger in SQLite is on a volume that the pod may write to, that no two
// pods write to it, and that the claim outlives the release.
func checkLedger(t *testing.T, objects manifests, settings config.Config) {
	t.Helper()
	deployment := objects.Deployments[0]
	pod := deployment.Spec.Template.Spec
	store, ok := strings.CutPrefix(settings.Usage.Store, "sqlite:")
	folders := claimMounts(pod, pod.Containers[0])
	if !ok {
		if len(folders)+len(objects.Claims) > 0 {
			t.Errorf("got volumes at %v, and claims %+v, want none without SQLite", folders, objects.Claims)
		}
		return
	}
	if !slices.ContainsFunc(folders, func(folder string) bool { return strings.HasSuffix(path.Dir(store), folder) }) {
		t.Errorf("got volumes at %v, want one for %s", folders, store)
	}
	if deployment.Spec.Replicas == nil || *deployment.Spec.Replicas != 1 || overlaps(deployment.Spec.Strategy) {
		t.Errorf("got %v replicas and the strategy %+v, want one pod at a time", deployment.Spec.Replicas, deployment.Spec.Strategy)
	}
	if group := pod.Containers[0].SecurityContext.RunAsGroup; group != nil && (pod.SecurityContext == nil || pod.SecurityContext.FSGroup == nil) {
		t.Errorf("got the security %+v, want a group that may write to the volume", pod.SecurityContext)
	}
	for _, claim := range objects.Claims {
		if claim.Annotations["helm.sh/resource-policy"] != "keep" || !slices.ContainsFunc(pod.Volumes, func(volume corev1.Volume) bool {
			return volume.PersistentVolumeClaim != nil && volume.PersistentVolumeClaim.ClaimName == claim.Name
		}) {
			t.Errorf("got the claim %+v, want one that is kept, and that a volume of %+v names", claim, pod.Volumes)
		}
	}
}

// overlaps tells whether a new pod may start before the old one has ended.
func overlaps(strategy appsv1.DeploymentStrategy) bool {
	rolling := strategy.RollingUpdate
	return strategy.Type != appsv1.RecreateDeploymentStrategyType && (rolling == nil || rolling.MaxSurge == nil || rolling.MaxSurge.IntValue() != 0)
}

// With persistence alone, the ledger is in a default place, on a claim of the chart's.
func TestChartPersistence(t *testing.T) {
	t.Parallel()
	objects := parse(t, template(t, "--values", chart+"/ci/sqlite-values.yaml"))
	pod := objects.Deployments[0].Spec.Template.Spec
	if folders := claimMounts(pod, pod.Containers[0]); !slices.Equal(folders, []string{"/var/lib/zitadel-v1-adapter"}) {
		t.Errorf("got volumes at %v, want one at /var/lib/zitadel-v1-adapter", folders)
	}
	if got := objects.ConfigMaps[0].Data["config.yaml"]; !strings.Contains(got, "store: sqlite:/var/lib/zitadel-v1-adapter/usage.db\n") {
		t.Errorf("got the configuration\n%s\nwant usage.store on the volume", got)
	}
	if objects.Deployments[0].Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType || *pod.SecurityContext.FSGroup != 65532 {
		t.Errorf("got the strategy %+v and the security %+v, want Recreate, and the group 65532", objects.Deployments[0].Spec.Strategy, pod.SecurityContext)
	}
	if len(objects.Claims) != 1 {
		t.Fatalf("got the claims %+v, want one", objects.Claims)
	}
	claim := objects.Claims[0].Spec
	if size := claim.Resources.Requests.Storage().String(); size != "2Gi" || *claim.StorageClassName != "fast" ||
		!slices.Equal(claim.AccessModes, []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOncePod}) {
		t.Errorf("got the claim %+v, want 2Gi of the class fast for one pod", claim)
	}
}
