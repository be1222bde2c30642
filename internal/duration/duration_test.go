package duration_test

import (
	"testing"
	"time"

	"zitadel-v1-adapter/internal/duration"
)

func TestDaysAreDurations(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"10s": 10 * time.Second, "1m30s": 90 * time.Second, "0d": 0, "400d": 9600 * time.Hour, "1d12h": 36 * time.Hour, "-2d": -48 * time.Hour,
	} {
		if got, err := duration.Parse(text); got != want || err != nil {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "10", "d", "d1h", "1.5d", "1h1d", "1d1d", "1dd", "3000000d", "99999999999999999999d"} {
		if got, err := duration.Parse(text); err == nil {
			t.Errorf("%s: got %v, want an error", text, got)
		}
	}
}

func TestFormatHasNoNeedlessZeros(t *testing.T) {
	t.Parallel()
	for want, of := range map[string]time.Duration{
		"0s": 0, "10s": 10 * time.Second, "1m": time.Minute, "1m10s": 70 * time.Second, "2h": 2 * time.Hour, "2h10m": 130 * time.Minute, "1d": duration.Day, "25h": 25 * time.Hour,
	} {
		if got := duration.Format(of); got != want {
			t.Errorf("%v: got %s, want %s", of, got, want)
		}
	}
}
