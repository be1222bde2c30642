package usage

import (
	"cmp"
	"slices"
	"strings"

	"zitadel-v1-adapter/adapter"
)

// ShadowRow is what shadow mode found, since the adapter started: it is kept in no store.
type ShadowRow struct {
	Method string `json:"method"`
	// Result is one of adapter's Shadow constants.
	Result string `json:"result"`
	// Native and Verdict are those of [adapter.Shadow], of what differs.
	Native  string `json:"native,omitempty"`
	Verdict string `json:"verdict,omitempty"`
	Calls   int64  `json:"calls"`
}

// maxShadows is how many rows there are at most; the log has all that differs.
const maxShadows = 100

// ObserveShadow counts a comparison with native v1.
func (l *Ledger) ObserveShadow(found adapter.Shadow) {
	row := ShadowRow{Method: found.Method, Result: found.Result}
	if found.Result == adapter.ShadowDiffers {
		row.Native, row.Verdict = found.Native, found.Verdict
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shadows[row] == 0 && len(l.shadows) >= maxShadows {
		row.Native, row.Verdict = Others, Others
	}
	l.shadows[row]++
}

// Shadows are all that was found, as MergeShadows has them.
func (l *Ledger) Shadows() []ShadowRow {
	l.mu.Lock()
	defer l.mu.Unlock()
	rows := make([]ShadowRow, 0, len(l.shadows))
	for row, calls := range l.shadows {
		row.Calls = calls
		rows = append(rows, row)
	}
	return MergeShadows(rows)
}

// MergeShadows adds up rows that are the same but for their calls, as those of several
// replicas, and sorts them: by method and result, and the most calls first.
func MergeShadows(rows ...[]ShadowRow) []ShadowRow {
	counts := map[ShadowRow]int64{}
	for _, row := range slices.Concat(rows...) {
		calls := row.Calls
		row.Calls = 0
		counts[row] += calls
	}
	merged := make([]ShadowRow, 0, len(counts))
	for row, calls := range counts {
		row.Calls = calls
		merged = append(merged, row)
	}
	slices.SortFunc(merged, func(a, b ShadowRow) int {
		return cmp.Or(strings.Compare(a.Method, b.Method), strings.Compare(a.Result, b.Result), cmp.Compare(b.Calls, a.Calls),
			strings.Compare(a.Native, b.Native), strings.Compare(a.Verdict, b.Verdict))
	})
	return merged
}
