package usage

import (
	"context"
	"database/sql"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"zitadel-v1-adapter/adapter"
)

// faults are what can become of a file of SQLite, until it is mended.
var faults = map[string]func(t *testing.T, path string, store *Store) (mend func() error){
	"locked by another process": func(t *testing.T, path string, _ *Store) func() error {
		t.Helper()
		other, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = other.Close() })
		other.SetMaxOpenConns(1)
		execute(t, other, "BEGIN EXCLUSIVE")
		return func() error {
			_, err := other.ExecContext(t.Context(), "ROLLBACK")
			return err
		}
	},
	"full": func(t *testing.T, _ string, store *Store) func() error {
		t.Helper()
		execute(t, store.db, "PRAGMA max_page_count = 1") // no more than it has
		return func() error {
			_, err := store.db.ExecContext(t.Context(), "PRAGMA max_page_count = 100000")
			return err
		}
	},
	"read-only": func(t *testing.T, _ string, store *Store) func() error {
		t.Helper()
		execute(t, store.db, "PRAGMA query_only = true")
		return func() error {
			_, err := store.db.ExecContext(t.Context(), "PRAGMA query_only = false")
			return err
		}
	},
}

func execute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// While a file takes nothing calls are counted in memory, and written when it takes them again: each
// once. package interop/usage does the same to PostgreSQL.
func TestFaultsLoseNoCall(t *testing.T) {
	t.Parallel()
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "usage.db")
			ledger := newFileLedger(t, path)
			observe(ledger, 100)
			if err := ledger.flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			mend := fault(t, path, ledger.config.Store)
			for range 2 { // twice: a batch may have been written although it failed, and is given again first
				observe(ledger, 2000)
				failsToWrite(t, ledger)
			}
			if err := mend(); err != nil {
				t.Fatal(err)
			}
			checkCalls(t, ledger)
		})
	}
}

func newFileLedger(t *testing.T, path string) *Ledger {
	t.Helper()
	store, err := OpenStore("sqlite:" + path)
	if err != nil {
		t.Fatal(err)
	}
	store.db.SetMaxOpenConns(1) // the one that is set up by a fault
	ledger, err := NewLedger(Config{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ledger.Close(context.Background()) })
	return ledger
}

// observe counts a call of each of the first callers.
func observe(ledger *Ledger, callers int) {
	for i := range callers {
		ledger.Observe(adapter.Event{Caller: strconv.Itoa(i), Code: "ok", Started: time.Now()})
	}
}

func failsToWrite(t *testing.T, ledger *Ledger) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := ledger.flush(ctx); err == nil {
		t.Error("the store took a batch")
	}
}

// checkCalls looks for three calls of the first 100 callers, and two of the others.
func checkCalls(t *testing.T, ledger *Ledger) {
	t.Helper()
	if err := ledger.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows, err := ledger.config.Store.Rows(t.Context(), Query{By: []string{"caller"}})
	if err != nil || len(rows) != 2000 || ledger.unwritten() != 0 {
		t.Errorf("got %d callers, %v, %d calls that are not written, want 2000", len(rows), err, ledger.unwritten())
	}
	for _, row := range rows {
		if i, _ := strconv.Atoi(row.Caller); row.Calls != 3 && i < 100 || row.Calls != 2 && i >= 100 {
			t.Errorf("got %d calls of %s, want 3 of the first 100, 2 of the others", row.Calls, row.Caller)
		}
	}
}

// Who reads, here or in another process, holds up no batch, and sees the ledger as it was.
func TestReaderHoldsUpNoWriter(t *testing.T) {
	t.Parallel()
	address := "sqlite:" + filepath.Join(t.TempDir(), "usage.db")
	writer, err := OpenStore(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = writer.Close(context.Background()) })
	if _, err := writer.add(t.Context(), batchOf(1)); err != nil {
		t.Fatal(err)
	}
	other, err := ReadStore(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close(context.Background()) })
	for number, reader := range []*Store{writer, other} {
		rows, err := reader.db.QueryContext(t.Context(), "SELECT calls FROM calls")
		if err != nil || !rows.Next() {
			t.Fatalf("got no row: %v", err)
		}
		defer func() { _ = rows.Close() }()
		if _, err := writer.add(t.Context(), batchOf(int64(number)+2)); err != nil {
			t.Errorf("while somebody reads: %v", err)
		}
		for calls := int64(0); rows.Next(); {
			if err := rows.Scan(&calls); err != nil || calls != int64(number)+1 {
				t.Errorf("got %d calls, %v, want %d", calls, err, number+1)
			}
		}
		if err := rows.Err(); err != nil {
			t.Error(err)
		}
	}
}
