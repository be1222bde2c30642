package usage_test

import (
	"path/filepath"
	"strings"
	"testing"

	"zitadel-v1-adapter/internal/usage"
	"zitadel-v1-adapter/internal/usage/usagetest"
)

// A file of SQLite keeps what it is given. package interop/usage does the same to a real
// PostgreSQL.
func TestSQLiteKeepsLedger(t *testing.T) {
	t.Parallel()
	usagetest.TestStore(t, func(t *testing.T) string {
		t.Helper()
		return "sqlite:" + filepath.Join(t.TempDir(), "usage #1.db")
	})
}

// An address that leads nowhere is a mistake, which never repeats it: it may hold a password.
func TestStoreAddresses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"usage.db": "use \"sqlite:\" and a path", "sqlite:": "use \"sqlite:\" and a path", "mysql://u:s3cret@h/d": "use \"sqlite:\" and a path",
		"postgres://u:s3cret@h:port/d": "not a URL of PostgreSQL", "postgres://u:s3cret@h/d?sslmode=s3cret": "not a URL of PostgreSQL",
	} {
		_, err := usage.OpenStore(address)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: got %v, want %q without the password", address, err, want)
		}
	}
}
