package wiretest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// RunWithProgram builds the adapter from the module in root, sets *program to its path, runs the
// tests and returns their exit code. It is for a TestMain. The race detector is not in it: SQLite,
// which is Go here, would take forty times as long.
func RunWithProgram(m *testing.M, program *string, root string) int {
	dir, err := os.MkdirTemp("", "zitadel-v1-adapter")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	*program = filepath.Join(dir, "zitadel-v1-adapter")
	build := exec.CommandContext(context.Background(), "go", "build", "-C", root, "-o", *program, "./cmd/zitadel-v1-adapter") //nolint:gosec // the tests' own arguments
	out, err := build.CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	return m.Run()
}
