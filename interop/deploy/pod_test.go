package deploy_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/wiretest"
)

// mountedUnder is the folder of everything that the chart mounts.
const mountedUnder = "/etc/zitadel-v1-adapter"

// clusterSecrets are the Secrets that the chart's value sets name, by name and key.
func clusterSecrets(t *testing.T) map[string]map[string]string {
	t.Helper()
	ca := wiretest.NewCA(t)
	certificate := func() map[string]string {
		certificate, key := ca.Issue(t, 1)
		return map[string]string{"tls.crt": string(certificate), "tls.key": string(key), "ca.crt": string(certificate)}
	}
	return map[string]map[string]string{
		"adapter-tls": certificate(), "adapter-admin-tls": certificate(), "zitadel-client-tls": certificate(),
		"adapter-admin": {"bearer": "secret-of-the-admin-listener"},
		"adapter-usage": {"dsn": "postgres://v1adapter:secret-of-the-database@db.example.com/zitadel"},
	}
}

// container is the adapter's container of a pod, with its volumes as files.
type container struct {
	corev1.Container

	root    string   // the folder that is the pod's /
	claims  []string // the folders of volumes that are written to
	environ []string // with paths below root
}

// adapterContainer returns that of a pod. Its files are those of the ConfigMaps and Secrets;
// what it names and is not there fails the test.
func adapterContainer(t *testing.T, pod corev1.PodSpec, configMaps []corev1.ConfigMap, secrets map[string]map[string]string) container {
	t.Helper()
	for _, each := range append(pod.InitContainers, pod.Containers...) {
		if each.Name != "zitadel-v1-adapter" {
			continue
		}
		found := container{Container: each, root: t.TempDir(), claims: claimMounts(pod, each)}
		for _, folder := range found.claims {
			if err := os.MkdirAll(found.root+folder, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for _, mount := range each.VolumeMounts {
			if slices.Contains(found.claims, mount.MountPath) {
				continue
			}
			if !mount.ReadOnly || mount.SubPath != "" || mount.SubPathExpr != "" {
				t.Errorf("got the mount %+v, want one of a whole folder, to read only: changes are not seen otherwise", mount)
			}
			found.mount(t, mount.MountPath, volumeFiles(t, pod.Volumes, mount.Name, configMaps, secrets))
		}
		for _, variable := range each.Env {
			text := variable.Value
			if from := variable.ValueFrom; from != nil {
				text = secretValue(t, secrets, from.SecretKeyRef.Name, from.SecretKeyRef.Key)
			}
			found.environ = append(found.environ, variable.Name+"="+found.path(text))
		}
		return found
	}
	t.Fatal("the pod has no container zitadel-v1-adapter")
	return container{}
}

// path is the text with the paths of mounted files as they are outside of the pod.
func (c container) path(text string) string {
	pairs := make([]string, 0, 2+2*len(c.claims))
	for _, folder := range append([]string{mountedUnder}, c.claims...) {
		pairs = append(pairs, folder, c.root+folder)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// configFile is the path in --config, with which the container's arguments begin.
func (c container) configFile(t *testing.T) string {
	t.Helper()
	if len(c.Args) < 2 || c.Args[0] != "--config" {
		t.Fatalf("got the arguments %q, want --config and a file", c.Args)
	}
	return c.path(c.Args[1])
}

// mount puts files into a folder as the kubelet does, which also replaces what is there: in a
// new folder, to which ..data leads, and a file's name leads through ..data.
func (c container) mount(t *testing.T, mountPath string, files map[string]string) {
	t.Helper()
	folder := c.root + mountPath
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	data, err := os.MkdirTemp(folder, "..2026_") //nolint:usetesting // the link leads to a folder beside it
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		wiretest.WriteFile(t, data, name, []byte(c.path(content)))
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(folder, name)); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Base(data), filepath.Join(folder, "..data_tmp")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(folder, "..data_tmp"), filepath.Join(folder, "..data")); err != nil {
		t.Fatal(err)
	}
}

// volumeFiles are the files of a volume.
func volumeFiles(t *testing.T, volumes []corev1.Volume, name string, configMaps []corev1.ConfigMap, secrets map[string]map[string]string) map[string]string {
	t.Helper()
	for _, volume := range volumes {
		if volume.Name != name {
			continue
		}
		if secret := volume.Secret; secret != nil {
			if secret.Items == nil {
				return secrets[secret.SecretName]
			}
			files := map[string]string{}
			for _, item := range secret.Items {
				files[item.Path] = secretValue(t, secrets, secret.SecretName, item.Key)
			}
			return files
		}
		for _, configMap := range configMaps {
			if configMap.Name == volume.ConfigMap.Name {
				return configMap.Data
			}
		}
		t.Fatalf("the volume %s is of the ConfigMap %s, which is not there", name, volume.ConfigMap.Name)
	}
	t.Fatalf("the pod has no volume %s", name)
	return nil
}

// secretValue is what a Secret has under a key.
func secretValue(t *testing.T, secrets map[string]map[string]string, name, key string) string {
	t.Helper()
	content, found := secrets[name][key]
	if !found {
		t.Errorf("the Secret %s or its key %s is not there", name, key)
	}
	return content
}

// settings is the container's configuration, which must be one that the adapter starts with.
func (c container) settings(t *testing.T) config.Config {
	t.Helper()
	settings, err := config.Load(c.configFile(t), c.environ, nil)
	if err != nil {
		t.Error(err)
	}
	command := exec.CommandContext(context.WithoutCancel(t.Context()), binary, append([]string{"check", "--offline", "--config", c.configFile(t)}, c.Args[2:]...)...)
	command.Env = c.environ
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("check --offline: %v\n%s", err, out)
	}
	return settings
}

// A change of the ConfigMap reaches the adapter in a pod that is there already, and changes
// nothing else, so that no pod is replaced.
func TestChartConfigMapReloads(t *testing.T) {
	t.Parallel()
	const values = chart + "/ci/gateway-values.yaml"
	before := parse(t, template(t, "--values", values))
	after := parse(t, template(t, "--values", values, "--set", "config.rollout.percent=40,config.rollout.shadow=true"))
	if !reflect.DeepEqual(before.Deployments, after.Deployments) || reflect.DeepEqual(before.ConfigMaps, after.ConfigMaps) {
		t.Error("want a change of the ConfigMap, and none of the Deployment")
	}
	in := adapterContainer(t, before.Deployments[0].Spec.Template.Spec, before.ConfigMaps, nil)
	adapter := start(t, append(in.environ, "V1ADAPTER_SERVER_SHUTDOWNDELAY=0s"), []string{"--config", in.configFile(t)})
	in.mount(t, filepath.Dir(in.Args[1]), after.ConfigMaps[0].Data)
	awaitMetrics(t, adapter, `v1adapter_config_reloads_total{result="ok"} 1`)
}
