package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/compare"
	"zitadel-v1-adapter/internal/wiretest"
)

// unlike is the one call that the adapter answers otherwise than the recordings, see
// package compare's tests.
const unlike = "message that is none"

// The command in front of a ZITADEL that has v1, which the demo has not.
func TestCompareWithNativeV1(t *testing.T) {
	t.Parallel()
	fixture := wiretest.Fixture(t)
	_, port, _ := strings.Cut(wiretest.Listen(t, wiretest.NewNativeV1(t, fixture, wiretest.NewZITADEL(t, fixture))), ":")
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("pat-org-owner-a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, flags := range map[string][]string{"table": nil, "JSON": {"--json"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var stdout, stderr bytes.Buffer
			code := run(append([]string{
				"compare", "--upstream-url", "http://localhost:" + port, "--token-file", file,
				"--user", "400850336480234534", "--other-user", "400850336731892774",
			}, flags...), nil, &stdout, &stderr)
			all := stdout.String() + stderr.String()
			for _, want := range []string{"100 calls go to http://localhost:" + port + ", and the same to an adapter made for this", "user that does not exist", "Password not found (COMMAND-G8dh3)", "known"} {
				if !strings.Contains(all, want) {
					t.Errorf("%q is not in\n%s", want, all)
				}
			}
			if strings.Contains(all, "pat-org-owner-a") {
				t.Errorf("the token is in\n%s", all)
			}
			differing := 0
			for _, line := range differingLines(t, stdout.String(), name == "JSON") {
				differing++
				if !strings.Contains(line, unlike) {
					t.Errorf("got %s", line)
				}
			}
			if (code == exitFailed) != (differing > 0) {
				t.Errorf("exit code: got %d with %d differences", code, differing)
			}
		})
	}
}

// differingLines are the rows that differ.
func differingLines(t *testing.T, output string, isJSON bool) []string {
	t.Helper()
	var found []string
	if !isJSON {
		for line := range strings.Lines(output) {
			if strings.HasPrefix(line, "differs") {
				found = append(found, line)
			}
		}
		return found
	}
	var rows []struct {
		Status compare.Status `json:"status"`
		Call   string         `json:"call"`
	}
	if err := json.Unmarshal([]byte(output), &rows); err != nil {
		t.Fatalf("%v in %s", err, output)
	}
	for _, row := range rows {
		if row.Status == compare.Differs {
			found = append(found, row.Call)
		}
	}
	return found
}
