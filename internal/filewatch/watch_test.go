package filewatch_test

import (
	"os"
	"path/filepath"
	"testing"

	"zitadel-v1-adapter/internal/filewatch"
)

// Files written over, replaced, removed, and swapped as Kubernetes does it.
func TestChanged(t *testing.T) {
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
	step := func(what string, want bool) {
		t.Helper()
		if got := files.Changed(paths); got != want {
			t.Errorf("%s: %v", what, got)
		}
	}
	step("first look", true)
	step("nothing", false)
	must(os.WriteFile(plain, []byte("b"), 0o600))
	step("written over", true)
	must(os.WriteFile(plain, []byte("b"), 0o600))
	step("written over with the same", false)
	must(os.Symlink("..2", filepath.Join(dir, "..data_tmp")))
	must(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	step("link swapped", true)
	must(os.Remove(plain))
	step("removed", true)
	step("still gone", false)
	paths = paths[:1]
	step("other files", true)
}
