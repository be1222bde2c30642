package usage

import (
	"context"
	"crypto/rand"
	"database/sql"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Store keeps rows in a database, and adds them up: a file of SQLite for one adapter, or
// PostgreSQL for many, whose counts add up. It is safe for concurrent use.
type Store struct {
	db       *sql.DB
	dialect  dialect
	readOnly bool
	writer   string // random: this Store, to whose batches the numbers belong

	migration chan struct{} // taken while migrated is looked at, and the tables are changed
	migrated  bool
}

// dialect is what differs between databases.
type dialect int

const (
	inMemory dialect = iota
	sqliteFile
	postgreSQL
)

// schema is the schema that a Store has in PostgreSQL, besides others that may be there.
const schema = "zitadel_v1_adapter"

// OpenStore opens the database at an address: "sqlite:" and a path, or a "postgres://" URL. It
// does not connect yet; the tables are made when they are first needed. The error names no
// password.
func OpenStore(address string) (*Store, error) { return open(address, false) }

// ReadStore opens a database as OpenStore does, only to read: it makes no file and no tables,
// and reading fails with [ErrNoLedger] where there are none.
func ReadStore(address string) (*Store, error) { return open(address, true) }

// ErrNoLedger says that a database holds no ledger: no adapter has written to it, or none of
// this version.
var ErrNoLedger = errors.New("there is no ledger yet: no adapter of this version has written to it")

func open(address string, readOnly bool) (*Store, error) {
	s := newStore()
	s.readOnly = readOnly
	if path, ok := strings.CutPrefix(address, "sqlite:"); ok && path != "" {
		if _, err := os.Stat(path); readOnly && err != nil { //nolint:gosec // the operator names the file
			return nil, err
		}
		if _, err := os.Stat(filepath.Dir(path)); err != nil { //nolint:gosec // same
			return nil, fmt.Errorf("the folder %q is missing: make it first", filepath.Dir(path))
		}
		return s, s.useSQLite(path)
	}
	if !strings.HasPrefix(address, "postgres://") && !strings.HasPrefix(address, "postgresql://") {
		return nil, errors.New(`use "sqlite:" and a path, such as sqlite:/var/lib/zitadel-v1-adapter/usage.db, or a URL such as postgres://v1adapter@db.example.com/zitadel`)
	}
	config, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, errors.New("not a URL of PostgreSQL: use one such as postgres://v1adapter@db.example.com/zitadel?sslmode=verify-full")
	}
	s.usePostgreSQL(config)
	return s, nil
}

// newStore is a Store without its database.
func newStore() *Store { return &Store{writer: rand.Text(), migration: make(chan struct{}, 1)} }

// newMemoryStore is a Store that ends with the program.
func newMemoryStore() (*Store, error) {
	s := newStore()
	db, err := sql.Open("sqlite", "file::memory:")
	if err != nil {
		return nil, err
	}
	s.db = db
	s.db.SetMaxOpenConns(1) // each connection would have a database of its own
	return s, nil
}

// useSQLite uses a file. Its write-ahead log lets one read while another writes.
func (s *Store) useSQLite(path string) error {
	settings := url.Values{"_pragma": {"journal_mode(WAL)", "busy_timeout(5000)", "synchronous(NORMAL)"}, "_txlock": {"immediate"}}
	if s.readOnly {
		settings = url.Values{"_pragma": {"busy_timeout(5000)", "query_only(true)"}}
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+settings.Encode())
	if err != nil {
		return err
	}
	s.db, s.dialect = db, sqliteFile
	s.db.SetMaxOpenConns(connections)
	return nil
}

// connections is how many a Store has: one writes, two answer. The page asks for sums and for
// callers at once.
const connections = 3

func (s *Store) usePostgreSQL(config *pgx.ConnConfig) {
	if config.RuntimeParams["search_path"] == "" {
		config.RuntimeParams["search_path"] = schema
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second
	}
	if s.readOnly {
		config.RuntimeParams["default_transaction_read_only"] = "on"
	}
	s.dialect, s.db = postgreSQL, stdlib.OpenDB(*config)
	s.db.SetMaxOpenConns(connections)
	s.db.SetConnMaxIdleTime(time.Minute)
}

// Close closes the database, and returns when that is done or ctx ends: PostgreSQL is told of
// it, and pgx waits five seconds for one that is silent.
func (s *Store) Close(ctx context.Context) error {
	closed := make(chan error, 1)
	go func() { closed <- s.db.Close() }()
	select {
	case err := <-closed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// migrations are the versions of the tables, in both databases' SQL. A version is never
// changed, only followed by another one.
var migrations = [...]string{createTables, countAllMethods, nameCallers, orderByCaller}

//go:embed create_tables.sql
var createTables string

//go:embed count_all_methods.sql
var countAllMethods string

//go:embed name_callers.sql
var nameCallers string

//go:embed order_by_caller.sql
var orderByCaller string

// migrate brings the tables to the newest version, once. Several replicas may do so at once.
func (s *Store) migrate(ctx context.Context) error {
	select {
	case s.migration <- struct{}{}:
		defer func() { <-s.migration }()
	case <-ctx.Done(): // another one may be waiting for the database
		return ctx.Err()
	}
	if s.migrated {
		return nil
	}
	if s.readOnly {
		return s.checkVersion(ctx)
	}
	err := s.inTransaction(ctx, func(tx *sql.Tx) error {
		if s.dialect == postgreSQL {
			if err := lockSchema(ctx, tx); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS versions (version INTEGER PRIMARY KEY)"); err != nil {
			return err
		}
		var version int
		if err := tx.QueryRowContext(ctx, "SELECT COALESCE(MAX(version), 0) FROM versions").Scan(&version); err != nil {
			return err
		}
		if version > len(migrations) {
			return newerTables(version)
		}
		for ; version < len(migrations); version++ {
			statements := migrations[version]
			if s.dialect == postgreSQL {
				statements = strings.ReplaceAll(statements, "WITHOUT ROWID", "")
			}
			if _, err := tx.ExecContext(ctx, statements); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO versions VALUES ($1)", version+1); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "INSERT INTO secrets (name, value) VALUES ('ledger', $1) ON CONFLICT (name) DO NOTHING", rand.Text())
		return err
	})
	s.migrated = err == nil
	return err
}

// lockSchema makes the schema in PostgreSQL, if it is not there, and lets no other replica
// touch it until the transaction ends. A role that may not make schemas needs it to be there.
func lockSchema(ctx context.Context, tx *sql.Tx) error {
	if err := lock(ctx, tx); err != nil {
		return err
	}
	var there bool
	err := tx.QueryRowContext(ctx, "SELECT current_schema() IS NOT NULL").Scan(&there)
	if err == nil && !there {
		_, err = tx.ExecContext(ctx, "CREATE SCHEMA "+schema)
	}
	return err
}

// lock lets no other replica hold the same lock in PostgreSQL until the transaction ends.
func lock(ctx context.Context, tx *sql.Tx) error {
	const own = 7_326_480_155_201 // a number that nobody else locks
	_, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", own)
	return err
}

func (s *Store) inTransaction(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// checkVersion looks at tables that somebody else has made.
func (s *Store) checkVersion(ctx context.Context) error {
	var version int
	err := s.db.QueryRowContext(ctx, "SELECT MAX(version) FROM versions").Scan(&version)
	switch {
	case isMissingTable(err) || err == nil && version < len(migrations):
		return ErrNoLedger
	case err == nil && version > len(migrations):
		return newerTables(version)
	}
	s.migrated = err == nil
	return err
}

// isMissingTable reports whether a query failed because its table is not there.
func isMissingTable(err error) bool {
	const undefinedTable = "42P01" // of PostgreSQL
	failure, ok := errors.AsType[*pgconn.PgError](err)
	return ok && failure.Code == undefinedTable || err != nil && strings.Contains(err.Error(), "no such table")
}

func newerTables(version int) error {
	return fmt.Errorf("the tables have version %d, and this program knows %d: use a newer one", version, len(migrations))
}

// CallerKey is the key of [adapter.Config] that all who share the database have, and keeps
// the one given if there is none yet.
func (s *Store) CallerKey(ctx context.Context, fresh [32]byte) (key [32]byte, err error) {
	if err := s.migrate(ctx); err != nil {
		return key, err
	}
	if _, err := s.db.ExecContext(ctx, "INSERT INTO secrets (name, value) VALUES ('caller key', $1) ON CONFLICT (name) DO NOTHING", hex.EncodeToString(fresh[:])); err != nil {
		return key, err
	}
	var kept string
	if err := s.db.QueryRowContext(ctx, "SELECT value FROM secrets WHERE name = 'caller key'").Scan(&kept); err != nil {
		return key, err
	}
	if n, err := hex.Decode(key[:], []byte(kept)); n != len(key) || err != nil {
		return key, errors.New("the caller key in the database is not one: delete it, and callers get new names")
	}
	return key, nil
}

// ID names the ledger, the same for all who share the database, so that a report that asks
// several adapters counts each ledger once.
func (s *Store) ID(ctx context.Context) (id string, err error) {
	if err := s.migrate(ctx); err != nil {
		return "", err
	}
	err = s.db.QueryRowContext(ctx, "SELECT value FROM secrets WHERE name = 'ledger'").Scan(&id)
	return id, err
}
