package wiretest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// RunWithProgram builds the adapter from the module in root with flags of go build, sets
// *program to its path, runs the tests and returns their exit code. It is for a TestMain.
func RunWithProgram(m *testing.M, program *string, root string, flags ...string) int {
	dir, err := os.MkdirTemp("", "zitadel-v1-adapter")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	*program = filepath.Join(dir, "zitadel-v1-adapter")
	args := append([]string{"build", "-C", root, "-o", *program}, flags...)
	out, err := exec.CommandContext(context.Background(), "go", append(args, "./cmd/zitadel-v1-adapter")...).CombinedOutput() //nolint:gosec // the tests' own arguments
	if err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	return m.Run()
}
