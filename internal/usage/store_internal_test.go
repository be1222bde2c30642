package usage

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// writerVariable makes of the test's program one that writes batches to the store at its
// address, until it is killed.
const writerVariable = "USAGE_TEST_WRITES_TO"

func TestMain(m *testing.M) {
	if address := os.Getenv(writerVariable); address != "" {
		fmt.Println(writeBatches(address))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// batchOfCallers is one call of each of 100 callers.
func batchOfCallers() []Row {
	rows := make([]Row, 100)
	for i := range rows {
		rows[i] = Row{Key: Key{Day: "2027-01-31", Caller: strconv.Itoa(i)}, Calls: 1, First: time.Now(), Last: time.Now()}
	}
	return rows
}

func batchOf(number int64) batch {
	return batch{number: number, rows: batchOfCallers(), coverage: coverage{from: time.Now(), to: time.Now(), requests: 1}}
}

func writeBatches(address string) error {
	store, err := OpenStore(address)
	if err != nil {
		return err
	}
	for number := int64(1); ; number++ {
		if _, err := store.add(context.Background(), batchOf(number)); err != nil {
			return err
		}
		fmt.Println(number)
	}
}

// A process that is killed while it writes leaves whole batches: all that it was told were
// written, and perhaps the next one.
func TestKilledWriterLeavesWholeBatches(t *testing.T) {
	t.Parallel()
	for round := range 5 {
		address := "sqlite:" + filepath.Join(t.TempDir(), "usage.db")
		writer := exec.CommandContext(t.Context(), os.Args[0])
		writer.Env = append(os.Environ(), writerVariable+"="+address)
		out, err := writer.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := writer.Start(); err != nil {
			t.Fatal(err)
		}
		told := bufio.NewScanner(out)
		last := 0
		for told.Scan() {
			if last, err = strconv.Atoi(told.Text()); err != nil {
				t.Fatalf("the writer says %q", told.Text())
			}
			if last == 5+round*7 {
				_ = writer.Process.Kill() // what it says until then still comes
			}
		}
		_ = writer.Wait()
		store, err := OpenStore(address)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := store.Rows(t.Context(), Query{})
		if err != nil || len(rows) != len(batchOfCallers()) {
			t.Fatalf("got %d rows, %v, want %d", len(rows), err, len(batchOfCallers()))
		}
		for _, row := range rows {
			if row.Calls != rows[0].Calls || row.Calls < int64(last) || row.Calls > int64(last)+1 {
				t.Errorf("caller %s: got %d calls, want %d or one more, as every caller", row.Caller, row.Calls, last)
			}
		}
		_ = store.Close(t.Context())
	}
}

// openFile opens a database that does not exist yet.
func openFile(t *testing.T) *Store {
	t.Helper()
	store, err := OpenStore("sqlite:" + filepath.Join(t.TempDir(), "usage.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close(context.Background()) })
	return store
}

// A ledger that does not know whether the store wrote a batch sends the batch again. The store
// counts it once.
func TestBatchIsWrittenOnce(t *testing.T) {
	t.Parallel()
	store := openFile(t)
	for _, number := range []int64{1, 1, 2, 2, 1} {
		if _, err := store.add(t.Context(), batchOf(number)); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := store.Rows(t.Context(), Query{})
	if err != nil || rows[0].Calls != 2 {
		t.Errorf("got %+v, %v, want two calls", rows[0], err)
	}
}

// Calls that the first version counted are there after all migrations.
func TestOlderTablesKeepTheirCalls(t *testing.T) {
	t.Parallel()
	store := openFile(t)
	for _, statement := range []string{
		migrations[0],
		"CREATE TABLE versions (version INTEGER PRIMARY KEY)", "INSERT INTO versions VALUES (1)",
		`INSERT INTO calls (day, method, caller, organization, client, protocol, way, outcome, calls, first_ms, last_ms)
			VALUES ('2026-01-31', 'SetHumanInitialPassword', '7', '1001', 'curl', 'rest', 'v2', 'ok', 3, 1000, 2000)`,
	} {
		if _, err := store.db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	want := Row{
		Key: Key{
			Day: "2026-01-31", Caller: "7", API: "management", Method: "SetHumanInitialPassword", Organization: "1001", Client: "curl",
			Protocol: "rest", Way: "v2", Outcome: "ok",
		},
		Calls: 3, Callers: 1, First: time.UnixMilli(1000).UTC(), Last: time.UnixMilli(2000).UTC(),
	}
	if rows, err := store.Rows(t.Context(), Query{}); err != nil || len(rows) != 1 || rows[0] != want {
		t.Errorf("got %+v (%v), want %+v", rows, err, want)
	}
}

// A program that is older than the tables leaves them alone.
func TestNewerTablesAreLeftAlone(t *testing.T) {
	t.Parallel()
	store := openFile(t)
	if err := store.migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := store.db.ExecContext(t.Context(), "INSERT INTO versions VALUES (99)"); err != nil {
		t.Fatal(err)
	}
	store.migrated = false
	if _, err := store.add(t.Context(), batchOf(1)); err == nil || err.Error() != "the tables have version 99, and this program knows 4: use a newer one" {
		t.Errorf("got %v, want a word on the version", err)
	}
}

// The first flush makes the tables even if there is nothing to write: there may be old days to
// forget.
func TestFirstFlushMayHaveNothingToWrite(t *testing.T) {
	t.Parallel()
	store := openFile(t)
	ledger, err := NewLedger(Config{Store: store, Retention: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := ledger.flush(t.Context()); err != nil {
		t.Error(err)
	}
}
