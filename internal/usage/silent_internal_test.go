package usage

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"zitadel-v1-adapter/adapter"
)

// A PostgreSQL that accepts connections and is silent, at once or after the handshake, holds up
// the end for as long as it is given, and no longer: pgx alone would wait for five seconds more
// for each connection that it closes.
func TestSilentPostgreSQLDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	const given = 3 * time.Second
	for name, serve := range map[string]func(net.Conn){"silent at once": discard, "silent after the handshake": shakeHands} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := newPipedStore(t, serve)
				ledger, err := NewLedger(Config{Store: store})
				if err != nil {
					t.Fatal(err)
				}
				ledger.Observe(adapter.Event{Caller: "7", Started: time.Now()})
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					ledger.Run(ctx)
				}()
				go func() { _, _ = ledger.Rows(ctx, Query{}) }() // someone looks at the page, and waits too
				time.Sleep(flushEvery + time.Second)             // it is being written
				signaled := time.Now()
				cancel()
				<-ended
				finishing, stop := context.WithTimeout(t.Context(), given)
				defer stop()
				if err := ledger.Finish(finishing); err == nil || ledger.unwritten() != 1 {
					t.Errorf("got %v with %d calls left, want an error and one", err, ledger.unwritten())
				}
				_ = store.Close(finishing)
				if took := time.Since(signaled); took > given {
					t.Errorf("took %v, want at most %v", took, given)
				}
			})
		})
	}
}

// A question without a deadline, to a PostgreSQL that is silent, does not make those wait who
// have one.
func TestQuestionWithoutDeadlineHoldsUpNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newPipedStore(t, shakeHands)
		forever, cancel := context.WithCancel(t.Context())
		go func() { _, _ = store.Rows(forever, Query{}) }()
		synctest.Wait()
		began := time.Now()
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err := store.add(ctx, batchOf(1)); err == nil || time.Since(began) != time.Second {
			t.Errorf("got %v after %v, want an error after a second", err, time.Since(began))
		}
		cancel()
		_ = store.Close(t.Context())
	})
}

// A store that takes nothing holds up one reader for as long as a reader waits to have calls
// written, and not each of the page's questions.
func TestSilentStoreHoldsUpOneReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ledger, err := NewLedger(Config{Store: newPipedStore(t, shakeHands)})
		if err != nil {
			t.Fatal(err)
		}
		ledger.Observe(adapter.Event{Caller: "7", Started: time.Now()})
		began := time.Now()
		for range 5 {
			ledger.writeForReader(t.Context())
		}
		if took := time.Since(began); took != readFlushTimeout {
			t.Errorf("took %v, want %v", took, readFlushTimeout)
		}
		if got := ledger.unwritten(); got != 1 {
			t.Errorf("got %d calls that are not written, want one", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = ledger.Close(ctx)
	})
}

// newPipedStore is a Store whose PostgreSQL is a function, at the other end of a pipe.
func newPipedStore(t *testing.T, serve func(net.Conn)) *Store {
	t.Helper()
	config, err := pgx.ParseConfig("postgres://v1adapter@192.0.2.1/zitadel?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	config.DialFunc = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer func() { _ = theirs.Close() }()
			serve(theirs)
		}()
		return ours, nil
	}
	t.Cleanup(func() { time.Sleep(time.Minute) }) // for pgx, which hangs up in its own time
	store := newStore()
	store.usePostgreSQL(config)
	return store
}

// discard reads, and never answers.
func discard(conn net.Conn) {
	var buffer [1024]byte
	for {
		if _, err := conn.Read(buffer[:]); err != nil {
			return
		}
	}
}

// shakeHands lets a client in, and is silent from then on.
func shakeHands(conn net.Conn) {
	backend := pgproto3.NewBackend(conn, conn)
	if _, err := backend.ReceiveStartupMessage(); err != nil {
		return
	}
	backend.Send(&pgproto3.AuthenticationOk{})
	backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if backend.Flush() == nil {
		discard(conn)
	}
}
