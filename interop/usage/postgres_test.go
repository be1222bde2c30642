// Package usage_test keeps the ledger in a real PostgreSQL, that of Debian's package
// postgresql.
package usage_test

import (
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"zitadel-v1-adapter/internal/usage/usagetest"
	"zitadel-v1-adapter/internal/wiretest"
)

// server is a PostgreSQL, with a folder of its own.
type server struct {
	dir, bin, address string
	as                *syscall.Credential // nil: the user who tests
	running           *exec.Cmd
}

const superuser = "postgres"

// newServer makes a server and starts it.
func newServer(t *testing.T) *server {
	t.Helper()
	installed, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(installed) == 0 {
		t.Fatal("PostgreSQL is not installed: apt-get install postgresql")
	}
	dir, err := os.MkdirTemp("", "postgres") //nolint:usetesting // of a short name, for its socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &server{dir: dir, bin: installed[len(installed)-1]}
	if os.Getuid() == 0 { // which PostgreSQL refuses
		account, err := user.Lookup(superuser)
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.ParseUint(account.Uid, 10, 32)
		gid, _ := strconv.ParseUint(account.Gid, 10, 32)
		s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			t.Fatal(err)
		}
	}
	s.address = wiretest.FreeAddress(t)
	if out, err := s.command("initdb", "-D", dir+"/data", "-A", "trust", "-U", superuser, "-E", "UTF8", "--no-sync").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	s.start(t)
	t.Cleanup(func() { s.stop(t) })
	return s
}

func (s *server) command(name string, args ...string) *exec.Cmd {
	command := exec.Command(filepath.Join(s.bin, name), args...)
	command.Dir = s.dir
	command.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	return command
}

func (s *server) start(t *testing.T) {
	t.Helper()
	_, port, _ := strings.Cut(s.address, ":")
	s.running = s.command("postgres", "-D", s.dir+"/data", "-p", port, "-c", "listen_addresses=127.0.0.1", "-k", s.dir, "-c", "fsync=off")
	if err := s.running.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if s.command("pg_isready", "-h", "127.0.0.1", "-p", port).Run() == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("PostgreSQL does not start")
		}
	}
}

// stop ends the server, and with it all connections.
func (s *server) stop(t *testing.T) {
	t.Helper()
	if s.running == nil {
		return
	}
	_ = s.running.Process.Signal(syscall.SIGINT) // "fast shutdown"
	if err := s.running.Wait(); err != nil {
		t.Errorf("PostgreSQL ended with %v", err)
	}
	s.running = nil
}

// url is that of a database, as a user.
func (s *server) url(user, database string) string {
	return "postgres://" + user + "@" + s.address + "/" + database + "?sslmode=disable"
}

// run runs statements in a database.
func (s *server) run(t *testing.T, database string, statements ...string) {
	t.Helper()
	db, err := sql.Open("pgx", s.url(superuser, database))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

var databases atomic.Int64

// fresh is a new database's address.
func (s *server) fresh(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("fresh%d", databases.Add(1))
	s.run(t, superuser, "CREATE DATABASE "+name)
	return s.url(superuser, name)
}

// PostgreSQL keeps what it is given, in a schema of the adapter's own.
func TestPostgreSQLKeepsLedger(t *testing.T) {
	s := newServer(t)
	t.Run("", func(t *testing.T) { usagetest.TestStore(t, s.fresh) })
	s.run(t, "fresh1", "SELECT count(*) FROM zitadel_v1_adapter.versions")
}

// A role that may do nothing but use its schema is enough; docs/operations.md has the
// statements.
func TestRoleNeedsItsSchemaAlone(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	document, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(document), "```sql\n")
	statements, _, ends := strings.Cut(after, "```\n")
	if !found || !ends {
		t.Fatal("docs/operations.md has no statements for PostgreSQL")
	}
	s.run(t, superuser, "CREATE DATABASE zitadel", "REVOKE ALL ON DATABASE zitadel FROM PUBLIC")
	for statement := range strings.SplitSeq(strings.TrimSpace(statements), ";\n") {
		s.run(t, "zitadel", strings.TrimSuffix(statement, ";"))
	}
	ledger, stop := usagetest.Start(t, s.url("v1adapter", "zitadel"))
	ledger.Observe(usagetest.Call("7"))
	stop()
	if rows := usagetest.Rows(t, s.url("v1adapter", "zitadel")); len(rows) != 1 {
		t.Errorf("got %+v, want a row", rows)
	}
}

func checkTotal(t *testing.T, address string, want int64) {
	t.Helper()
	var got int64
	for _, row := range usagetest.Rows(t, address) {
		got += row.Calls
	}
	if got != want {
		t.Errorf("got %d calls in the store, want %d", got, want)
	}
	t.Logf("%d calls", got)
}

// Connections that break at any byte, also between a commit and its answer, count no call
// twice and lose none.
func TestBrokenConnectionsCountOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	address := s.fresh(t)
	usagetest.Rows(t, address) // makes the tables
	var cuts atomic.Int64
	through, mend := cutting(t, s.address, &cuts)
	ledger, stop := usagetest.Start(t, strings.Replace(address, s.address, through, 1))
	const rounds, callers = 600, 1000 // as many as are written at once
	for range rounds {
		for i := range callers {
			ledger.Observe(usagetest.Call(strconv.Itoa(i)))
		}
		time.Sleep(20 * time.Millisecond)
	}
	mend()
	stop()
	checkTotal(t, address, rounds*callers)
	if cuts.Load() < 3 {
		t.Errorf("connections cut: got %d, want more", cuts.Load())
	}
	t.Logf("%d connections cut", cuts.Load())
}

// cutting is the address of a proxy to another one, which cuts connections after a random
// number of bytes, until it is mended.
func cutting(t *testing.T, to string, cuts *atomic.Int64) (address string, mend func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	var mended atomic.Bool
	pass := func(client net.Conn) {
		defer func() { _ = client.Close() }()
		server, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer func() { _ = server.Close() }()
		const most = 100 << 10 // about twice a batch
		left := rand.Int64N(most)
		if mended.Load() {
			left = 1 << 40
		}
		go func() { // what the client sends, until it is cut: the server may still answer a little
			if n, _ := io.CopyN(server, client, left); n == left {
				cuts.Add(1)
			}
			_ = client.Close()
			_ = server.Close()
		}()
		_, _ = io.Copy(client, server)
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go pass(client)
		}
	}()
	return listener.Addr().String(), func() { mended.Store(true) }
}
