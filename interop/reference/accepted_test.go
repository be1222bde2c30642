package reference_test

import (
	"os"
	"strings"
	"testing"
)

// accepted is a difference that docs/differences.md names.
type accepted struct {
	// sentence is in docs/differences.md, but for its line breaks.
	sentence string
	// covers reports whether it explains a class of differences. It is nil for what is not
	// compared at all.
	covers func(class string) bool
}

func acceptedDifferences() []accepted {
	return []accepted{
		{"`Grpc-Metadata-*` and `Grpcgateway-*` response headers and the quota cookie are not reproduced.", nil},
		{"gRPC-Web in text mode is encoded in one piece.", nil},
		{"Browsers may read gRPC-Web's status after cross-origin calls, which v1 forgets to allow.", nil},
	}
}

// The accepted differences are those of docs/differences.md.
func TestAcceptedDifferencesAreDocumented(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("../../docs/differences.md")
	if err != nil {
		t.Fatal(err)
	}
	document := strings.Join(strings.Fields(string(content)), " ")
	for _, each := range acceptedDifferences() {
		if !strings.Contains(document, each.sentence) {
			t.Errorf("docs/differences.md does not say: %s", each.sentence)
		}
	}
}

func isAccepted(class string) bool {
	for _, each := range acceptedDifferences() {
		if each.covers != nil && each.covers(class) {
			return true
		}
	}
	return false
}
