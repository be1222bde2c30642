package adapter_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"zitadel-v1-adapter/adapter"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	parsed, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// A window holds its beginning and not its end, and says when it ends. Of two that overlap
// the one counts that ends later.
func TestScheduleKnowsItsWindows(t *testing.T) {
	t.Parallel()
	schedule, err := adapter.NewSchedule([]string{
		"2027-01-11T09:30:00+01:00/2027-01-11T10:00:00Z", "0 9 * * 1 for 1h", "30 9 11 1 * for 90m",
	})
	if err != nil {
		t.Fatal(err)
	}
	for now, want := range map[string]string{ // 2027-01-11 is a Monday
		"2027-01-11T08:29:59Z": "",
		"2027-01-11T08:30:00Z": "2027-01-11T10:00:00Z",
		"2027-01-11T09:15:00Z": "2027-01-11T10:00:00Z",
		"2027-01-11T09:30:00Z": "2027-01-11T11:00:00Z",
		"2027-01-11T10:59:59Z": "2027-01-11T11:00:00Z",
		"2027-01-11T11:00:00Z": "",
		"2027-01-18T08:59:59Z": "",
		"2027-01-18T09:00:00Z": "2027-01-18T10:00:00Z",
		"2027-01-18T09:59:59Z": "2027-01-18T10:00:00Z",
		"2027-01-18T10:00:00Z": "",
	} {
		window, in := schedule.At(at(t, now))
		got := ""
		if in {
			got = window.To.UTC().Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("at %s: got a window until %q, want %q", now, got, want)
		}
	}
	next := schedule.Next(at(t, "2027-01-11T09:45:00Z"), 4)
	begin := make([]string, 0, len(next))
	for _, window := range next {
		begin = append(begin, window.From.UTC().Format("01-02 15:04"))
	}
	if want := []string{"01-11 08:30", "01-11 09:00", "01-11 09:30", "01-18 09:00"}; !slices.Equal(begin, want) {
		t.Errorf("next windows: got %q, want %q", begin, want)
	}
}

// A schedule of nothing has no window, and no cost.
func TestEmptyScheduleHasNoWindow(t *testing.T) {
	t.Parallel()
	schedule, err := adapter.NewSchedule(nil)
	if _, in := schedule.At(time.Now()); in || err != nil || len(schedule.Next(time.Now(), 5)) > 0 {
		t.Errorf("got a window (%v), want none", err)
	}
}

// A mistake names the key, the text, and what would be right.
func TestScheduleNamesMistakes(t *testing.T) {
	t.Parallel()
	for text, hint := range map[string]string{
		"":           "use two times such as",
		"2027-01-11": "use two times such as",
		"2027-01-11T10:00:00Z/2027-01-11T10:00:00Z": "TO is before FROM, or the same",
		"2027-01-11T10:00:00Z/2027-01-11T09:00:00Z": "TO is before FROM, or the same",
		"0 9 * * 1":          "use two times such as",
		"0 9 * * 1 for ever": "use a duration up to 7d",
		"0 9 * * 1 for -1h":  "use a duration up to 7d",
		"0 9 * * 1 for 200h": "use a duration up to 7d",
		"0 0 9 * * 1 for 1h": "use five fields",
		"0 25 * * 1 for 1h":  "use five fields",
		"@daily for 1h":      "use five fields",
	} {
		_, err := adapter.NewSchedule([]string{text})
		if err == nil || !strings.HasPrefix(err.Error(), `deprecation.brownouts: "`+text+`": `) || !strings.Contains(err.Error(), hint) {
			t.Errorf("%q: got %v, want the key, the text and %q", text, err, hint)
		}
	}
}

// Brownouts that leave no gap would be the end of v1, not a notice of it.
func TestScheduleThatNeverEndsIsRefused(t *testing.T) {
	t.Parallel()
	for list, endless := range map[string]bool{
		"* * * * * for 1m": true, "0 * * * * for 1h": true, "0 9 * * 1 for 7d": true, "0 0-11 * * * for 1h, 0 12 * * * for 12h": true,
		"0 * * * * for 59m": false, "0 9 * * 1 for 6d": false, "0 0-11 * * * for 1h": false, "2000-01-01T00:00:00Z/3000-01-01T00:00:00Z": false,
	} {
		_, err := adapter.NewSchedule(strings.Split(list, ", "))
		if got := err != nil && strings.HasPrefix(err.Error(), "deprecation.brownouts: they never end"); got != endless {
			t.Errorf("%s: got %v, want it refused: %v", list, err, endless)
		}
	}
}
