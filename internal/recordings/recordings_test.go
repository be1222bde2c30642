package recordings_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"zitadel-v1-adapter/internal/recordings"
)

// The copy in testdata is identical to the recordings next to the checkout.
func TestCopyIsUpToDate(t *testing.T) {
	t.Parallel()
	for _, file := range []string{
		recordings.V1RESTMatrix, recordings.V1RESTEdges, recordings.V1GRPCWeb,
		recordings.V1GRPC, recordings.V2Calls, recordings.Fixture,
	} {
		original, err := os.ReadFile(recordings.Path(t, file))
		if err != nil {
			t.Fatal(err)
		}
		copied, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(original, copied) {
			t.Errorf("testdata/%s differs from %s", file, recordings.Path(t, file))
		}
	}
}
