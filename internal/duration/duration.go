// Package duration reads durations as the configuration and the command line have them: Go's, and days.
package duration

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Day has 24 hours.
const Day = 24 * time.Hour

// Parse reads a duration such as 10s, 1m30s, 400d or 1d12h.
func Parse(text string) (time.Duration, error) {
	if days, rest, found := strings.Cut(text, "d"); found {
		number, err := strconv.ParseInt(days, 10, 32)
		if err != nil {
			return 0, err
		}
		text = fmt.Sprintf("%dh%s", number*int64(Day/time.Hour), rest)
	}
	return time.ParseDuration(text)
}

// Format is a duration as it would be written: in days if it has whole ones, and without the zeros that it need
// not say.
func Format(of time.Duration) string {
	if of != 0 && of%Day == 0 {
		return fmt.Sprintf("%dd", of/Day)
	}
	text := of.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
