package app

import (
	"io"
	"os"
	"path/filepath"
	"slices"
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

// What needs a restart stays as it is in use, and is named; the rest is taken over.
func TestKeepUntilRestart(t *testing.T) {
	t.Parallel()
	loaded := config.Default()
	loaded.Usage.Store, loaded.Usage.Retention, loaded.Usage.Identify, loaded.Usage.Names = "sqlite:/another", 0, false, false
	loaded.Usage.StoreFile = "/another"
	loaded.Admin.Listen, loaded.Limits.HeaderBytes = "127.0.0.1:1", 1<<20
	running, err := newApp(Config{Settings: config.Default(), Stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	running.core.Store(&core{settings: config.Default()})
	kept := running.keepUntilRestart(loaded)
	if got, want := config.Changes(config.Default(), kept), []string{"usage.identify"}; !slices.Equal(got, want) {
		t.Errorf("taken over: got %v, want %v", got, want)
	}
	if got, want := config.Changes(kept, loaded), []string{"admin.listen", "usage.store", "usage.storeFile", "usage.retention", "usage.names", "limits.headerBytes"}; !slices.Equal(got, want) {
		t.Errorf("named: got %v, want %v", got, want)
	}
}
