// Package image_test builds the image by the Dockerfile with Debian's buildah, for both
// platforms, and runs it as a container with runc. It needs root.
package image_test

import (
	"archive/tar"
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const (
	version = "v1.2.3" // that the labels are to tell
	// maxCompressed is how much a node may have to pull.
	maxCompressed = 15_000_000
)

// The image for each platform has what the Dockerfile says, and nothing else; the one for
// this machine runs.
func TestImage(t *testing.T) { //nolint:paralleltest // it uses both cores anyway
	s := newStore(t)
	for _, arch := range []string{"amd64", "arm64"} {
		image := s.build(t, arch)
		files := filesOf(t, image)
		t.Run(arch+" configuration", func(t *testing.T) { t.Parallel(); checkConfig(t, image, arch) })
		t.Run(arch+" files", func(t *testing.T) { t.Parallel(); checkFiles(t, files) })
		t.Run(arch+" program", func(t *testing.T) { t.Parallel(); checkProgram(t, files["zitadel-v1-adapter"].content, arch) })
		t.Run(arch+" size", func(t *testing.T) { t.Parallel(); checkSize(t, image) })
		if arch == runtime.GOARCH {
			t.Run("container", func(t *testing.T) { t.Parallel(); checkContainer(t, image, files) })
		}
	}
}

// checkConfig checks what a container of the image runs, as whom, and where.
func checkConfig(t *testing.T, image v1.Image, arch string) {
	t.Helper()
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config := file.Config
	for what, gotAndWant := range map[string][2]string{
		"platform":     {file.OS + "/" + file.Architecture, "linux/" + arch},
		"user":         {config.User, "65532:65532"},
		"entrypoint":   {fmt.Sprint(config.Entrypoint, config.Cmd), "[/zitadel-v1-adapter] []"},
		"health check": {fmt.Sprint(config.Healthcheck.Test), "[CMD /zitadel-v1-adapter health]"},
		"ports":        {fmt.Sprint(config.ExposedPorts), "map[8080/tcp:{} 9090/tcp:{}]"},
		"title":        {config.Labels["org.opencontainers.image.title"], "zitadel-v1-adapter"},
		"version":      {config.Labels["org.opencontainers.image.version"], version},
		"revision":     {config.Labels["org.opencontainers.image.revision"], head(t)},
		"licenses":     {config.Labels["org.opencontainers.image.licenses"], "Apache-2.0"},
	} {
		if gotAndWant[0] != gotAndWant[1] {
			t.Errorf("%s: got %s, want %s", what, gotAndWant[0], gotAndWant[1])
		}
	}
	for _, variable := range []string{"V1ADAPTER_SERVER_LISTEN=:8080", "V1ADAPTER_ADMIN_LISTEN=:9090"} {
		if !slices.Contains(config.Env, variable) {
			t.Errorf("environment: got %q, want %s in it", config.Env, variable)
		}
	}
}

// checkFiles checks that there are the program and the CAs, and that nobody but root may
// write to any of it.
func checkFiles(t *testing.T, files map[string]file) {
	t.Helper()
	var regular []string
	for name, file := range files {
		if file.header.Typeflag == tar.TypeReg {
			regular = append(regular, name)
		}
		if file.header.Uid != 0 || file.header.Mode&0o022 != 0 {
			t.Errorf("%s: got owner %d and mode %o, want root, and no write by others", name, file.header.Uid, file.header.Mode)
		}
	}
	slices.Sort(regular)
	if want := []string{"etc/ssl/certs/ca-certificates.crt", "zitadel-v1-adapter"}; !slices.Equal(regular, want) {
		t.Errorf("got files %q, want %q", regular, want)
	}
}

// checkProgram checks that the program is static, for that processor, and knows the commit
// that it was built from.
func checkProgram(t *testing.T, program []byte, arch string) {
	t.Helper()
	binary, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]; binary.Machine != want {
		t.Errorf("got a program for %v, want %v", binary.Machine, want)
	}
	if libraries, err := binary.ImportedLibraries(); len(libraries) > 0 || err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		t.Errorf("got libraries %q, %v, want a static program", libraries, err)
	}
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for _, setting := range info.Settings {
		settings[setting.Key] = setting.Value
	}
	if got, want := settings["vcs.revision"], head(t); got != want {
		t.Errorf("got commit %q, want %q", got, want)
	}
	t.Logf("version %s, commit %s of %s", info.Main.Version, settings["vcs.revision"], settings["vcs.time"])
}

func checkSize(t *testing.T, image v1.Image) {
	t.Helper()
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var compressed int64
	for _, layer := range layers {
		size, err := layer.Size()
		if err != nil {
			t.Fatal(err)
		}
		compressed += size
	}
	t.Logf("%d layers, %.1f MB compressed", len(layers), float64(compressed)/1e6)
	if compressed > maxCompressed {
		t.Errorf("got %d bytes compressed, want %d at most", compressed, maxCompressed)
	}
}

// file is one of an image's.
type file struct {
	header  *tar.Header
	content []byte
}

// filesOf unpacks an image.
func filesOf(t *testing.T, image v1.Image) map[string]file {
	t.Helper()
	stream := mutate.Extract(image)
	defer func() { _ = stream.Close() }()
	files := map[string]file{}
	for archive := tar.NewReader(stream); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.Trim(header.Name, "/")] = file{header, content}
	}
}

// store is where buildah keeps images.
type store struct{ dir string }

// newStore makes a store with the image that the Dockerfile begins with. No registry is asked
// for that: it is this machine's Go and shell, mounted when it runs.
func newStore(t *testing.T) store {
	t.Helper()
	s := store{dir: t.TempDir()}
	base := filepath.Join(s.dir, "base")
	for _, folder := range []string{"etc/ssl/certs", "tmp"} {
		if err := os.MkdirAll(filepath.Join(base, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	authorities, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	if err != nil {
		t.Fatal(err)
	}
	containerfile := "FROM scratch\nCOPY . /\nENV PATH=/usr/local/go/bin:/usr/bin GOFLAGS= GOMODCACHE=/modules GOCACHE=/cache GOPROXY=" + goEnv(t, "GOPROXY") + "\n"
	for name, content := range map[string][]byte{"etc/ssl/certs/ca-certificates.crt": authorities, "Dockerfile": []byte(containerfile)} {
		if err := os.WriteFile(filepath.Join(base, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range []string{"bin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+link, filepath.Join(base, link)); err != nil {
			t.Fatal(err)
		}
	}
	s.buildah(t, "build", "--tag", "docker.io/library/golang:1.26-bookworm", base)
	return s
}

// build builds the image for a processor.
func (s store) build(t *testing.T, arch string) v1.Image {
	t.Helper()
	archive := filepath.Join(s.dir, arch+".tar")
	s.buildah(t, "build", "--format", "docker", "--pull-never", "--tag", "localhost/adapter:"+arch,
		"--platform", "linux/"+arch, "--build-arg", "BUILDPLATFORM=linux/"+runtime.GOARCH, // which docker sets by itself
		"--build-arg", "VERSION="+version, "--build-arg", "REVISION="+head(t),
		"--volume", "/usr:/usr:ro", "--volume", goEnv(t, "GOMODCACHE")+":/modules", "--volume", goEnv(t, "GOCACHE")+":/cache",
		"../..")
	s.buildah(t, "push", "localhost/adapter:"+arch, "docker-archive:"+archive)
	image, err := tarball.ImageFromPath(archive, nil)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func (s store) buildah(t *testing.T, arguments ...string) {
	t.Helper()
	run(t, "buildah", append([]string{"--root", filepath.Join(s.dir, "root"), "--runroot", filepath.Join(s.dir, "run"), "--storage-driver", "vfs"}, arguments...)...)
}

// run runs a program and returns what it printed.
func run(t *testing.T, program string, arguments ...string) string {
	t.Helper()
	command := exec.Command(program, arguments...)
	command.Env = append(os.Environ(), "BUILDAH_ISOLATION=chroot") // enough for a build, in a container too
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s(this test needs root, buildah and runc)", program, strings.Join(arguments, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	return run(t, "go", "env", name)
}

// head is the commit that is checked out.
func head(t *testing.T) string {
	t.Helper()
	return run(t, "git", "rev-parse", "HEAD")
}
