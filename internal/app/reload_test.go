package app

import (
	"os"
	"path/filepath"
	"testing"

	"zitadel-v1-adapter/internal/config"
)

// A file that is written while it is read is read again.
func TestFileWrittenWhileLoadingIsAChange(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "c.yaml")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("half a")
	changes, _, err := NewChanges(file, func() (config.Config, error) {
		write("half a file")
		return config.Default(), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !changes.configFileChanged() {
		t.Error("what was written while it was read is never looked at")
	}
	if changes.configFileChanged() {
		t.Error("it is looked at again and again")
	}
}
