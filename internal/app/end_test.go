package app_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"zitadel-v1-adapter/internal/app"
	"zitadel-v1-adapter/internal/config"
	"zitadel-v1-adapter/internal/wiretest"
)

// A PostgreSQL lets the adapter in and is silent from then on. The adapter ends within the three
// seconds that all has which comes after the last call, and says what is lost. It once took
// twenty more.
func TestSilentPostgreSQLDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	const most = 3*time.Second + 12*time.Second // for a machine that is busy
	settings := config.Default()
	settings.Server.Listen, settings.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
	settings.Upstream.URL, settings.Passthrough.Enabled = "http://127.0.0.1:1", false
	address, asked := silentPostgreSQL(t)
	settings.Usage.Store = "postgres://v1adapter:s3cret@" + address + "/zitadel?sslmode=disable"
	var log wiretest.Buffer
	running, err := app.Start(t.Context(), app.Config{Settings: settings, Stderr: &log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- running.Run(ctx, new(app.Changes)) }()
	response, err := http.Post("http://"+running.Addr().String()+"/management/v1/users/1/password/_initialize", "application/json", strings.NewReader(`{"password":"Sup3rPassw0rd!"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	<-asked // for the key of callers, at the start
	<-asked // for what the ledger has: it is being written
	signaled := time.Now()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if took := time.Since(signaled); took > most {
		t.Errorf("ended after %v, want at most %v", took, most)
	}
	for !strings.Contains(log.String(), `"cause":"1 not written: `) { // on a machine that is busy, it may come after the end
		if time.Since(signaled) > 5*time.Minute {
			t.Fatalf("logged %s\nwant that a call was not written", log.String())
		}
		time.Sleep(time.Millisecond)
	}
	if strings.Contains(log.String(), "s3cret") {
		t.Errorf("logged %s\nwant no password", log.String())
	}
}

// silentPostgreSQL is the address of one that accepts connections, and is silent after the
// handshake. asked tells of the first questions that it does not answer, one a connection.
func silentPostgreSQL(t *testing.T) (address string, asked <-chan struct{}) {
	t.Helper()
	questions := make(chan struct{}, 10)
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepted sync.WaitGroup
	accepted.Go(func() {
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			accepted.Go(func() {
				defer func() { _ = conn.Close() }()
				defer context.AfterFunc(t.Context(), func() { _ = conn.Close() })()
				backend := pgproto3.NewBackend(conn, conn)
				if _, err := backend.ReceiveStartupMessage(); err != nil {
					return // a request to cancel a question
				}
				backend.Send(&pgproto3.AuthenticationOk{})
				backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
				if err := backend.Flush(); err != nil {
					return
				}
				if _, err := backend.Receive(); err != nil {
					return
				}
				select {
				case questions <- struct{}{}:
				default:
				}
				_, _ = io.Copy(io.Discard, conn)
			})
		}
	})
	t.Cleanup(func() { _ = server.Close(); accepted.Wait() })
	return server.Addr().String(), questions
}

// When the adapter cannot start, it closes what it has opened by then: SQLite removes its log
// when the last connection is closed.
func TestStartThatFailsClosesTheStore(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	file := filepath.Join(t.TempDir(), "usage.db")
	for name, change := range map[string]func(*config.Config){
		"an address in use": func(c *config.Config) { c.Admin.Listen = taken.Addr().String() },
		"a mistake":         func(c *config.Config) { c.Upstream.URL = "ftp://localhost" },
	} {
		settings := config.Default()
		settings.Server.Listen, settings.Admin.Listen = "127.0.0.1:0", "127.0.0.1:0"
		settings.Upstream.URL, settings.Usage.Store = "http://127.0.0.1:1", "sqlite:"+file
		change(&settings)
		if _, err := app.Start(t.Context(), app.Config{Settings: settings, Stderr: io.Discard}); err == nil {
			t.Fatalf("%s: started, want an error", name)
		}
		if _, err := os.Stat(file); err != nil {
			t.Errorf("%s: the store was never opened: %v", name, err)
		}
		if _, err := os.Stat(file + "-wal"); !os.IsNotExist(err) {
			t.Errorf("%s: the store is still open (%v)", name, err)
		}
	}
}
