package check_test

import (
	"context"
	"database/sql"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/internal/check"
	"zitadel-v1-adapter/internal/usage"
	"zitadel-v1-adapter/internal/usage/usagetest"
	"zitadel-v1-adapter/internal/wiretest"
)

// counted makes a ledger that began some days ago, and changes it by statements.
func counted(t *testing.T, path string, days int, statements ...string) {
	t.Helper()
	store, err := usage.OpenStore("sqlite:" + path)
	if err != nil {
		t.Fatal(err)
	}
	ledger, stop := usagetest.Run(t, usage.Config{Store: store, Now: func() time.Time { return time.Now().AddDate(0, 0, -days) }})
	ledger.Observe(usagetest.Call("7"))
	stop()
	if err := ledger.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}

// silent is the address of what takes connections, and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener.Addr().String()
}

// withoutTLS is the address of a PostgreSQL that has no TLS.
func withoutTLS(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if _, err := io.ReadFull(conn, make([]byte, 8)); err == nil { // the request for TLS
				_, _ = io.WriteString(conn, "N")
			}
			_ = conn.Close()
		}
	}()
	return listener.Addr().String()
}

// The ledger's database is looked at as an adapter would use it, and nothing is made or changed.
// interop/usage has more of PostgreSQL.
func TestLedgerIsExamined(t *testing.T) {
	t.Parallel()
	write := func(t *testing.T, path, content string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		address string // with $DIR, a folder of its own, which holds usage.db as prepare makes it
		prepare func(t *testing.T, dir string)
		status  check.Status
		texts   []string
	}{
		"none":          {"", nil, check.Skipped, []string{"in memory", "set usage.store"}},
		"not there yet": {"sqlite:$DIR/usage.db", nil, check.OK, []string{"SQLite: not there yet, and can be made"}},
		"counts": {"sqlite:$DIR/usage.db", func(t *testing.T, dir string) {
			t.Helper()
			counted(t, dir+"/usage.db", 40)
		}, check.OK, []string{"SQLite: can be written; counts since 20", "for 40 days"}},
		"began today": {"sqlite:$DIR/usage.db", func(t *testing.T, dir string) {
			t.Helper()
			counted(t, dir+"/usage.db", 0)
		}, check.OK, []string{"for 0 days"}},
		"an empty file": {"sqlite:$DIR/usage.db", func(t *testing.T, dir string) {
			t.Helper()
			write(t, dir+"/usage.db", "", 0o600)
		}, check.OK, []string{"no tables yet, and they can be made"}},
		"tables without rows": {"sqlite:$DIR/usage.db", func(t *testing.T, dir string) {
			t.Helper()
			counted(t, dir+"/usage.db", 0, "DELETE FROM coverage")
		}, check.OK, []string{"nothing is counted yet"}},
		"tables of an older version": {"sqlite:$DIR/usage.db", func(t *testing.T, dir string) {
			t.Helper()
			counted(t, dir+"/usage.db", 0, "DELETE FROM versions WHERE version > 1")
		}, check.OK, []string{"of an older version"}},
		"tables of a newer version": {"sqlite:$DIR/usage.db", func(t *testing.T, dir string) {
			t.Helper()
			counted(t, dir+"/usage.db", 0, "INSERT INTO versions VALUES (99)")
		}, check.Failed, []string{"usage.store: the tables have version 99", "run its version"}},
		"no SQLite": {"sqlite:$DIR/usage.db", func(t *testing.T, dir string) {
			t.Helper()
			write(t, dir+"/usage.db", strings.Repeat("hello ", 1000), 0o600)
		}, check.Failed, []string{"not a database", "this file is something else"}},
		"a missing folder": {"sqlite:$DIR/nowhere/usage.db", nil, check.Failed, []string{`nowhere" is missing`, "make it, for the user who runs the adapter"}},
		"a folder":         {"sqlite:$DIR", nil, check.Failed, []string{`" is not a file`, "/usage.db"}},
		"below a file": {"sqlite:$DIR/usage.db/usage.db", func(t *testing.T, dir string) {
			t.Helper()
			write(t, dir+"/usage.db", "", 0o600)
		}, check.Failed, []string{"not a directory"}},
		"a file that may not be written": {"sqlite:$DIR/usage.db", func(t *testing.T, dir string) {
			t.Helper()
			write(t, dir+"/usage.db", "", 0o400)
		}, check.Failed, []string{"permission denied", "run check as that user"}},
		"a folder that may not be written": {"sqlite:$DIR/usage.db", func(t *testing.T, dir string) {
			t.Helper()
			if err := os.Chmod(dir, 0o500); err != nil {
				t.Fatal(err)
			}
		}, check.Failed, []string{"permission denied", "run check as that user"}},
		"nobody listens": {"postgres://v1adapter:s3cret@" + wiretest.RefusingAddress(t) + "/zitadel", nil, check.Failed, []string{"connection refused", "right port"}},
		"no such name":   {"postgres://v1adapter:s3cret@nowhere.invalid/zitadel", nil, check.Failed, []string{"nowhere.invalid", "its address"}},
		"silence":        {"postgres://v1adapter:s3cret@" + silent(t) + "/zitadel?connect_timeout=1&sslmode=disable", nil, check.Failed, []string{"does a firewall or network policy"}},
		"no TLS there":   {"postgres://v1adapter:s3cret@" + withoutTLS(t) + "/zitadel?sslmode=require", nil, check.Failed, []string{"refused TLS", "does sslmode"}},
		"no path":        {"sqlite:", nil, check.Failed, []string{`use "sqlite:" and a path`}},
		"no address":     {"mysql://v1adapter:s3cret@db/zitadel", nil, check.Failed, []string{`use "sqlite:" and a path`}},
	} {
		if os.Getuid() == 0 && strings.HasSuffix(name, "may not be written") {
			continue // root may; .ci/systemd tries it as another user
		}
		dir := t.TempDir()
		if test.prepare != nil {
			test.prepare(t, dir)
		}
		before, _ := filepath.Glob(dir + "/*")
		results := run(t, at(t, zitadel(t)), func(c *check.Config) {
			c.Settings.Usage.Store = strings.ReplaceAll(test.address, "$DIR", dir)
		})
		expect(t, results, ledger, test.status, test.texts...)
		expect(t, results, "native v1", check.OK)
		if strings.Contains(results[ledger].Detail+results[ledger].Hint, "s3cret") {
			t.Errorf("%s: the password is in %+v", name, results[ledger])
		}
		if after, _ := filepath.Glob(dir + "/*"); strings.Join(after, " ") != strings.Join(before, " ") {
			t.Errorf("%s: got the files %q, want %q as before", name, after, before)
		}
	}
}

const ledger = "the ledger of who calls v1"

// The address may be in a file, and the key that names it is what is named.
func TestLedgerInFileIsExamined(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for content, want := range map[string]struct {
		status check.Status
		text   string
	}{
		"sqlite:" + dir + "/usage.db\n": {check.OK, "not there yet"},
		"mysql:s3cret":                  {check.Failed, `usage.storeFile: use "sqlite:" and a path`},
		"\n":                            {check.Failed, `is empty`},
	} {
		file := wiretest.WriteFile(t, dir, "store", []byte(content))
		results := run(t, at(t, zitadel(t)), func(c *check.Config) { c.Settings.Usage.StoreFile = file })
		expect(t, results, ledger, want.status, want.text)
		if strings.Contains(results[ledger].Detail, "s3cret") {
			t.Errorf("what is in the file is in %+v", results[ledger])
		}
	}
}

// ZITADEL's failure does not hide the ledger's.
func TestLedgerIsExaminedWithoutZITADEL(t *testing.T) {
	t.Parallel()
	results := run(t, at(t, behind(t, "A: b", 200, "hello")), func(c *check.Config) { c.Settings.Usage.Store = "sqlite:/nowhere/usage.db" })
	expect(t, results, "all else of ZITADEL", check.Skipped)
	expect(t, results, ledger, check.Failed, "is missing")
}
