package usage

import (
	"context"
	"database/sql"
	"maps"
	"slices"
)

// keepNames keeps the login names of callers, of whom rows are kept too.
func keepNames(ctx context.Context, tx *sql.Tx, rows []Row) error {
	names := map[string]string{}
	for _, row := range rows {
		if row.Name != "" && row.IsNamed() {
			names[row.Caller] = row.Name
		}
	}
	for _, id := range slices.Sorted(maps.Keys(names)) { // in one order: see compareKeys
		if _, err := tx.ExecContext(ctx, `INSERT INTO names AS known (id, login_name) VALUES ($1, $2)
			ON CONFLICT (id) DO UPDATE SET login_name = excluded.login_name WHERE known.login_name <> excluded.login_name`, id, names[id]); err != nil {
			return err
		}
	}
	return nil
}

// forgetNames deletes the names of those who have no rows, or all if none are to be kept.
func forgetNames(ctx context.Context, tx *sql.Tx, keep bool) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM names WHERE NOT $1 OR id NOT IN (SELECT caller FROM calls)", keep)
	return err
}
