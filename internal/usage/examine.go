package usage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
)

// UnusableError is why a database cannot keep the ledger.
type UnusableError struct {
	Cause error  // names no password
	Hint  string // what to do about it
}

// Error implements error.
func (e *UnusableError) Error() string { return e.Cause.Error() }

// Unwrap returns the cause.
func (e *UnusableError) Unwrap() error { return e.Cause }

// Examine says of the database at an address (see [OpenStore]) that this user's adapter may write to
// it, and how old its ledger is; or that it can be made. It makes and changes nothing. The error is
// an [UnusableError].
func Examine(ctx context.Context, address string, now time.Time) (found string, err error) {
	path, isFile := strings.CutPrefix(address, "sqlite:")
	database := "PostgreSQL: "
	if isFile = isFile && path != ""; isFile {
		database = "SQLite: "
		there, err := examineFile(path)
		switch {
		case err != nil:
			return "", err
		case !there:
			return database + "not there yet, and can be made", nil
		}
	}
	store, err := open(address, isFile) // PostgreSQL tells a reader not whether it takes anything
	if err != nil {
		return "", &UnusableError{err, ""}
	}
	defer func() { _ = store.Close(ctx) }()
	tx, err := store.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return "", &UnusableError{err, hintOf(err)}
	}
	defer func() { _ = tx.Rollback() }()
	if !isFile {
		if err := examineRights(ctx, tx); err != nil {
			return "", err
		}
	}
	found, err = examineTables(ctx, tx, now)
	return database + found, err
}

// examineFile looks for a file of SQLite, and whether this user may write to it or make it.
func examineFile(path string) (there bool, err error) {
	const notAllowed = "give this right to the user who runs the adapter, and run check as that user"
	folder := filepath.Dir(path)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Stat(folder); err != nil {
			return false, &UnusableError{fmt.Errorf("the folder %q is missing", folder), "make it, for the user who runs the adapter"}
		}
	case err != nil:
		return false, &UnusableError{err, notAllowed}
	case !info.Mode().IsRegular():
		return true, &UnusableError{fmt.Errorf("%q is not a file", path), "name a file, such as sqlite:" + filepath.Join(path, "usage.db")}
	default:
		there = true
		if err := access(path, toReadAndWrite); err != nil {
			return there, &UnusableError{err, notAllowed}
		}
	}
	if err := access(folder, toMakeFiles); err != nil { // for those that SQLite has beside its own
		return there, &UnusableError{err, notAllowed}
	}
	return there, nil
}

// rights are what a role has in PostgreSQL, of what an adapter needs: it makes the schema or tables
// that are missing, and reads and writes these. The schema is the first of search_path, as where
// tables are made.
const rights = `SELECT current_user, COALESCE(current_schema(), ''), EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1),
	COALESCE(has_schema_privilege(current_schema()::text, 'CREATE'), has_database_privilege(current_database()::text, 'CREATE')),
	pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean,
	COALESCE((SELECT string_agg(c.relname::text, ', ' ORDER BY c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = current_schema() AND c.relname IN ('calls', 'coverage', 'names', 'secrets', 'versions', 'writers')
		AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
			AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))), '')`

// examineRights returns an error if the role may not keep a ledger in PostgreSQL.
func examineRights(ctx context.Context, tx *sql.Tx) error {
	var role, current, denied string
	var isThere, mayCreate, isReadOnly bool
	if err := tx.QueryRowContext(ctx, rights, schema).Scan(&role, &current, &isThere, &mayCreate, &isReadOnly, &denied); err != nil {
		return &UnusableError{err, hintOf(err)}
	}
	unusable := func(cause, hint string) error { return &UnusableError{errors.New(cause), hint} }
	switch {
	case isReadOnly:
		return unusable("it takes no writes: it is a standby, or was made read-only",
			"name the primary server; if its disk is full, make room, and let it take writes again")
	case current == "" && isThere:
		return unusable(fmt.Sprintf("the role %s may not use the schema %s", role, schema), fmt.Sprintf("ALTER SCHEMA %s OWNER TO %s", schema, role))
	case current == "" && !mayCreate:
		return unusable(fmt.Sprintf("the schema %s is not there, and the role %s may not make it", schema, role),
			fmt.Sprintf("CREATE SCHEMA %s AUTHORIZATION %s", schema, role))
	case !mayCreate:
		return unusable(fmt.Sprintf("the role %s may not make tables in the schema %s", role, current), fmt.Sprintf("ALTER SCHEMA %s OWNER TO %s", current, role))
	case denied != "":
		return unusable(fmt.Sprintf("the role %s may not read and write the tables %s in the schema %s", role, denied, current),
			fmt.Sprintf("for each of them: ALTER TABLE %s.NAME OWNER TO %s", current, role))
	}
	return nil
}

// examineTables says how old the ledger is.
func examineTables(ctx context.Context, tx *sql.Tx, now time.Time) (found string, err error) {
	var version int
	switch err := tx.QueryRowContext(ctx, "SELECT COALESCE(MAX(version), 0) FROM versions").Scan(&version); {
	case isMissingTable(err):
		return "no tables yet, and they can be made", nil
	case err != nil:
		return "", &UnusableError{err, hintOf(err)}
	case version > len(migrations):
		return "", &UnusableError{newerTables(version), "another adapter has brought them up to date: run its version, or use another database"}
	case version < len(migrations):
		return "can be written; the tables are of an older version, which an adapter of this one brings up to date", nil
	}
	var began sql.NullInt64
	if err := tx.QueryRowContext(ctx, "SELECT MIN(first_ms) FROM coverage").Scan(&began); err != nil {
		return "", &UnusableError{err, hintOf(err)}
	}
	if !began.Valid {
		return "can be written; nothing is counted yet", nil
	}
	since := time.UnixMilli(began.Int64).UTC()
	const day = 24 * time.Hour
	return fmt.Sprintf("can be written; counts since %s, for %s", since.Format(minute), plural(int64(now.Sub(since)/day), "day")), nil
}

// hintOf says what to do about an error of a database.
func hintOf(err error) string {
	const notSQLite = 26 // SQLITE_NOTADB
	refusal, isRefusal := errors.AsType[*pgconn.PgError](err)
	file, isFile := errors.AsType[*sqlite.Error](err)
	unknown, isUnknown := errors.AsType[*net.DNSError](err)
	switch {
	case isRefusal:
		return refusalHint(refusal)
	case isFile && file.Code() == notSQLite:
		return "this file is something else: name one of an adapter's, or one that is not there yet"
	case isFile:
		return "does the user who runs the adapter own the file, and does another program lock it?"
	case isUnknown && unknown.IsNotFound:
		return "does its address have the right name, and does that resolve on this machine, or in this pod?"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "is PostgreSQL running, and does its address have the right port?"
	case strings.Contains(err.Error(), "TLS") || strings.Contains(err.Error(), "tls:"):
		return "does sslmode in its address ask for what PostgreSQL has, and does sslrootcert name its CA?"
	}
	return "does a firewall or network policy let this through, and is PostgreSQL well?"
}

// refusalHint says what to do about an answer of PostgreSQL's.
func refusalHint(refusal *pgconn.PgError) string {
	const invalidAuthorization, missingDatabase, denied = "28", "3D000", "42501"
	switch {
	case strings.HasPrefix(refusal.Code, invalidAuthorization):
		return "does its address have the right user and password (usage.storeFile is for a URL with one), and does pg_hba.conf let that user in?"
	case refusal.Code == missingDatabase:
		return "make the database, or name another one in its address"
	case refusal.Code == denied:
		return "GRANT CONNECT ON DATABASE to the role, as docs/operations.md has it"
	}
	return "PostgreSQL's log says more"
}
