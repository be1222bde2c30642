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
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Store keeps rows in a database: a file of SQLite for one adapter, or PostgreSQL for many,
// whose counts add up. It is safe for concurrent use.
type Store struct {
	db       *sql.DB
	postgres bool
	writer   string // random: this Store, to whose batches the numbers belong

	migration chan struct{} // taken while migrated is looked at, and the tables are changed
	migrated  bool
}

// schema is the schema that a Store has in PostgreSQL, besides others that may be there.
const schema = "zitadel_v1_adapter"

// OpenStore opens the database at an address: "sqlite:" and a path, or a "postgres://" URL. It
// does not connect yet. The error names no password.
func OpenStore(address string) (*Store, error) {
	s := newStore()
	if path, ok := strings.CutPrefix(address, "sqlite:"); ok && path != "" {
		// One connection: SQLite has one writer at a time anyway.
		settings := url.Values{"_pragma": {"journal_mode(WAL)", "busy_timeout(5000)", "synchronous(NORMAL)"}, "_txlock": {"immediate"}}
		db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+settings.Encode())
		if err != nil {
			return nil, err
		}
		s.db = db
		s.db.SetMaxOpenConns(1)
		return s, nil
	}
	if !strings.HasPrefix(address, "postgres://") && !strings.HasPrefix(address, "postgresql://") {
		return nil, errors.New(`use "sqlite:" and a path, such as sqlite:/var/lib/v1adapter/usage.db, or a URL such as postgres://v1adapter@db.example.com/zitadel`)
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

func (s *Store) usePostgreSQL(config *pgx.ConnConfig) {
	if config.RuntimeParams["search_path"] == "" {
		config.RuntimeParams["search_path"] = schema
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 5 * time.Second
	}
	s.postgres, s.db = true, stdlib.OpenDB(*config)
	const connections = 2 // one writes, one answers
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
var migrations = [...]string{createTables}

//go:embed create_tables.sql
var createTables string

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
	err := s.inTransaction(ctx, func(tx *sql.Tx) error {
		if s.postgres {
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
			return fmt.Errorf("the tables have version %d, and this program knows %d: use a newer one", version, len(migrations))
		}
		for ; version < len(migrations); version++ {
			if _, err := tx.ExecContext(ctx, migrations[version]); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "INSERT INTO versions VALUES ($1)", version+1); err != nil {
				return err
			}
		}
		return nil
	})
	s.migrated = err == nil
	return err
}

// lockSchema makes the schema in PostgreSQL, if it is not there, and lets no other replica
// touch it until the transaction ends. A role that may not make schemas needs it to be there.
func lockSchema(ctx context.Context, tx *sql.Tx) error {
	const own = 7_326_480_155_201 // a number that nobody else locks
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", own); err != nil {
		return err
	}
	var there bool
	err := tx.QueryRowContext(ctx, "SELECT current_schema() IS NOT NULL").Scan(&there)
	if err == nil && !there {
		_, err = tx.ExecContext(ctx, "CREATE SCHEMA "+schema)
	}
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

// add adds a batch of rows, in the order of compareKeys, unless it was added before: an error
// leaves open whether it was.
func (s *Store) add(ctx context.Context, number int64, rows []Row) error {
	if err := s.migrate(ctx); err != nil {
		return err
	}
	return s.inTransaction(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `INSERT INTO writers AS known (writer, batch, day) VALUES ($1, $2, $3)
			ON CONFLICT (writer) DO UPDATE SET batch = excluded.batch, day = excluded.day WHERE known.batch < excluded.batch`,
			s.writer, number, time.Now().UTC().Format(time.DateOnly))
		if err != nil {
			return err
		}
		if changed, err := result.RowsAffected(); err != nil || changed == 0 {
			return err // it was added before
		}
		upsert, err := tx.PrepareContext(ctx, `INSERT INTO calls AS known
			(day, method, caller, organization, client, protocol, way, outcome, calls, first_ms, last_ms)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
			ON CONFLICT (day, method, caller, organization, client, protocol, way, outcome) DO UPDATE SET
			calls = known.calls + excluded.calls,
			first_ms = CASE WHEN excluded.first_ms < known.first_ms THEN excluded.first_ms ELSE known.first_ms END,
			last_ms = CASE WHEN excluded.last_ms > known.last_ms THEN excluded.last_ms ELSE known.last_ms END`)
		if err != nil {
			return err
		}
		defer func() { _ = upsert.Close() }()
		for _, row := range rows {
			if _, err := upsert.ExecContext(ctx, row.Day, row.Method, row.Caller, row.Organization, row.Client, row.Protocol, row.Way, row.Outcome,
				row.Calls, row.First.UnixMilli(), row.Last.UnixMilli()); err != nil {
				return err
			}
		}
		return nil
	})
}

// Rows are those of the days since a time.
func (s *Store) Rows(ctx context.Context, since time.Time) ([]Row, error) {
	if err := s.migrate(ctx); err != nil {
		return nil, err
	}
	found, err := s.db.QueryContext(ctx, `SELECT day, method, caller, organization, client, protocol, way, outcome, calls, first_ms, last_ms
		FROM calls WHERE day >= $1`, since.UTC().Format(time.DateOnly))
	if err != nil {
		return nil, err
	}
	defer func() { _ = found.Close() }()
	var rows []Row
	for found.Next() {
		var row Row
		var first, last int64
		if err := found.Scan(&row.Day, &row.Method, &row.Caller, &row.Organization, &row.Client, &row.Protocol, &row.Way, &row.Outcome,
			&row.Calls, &first, &last); err != nil {
			return nil, err
		}
		row.First, row.Last = time.UnixMilli(first).UTC(), time.UnixMilli(last).UTC()
		rows = append(rows, row)
	}
	return rows, found.Err()
}

// forget deletes the days before a time.
func (s *Store) forget(ctx context.Context, before time.Time) error {
	if err := s.migrate(ctx); err != nil {
		return err
	}
	day := before.UTC().Format(time.DateOnly)
	return s.inTransaction(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM calls WHERE day < $1", day)
		_, writersErr := tx.ExecContext(ctx, "DELETE FROM writers WHERE day < $1", day)
		return errors.Join(err, writersErr)
	})
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
