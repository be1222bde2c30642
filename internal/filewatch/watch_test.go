package filewatch_test

import (
	"os"
	"path/filepath"
	"testing"

	"zitadel-v1-adapter/internal/filewatch"
)

// Changed notices files that are overwritten, removed, or replaced by swapping a symbolic
// link, which is how Kubernetes updates mounted files.
func TestChangedComparesContent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	plain, linked := filepath.Join(dir, "plain"), filepath.Join(dir, "linked")
	for _, version := range []string{"..1", "..2"} {
		must(os.Mkdir(filepath.Join(dir, version), 0o700))
		must(os.WriteFile(filepath.Join(dir, version, "linked"), []byte(version), 0o600))
	}
	must(os.WriteFile(plain, []byte("a"), 0o600))
	must(os.Symlink("..1", filepath.Join(dir, "..data")))
	must(os.Symlink("..data/linked", linked))

	var files filewatch.Files
	paths := []string{plain, linked}
	check := func(what string, want bool) {
		t.Helper()
		if got := files.Changed(paths); got != want {
			t.Errorf("%s: got %v, want %v", what, got, want)
		}
	}
	check("first call", true)
	check("nothing changed", false)
	must(os.WriteFile(plain, []byte("b"), 0o600))
	check("overwritten", true)
	must(os.WriteFile(plain, []byte("b"), 0o600))
	check("overwritten with the same content", false)
	must(os.Symlink("..2", filepath.Join(dir, "..data_tmp")))
	must(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	check("link swapped", true)
	must(os.Remove(plain))
	check("removed", true)
	check("still missing", false)
	paths = paths[:1]
	check("other files", true)
}
