package usage_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"zitadel-v1-adapter/internal/usage"
	"zitadel-v1-adapter/internal/usage/usagetest"
)

// replicaVariable makes of the test's program a replica that counts calls in the store at its
// address, until it is killed.
const replicaVariable = "USAGE_TEST_COUNTS_IN"

func TestMain(m *testing.M) {
	if address := os.Getenv(replicaVariable); address != "" {
		fmt.Println(countCalls(address))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// callers have calls in each round.
const callers = 50

func observeRound(ledger *usage.Ledger) {
	for i := range callers {
		ledger.Observe(usagetest.Call(strconv.Itoa(i)))
	}
}

// faults are what can become of a PostgreSQL, until it is mended.
var faults = map[string]func(t *testing.T, s *server, database string) (mend func()){
	"away": func(t *testing.T, s *server, _ string) func() {
		t.Helper()
		s.stop(t)
		return func() { s.start(t) }
	},
	"silent": func(t *testing.T, s *server, _ string) func() {
		t.Helper()
		s.signalAll(t, syscall.SIGSTOP)
		return func() { s.signalAll(t, syscall.SIGCONT) } // and what was given up may be written now
	},
	"locked": func(t *testing.T, s *server, database string) func() {
		t.Helper()
		db, err := sql.Open("pgx", s.url(superuser, database))
		if err != nil {
			t.Fatal(err)
		}
		tx, err := db.BeginTx(t.Context(), nil)
		if err == nil {
			_, err = tx.ExecContext(t.Context(), "LOCK TABLE zitadel_v1_adapter.calls")
		}
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			_ = tx.Rollback()
			_ = db.Close()
		}
	},
	"read-only, as hosts make it when it is full": func(t *testing.T, s *server, database string) func() {
		t.Helper()
		disconnect := "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + database + "'"
		s.run(t, superuser, "ALTER DATABASE "+database+" SET default_transaction_read_only = on", disconnect)
		return func() {
			s.run(t, superuser, "ALTER DATABASE "+database+" RESET default_transaction_read_only", disconnect)
		}
	},
}

// While PostgreSQL takes nothing, two replicas count calls in memory, and write them when it takes
// them again: each once.
func TestFaultsLoseNoCall(t *testing.T) {
	t.Parallel()
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			address := s.fresh(t)
			usagetest.Rows(t, address) // makes the tables
			const replicas = 2
			var ledgers [replicas]*usage.Ledger
			var stops [replicas]func()
			failures := make(chan int, 100)
			for i := range replicas {
				ledgers[i], stops[i] = usagetest.Run(t, usage.Config{Store: usagetest.Open(t, address), OnFailure: func() { failures <- i }})
			}
			rounds := 0
			observe := func() {
				for range 100 {
					observeRound(ledgers[0])
					observeRound(ledgers[1])
					rounds += replicas
				}
			}
			observe()
			mend := fault(t, s, address[strings.LastIndex(address, "/")+1:strings.Index(address, "?")])
			for failed := map[int]bool{}; len(failed) < replicas; failed[<-failures] = true {
				observe() // something is left to be written
			}
			mend()
			observe()
			for _, stop := range stops {
				stop()
			}
			checkTotal(t, address, int64(rounds*callers))
		})
	}
}

// signalAll sends a signal to the server and to its processes, one for each connection.
func (s *server) signalAll(t *testing.T, signal syscall.Signal) {
	t.Helper()
	parent := s.running.Process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", parent, parent))
	if err != nil {
		t.Fatal(err)
	}
	for _, each := range append(strings.Fields(string(children)), strconv.Itoa(parent)) {
		if pid, err := strconv.Atoi(each); err == nil {
			_ = syscall.Kill(pid, signal) // one that has ended needs none
		}
	}
}

// countCalls counts rounds of calls, and says how many it has observed, and how many of them are
// written for certain.
func countCalls(address string) error {
	store, err := usage.OpenStore(address)
	if err != nil {
		return err
	}
	ledger, err := usage.NewLedger(usage.Config{Store: store})
	if err != nil {
		return err
	}
	go ledger.Run(context.Background())
	for round := 1; ; round++ {
		fmt.Println("observes", round)
		observeRound(ledger)
		if round%100 > 0 {
			continue
		}
		if e, err := ledger.Evidence(context.Background(), time.Time{}, nil); err == nil && e.Unwritten == 0 {
			fmt.Println("wrote", round)
		}
	}
}

// A replica that is killed beside another one loses what it has not written, and no more: nothing is
// counted twice, and the other one's calls are all there.
func TestKilledReplicaLosesOnlyWhatItHasNotWritten(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	address := s.fresh(t)
	other, stop := usagetest.Start(t, address)
	replica := exec.CommandContext(t.Context(), os.Args[0])
	replica.Env = append(os.Environ(), replicaVariable+"="+address)
	out, err := replica.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := replica.Start(); err != nil {
		t.Fatal(err)
	}
	othersRounds, said := 0, map[string]int{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		what, round, _ := strings.Cut(lines.Text(), " ")
		if said[what], err = strconv.Atoi(round); err != nil {
			t.Fatalf("the replica says %q", lines.Text())
		}
		if said["wrote"] < 500 { // both count the same callers at once
			observeRound(other)
			othersRounds++
		} else if said["observes"]%100 == 50 {
			_ = replica.Process.Kill() // what it said until then still comes
		}
	}
	_ = replica.Wait()
	stop()
	least, most := int64(othersRounds+said["wrote"]), int64(othersRounds+said["observes"])
	rows := usagetest.Rows(t, address)
	for _, row := range rows {
		if row.Calls < least || row.Calls > most {
			t.Errorf("caller %s: got %d calls, want %d to %d", row.Caller, row.Calls, least, most)
		}
	}
	if len(rows) != callers {
		t.Errorf("got %d callers, want %d", len(rows), callers)
	}
	t.Logf("%d calls of each caller by the other replica, %d in the store, %d to %d by both", othersRounds, rows[0].Calls, least, most)
}
