package usage

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"
)

const (
	// maxRowsStored is how many rows a day may have in a database, give or take a batch for each
	// replica, or all days together in memory: about 5 MiB. Calls of further callers are counted as
	// those of CallerOthers, unless they have a row.
	maxRowsStored = 20_000
	// foldAfter is how many days keep their rows. Those before have a row for each caller, method
	// and month.
	foldAfter = 35
	// foldTokensAfter is how many days keep apart callers of whom only the token is known: most
	// tokens live for hours.
	foldTokensAfter = 2
)

// batch is what is written at once.
type batch struct {
	number   int64 // counts the writer's batches
	rows     []Row // in the order of compareKeys
	coverage coverage
}

// coverage is that the writer was there, from one time to another of a day, and saw requests.
type coverage struct {
	from, to time.Time
	requests int64
}

// add adds a batch, unless it was added before: an error leaves open whether it was. It returns
// how many calls there was no room to tell apart.
func (s *Store) add(ctx context.Context, b batch) (unnamed int64, err error) {
	if err := s.migrate(ctx); err != nil {
		return 0, err
	}
	err = s.inTransaction(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `INSERT INTO writers AS known (writer, batch, day) VALUES ($1, $2, $3)
			ON CONFLICT (writer) DO UPDATE SET batch = excluded.batch, day = excluded.day WHERE known.batch < excluded.batch`,
			s.writer, b.number, dayOf(time.Now()))
		if err != nil {
			return err
		}
		if changed, err := result.RowsAffected(); err != nil || changed == 0 {
			return err // it was added before
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO coverage AS known (day, writer, requests, first_ms, last_ms) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (day, writer) DO UPDATE SET requests = known.requests + excluded.requests, last_ms = excluded.last_ms`,
			dayOf(b.coverage.to), s.writer, b.coverage.requests, max(b.coverage.from.UnixMilli(), startOfDay(b.coverage.to).UnixMilli()),
			b.coverage.to.UnixMilli()); err != nil {
			return err
		}
		var fitting []Row
		if fitting, unnamed, err = s.fit(ctx, tx, b.rows); err != nil {
			return err
		}
		return s.addRows(ctx, tx, fitting)
	})
	return unnamed, err
}

// upsert adds calls to those of a key.
const upsert = ` ON CONFLICT (day, caller, api, method, organization, client, protocol, way, outcome) DO UPDATE SET
	calls = known.calls + excluded.calls,
	first_ms = CASE WHEN excluded.first_ms < known.first_ms THEN excluded.first_ms ELSE known.first_ms END,
	last_ms = CASE WHEN excluded.last_ms > known.last_ms THEN excluded.last_ms ELSE known.last_ms END`

func (s *Store) addRows(ctx context.Context, tx *sql.Tx, rows []Row) error {
	statement, err := tx.PrepareContext(ctx, `INSERT INTO calls AS known
		(day, caller, api, method, organization, client, protocol, way, outcome, calls, first_ms, last_ms)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`+upsert)
	if err != nil {
		return err
	}
	defer func() { _ = statement.Close() }()
	for _, row := range rows {
		if _, err := statement.ExecContext(ctx, append(row.columns(), row.Calls, row.First.UnixMilli(), row.Last.UnixMilli())...); err != nil {
			return err
		}
	}
	return keepNames(ctx, tx, rows)
}

// fit makes a batch's rows fit into the room that their days have. When a day is full, calls of
// callers who have a row are still theirs; those of new callers are added up as CallerOthers'. It
// returns the rows, and how many calls were added up so.
func (s *Store) fit(ctx context.Context, tx *sql.Tx, rows []Row) (fitting []Row, unnamed int64, err error) {
	has, err := tx.PrepareContext(ctx, `SELECT EXISTS (SELECT 1 FROM calls WHERE day = $1 AND caller = $2 AND api = $3 AND method = $4
		AND organization = $5 AND client = $6 AND protocol = $7 AND way = $8 AND outcome = $9)`)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = has.Close() }()
	day, there := "", 0
	for _, row := range rows {
		if row.Day != day {
			if there, err = s.rowsOf(ctx, tx, row.Day); err != nil {
				return nil, 0, err
			}
			day = row.Day
		}
		known := true
		if row.IsNamed() {
			if there++; there > maxRowsStored {
				err = has.QueryRowContext(ctx, row.columns()...).Scan(&known)
			}
		}
		if err != nil {
			return nil, 0, err
		}
		if !known {
			row.Key = row.withoutDetail()
			unnamed += row.Calls
		}
		fitting = append(fitting, row)
	}
	fitting = sum(fitting)
	slices.SortFunc(fitting, func(a, b Row) int { return compareKeys(a.Key, b.Key) })
	return fitting, unnamed, nil
}

// rowsOf is how many rows count for the bound of a day.
func (s *Store) rowsOf(ctx context.Context, tx *sql.Tx, day string) (rows int, err error) {
	const ofAllDays = "SELECT COUNT(*) FROM calls WHERE caller NOT LIKE '(%'"
	if s.dialect == inMemory {
		err = tx.QueryRowContext(ctx, ofAllDays).Scan(&rows)
		return rows, err
	}
	err = tx.QueryRowContext(ctx, ofAllDays+" AND LENGTH(day) = 10 AND day = $1", day).Scan(&rows)
	return rows, err
}

// tidy folds old days, deletes those before a time, unless it is zero, and the names of those who have
// no calls any more, or all names.
func (s *Store) tidy(ctx context.Context, now, before time.Time, names bool) error {
	if err := s.migrate(ctx); err != nil {
		return err
	}
	return s.inTransaction(ctx, func(tx *sql.Tx) error {
		if s.dialect == postgreSQL { // other replicas do the same
			if err := lock(ctx, tx); err != nil {
				return err
			}
		}
		if !before.IsZero() {
			day := dayOf(before)
			for _, statement := range []string{
				"DELETE FROM calls WHERE day < $1 AND (LENGTH(day) = 10 OR day < SUBSTR($1, 1, 7))",
				"DELETE FROM coverage WHERE day < $1", "DELETE FROM writers WHERE day < $1",
			} {
				if _, err := tx.ExecContext(ctx, statement, day); err != nil {
					return err
				}
			}
		}
		return errors.Join(
			fold(ctx, tx, "day, '"+CallerOldTokens+"', api, method, '', '', '', way, outcome",
				"caller LIKE 'token:%' AND LENGTH(day) = 10 AND day < $1", now.AddDate(0, 0, -foldTokensAfter)),
			fold(ctx, tx, "SUBSTR(day, 1, 7), caller, api, method, '', '', '', '', ''", "LENGTH(day) = 10 AND day < $1", now.AddDate(0, 0, -foldAfter)),
			forgetNames(ctx, tx, names))
	})
}

// fold adds up the rows that a condition selects, under another key.
func fold(ctx context.Context, tx *sql.Tx, key, condition string, before time.Time) error {
	first := dayOf(before)
	//nolint:gosec // key and condition are constants of this file
	if _, err := tx.ExecContext(ctx, `INSERT INTO calls AS known (day, caller, api, method, organization, client, protocol, way, outcome, calls, first_ms, last_ms)
		SELECT `+key+`, SUM(calls), MIN(first_ms), MAX(last_ms) FROM calls WHERE `+condition+` GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9`+upsert, first); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM calls WHERE "+condition, first) //nolint:gosec // as above
	return err
}

// dayOf is a time's day in UTC.
func dayOf(at time.Time) string { return at.UTC().Format(time.DateOnly) }

func startOfDay(at time.Time) time.Time { return at.UTC().Truncate(24 * time.Hour) }
