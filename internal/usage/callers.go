package usage

import (
	"context"
	"time"
)

// Span is when somebody called first and last.
type Span struct{ First, Last time.Time }

// with is the Span that also holds another one.
func (s Span) with(other Span) Span {
	if s.First.IsZero() || other.First.Before(s.First) {
		s.First = other.First
	}
	if other.Last.After(s.Last) {
		s.Last = other.Last
	}
	return s
}

// Callers are all callers of the days that are kept, as Rows has them. The error is the store's.
func (l *Ledger) Callers(ctx context.Context) (map[string]Span, error) {
	callers := map[string]Span{}
	l.mu.Lock()
	for _, row := range l.rows {
		callers[row.Caller] = callers[row.Caller].with(Span{row.First, row.Last})
	}
	l.mu.Unlock()
	if l.config.Store == nil {
		return callers, nil
	}
	stored, err := l.config.Store.callers(ctx)
	for caller, span := range stored {
		callers[caller] = callers[caller].with(span)
	}
	return callers, err
}

// callers are all of them. The database adds up what may be a year of rows.
func (s *Store) callers(ctx context.Context) (map[string]Span, error) {
	if err := s.migrate(ctx); err != nil {
		return nil, err
	}
	found, err := s.db.QueryContext(ctx, "SELECT caller, MIN(first_ms), MAX(last_ms) FROM calls GROUP BY caller")
	if err != nil {
		return nil, err
	}
	defer func() { _ = found.Close() }()
	callers := map[string]Span{}
	for found.Next() {
		var caller string
		var first, last int64
		if err := found.Scan(&caller, &first, &last); err != nil {
			return nil, err
		}
		callers[caller] = Span{time.UnixMilli(first).UTC(), time.UnixMilli(last).UTC()}
	}
	return callers, found.Err()
}
