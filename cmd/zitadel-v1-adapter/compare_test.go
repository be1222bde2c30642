package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/wiretest"
	"zitadel-v1-adapter/v2client/v2test"
)

// The command in front of a ZITADEL of each release that has v1, which the demo has not: nothing
// differs, and the exit code is 0.
func TestCompareWithNativeV1(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("pat-org-owner-a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, release := range v2test.Releases() {
		native, _ := wiretest.NewNativeV1Of(t, wiretest.Fixture(t), release)
		_, port, _ := strings.Cut(wiretest.Listen(t, native), ":")
		for name, flags := range map[string][]string{"table": nil, "JSON": {"--json"}} {
			t.Run(string(release)+" "+name, func(t *testing.T) {
				t.Parallel()
				var stdout, stderr bytes.Buffer
				code := run(append([]string{
					"compare", "--upstream-url", "http://localhost:" + port, "--token-file", file,
					"--user", "400850336480234534", "--other-user", "400850336731892774",
				}, flags...), os.Environ(), &stdout, &stderr)
				all := stdout.String() + stderr.String()
				for _, want := range []string{"100 calls go to http://localhost:" + port + ", and the same to an adapter made for this", "user that does not exist", "Password not found (COMMAND-G8dh3)", "known"} {
					if !strings.Contains(all, want) {
						t.Errorf("%q is not in\n%s", want, all)
					}
				}
				if strings.Contains(all, "pat-org-owner-a") {
					t.Errorf("the token is in\n%s", all)
				}
				if code != exitOK || strings.Contains(all, "differs") {
					t.Errorf("got exit code %d, want %d and nothing that differs:\n%s", code, exitOK, all)
				}
			})
		}
	}
}
