package printable_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"zitadel-v1-adapter/internal/printable"
)

// What an attacker sends to a terminal, and what is shown in its place.
func TestTextShowsWhatTerminalsObey(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                               "",
		"curl/8.5.0":                     "curl/8.5.0",
		`Größe Ωμέγα "😀" C:\u202e`:       `Größe Ωμέγα "😀" C:\u202e`,
		"e\u0301":                        "e\u0301", // a mark that is seen
		"a\u00a0b":                       "a\u00a0b",
		"\x1b[2J\x1b]0;title\a":          `\u001b[2J\u001b]0;title\u0007`,
		"a\x00\b\r\n\t\v\f\x7f":          `a\u0000\u0008\u000d\u000a\u0009\u000b\u000c\u007f`,
		"\u009b31m\u0090\u009d\u0085":    `\u009b31m\u0090\u009d\u0085`, // C1, as UTF-8
		"\x9b31m":                        `\x9b31m`,                     // C1, as a byte
		"\u202a\u202b\u202c\u202d\u202e": `\u202a\u202b\u202c\u202d\u202e`,
		"\u2066\u2067\u2068\u2069":       `\u2066\u2067\u2068\u2069`,
		"\u200e\u200f\u061c":             `\u200e\u200f\u061c`,
		"\u2028\u2029":                   `\u2028\u2029`,
		"\u200b\u200c\u200d\u2060\ufeff": `\u200b\u200c\u200d\u2060\ufeff`,
		"\u00ad\u034f\u115f\u3164\uffa0": `\u00ad\u034f\u115f\u3164\uffa0`,
		"a\ufe0f\U000e0041\U000e0100":    `a\ufe0f\udb40\udc41\udb40\udd00`, // a variation, a tag, a variation
		"\ue000\U000f0000":               `\ue000\udb80\udc00`,              // private use
		"\u0378\uffff":                   `\u0378\uffff`,                    // not assigned
		"\xff\xc3":                       `\xff\xc3`,
		"\xed\xa0\x80":                   `\xed\xa0\x80`, // half a surrogate
		"\xc0\x9b":                       `\xc0\x9b`,     // ESC, overlong
		"\ufffd":                         "\ufffd",
	} {
		if got := printable.Text(text); got != want {
			t.Errorf("%+q: got %s, want %s", text, got, want)
		}
	}
}

// Whatever the bytes, what is printed is UTF-8 that terminals show and do not obey, and what
// was that before is the same.
func FuzzText(f *testing.F) {
	f.Add("\x1b]8;;http://a\x1b\\ \u202e")
	f.Fuzz(func(t *testing.T, text string) {
		got := printable.Text(text)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsGraphic(r) }) {
			t.Errorf("%+q: got %+q, want characters that are seen", text, got)
		}
		if again := printable.Text(got); again != got {
			t.Errorf("got %+q, and for that %+q", got, again)
		}
	})
}

// Cells that spreadsheets would compute, and what stands there.
func TestCellIsNoFormula(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                         "",
		"curl/8.5.0":               "curl/8.5.0",
		"2027-01-31":               "2027-01-31",
		"a=b+c-d@e":                "a=b+c-d@e",
		"Mozilla/5.0 (X11; Linux)": "Mozilla/5.0 (X11; Linux)",
		`=HYPERLINK("http://a")`:   `'=HYPERLINK("http://a")`,
		"+1":                       "'+1",
		"-1+cmd|' /C calc'!A0":     "'-1+cmd|' /C calc'!A0",
		"@SUM(1)":                  "'@SUM(1)",
		" =1":                      "' =1",
		"\u00a0\u3000=1":           "'\u00a0\u3000=1",
		"\t=1":                     `\u0009=1`,
		"\r=1":                     `\u000d=1`,
		"\n=1":                     `\u000a=1`,
		"a\n=1":                    `a\u000a=1`,
		"\u200b=1":                 `\u200b=1`,
		"\ufeff=1":                 `\ufeff=1`,
		"＝1":                       "'＝1",
		"＋1":                       "'＋1",
		"－1":                       "'－1",
		"＠A":                       "'＠A",
		"﹦1 ﹢1":                    "'﹦1 ﹢1",
		"−1":                       "'−1",
		"a;=1":                     "a;'=1", // where a semicolon divides cells
		"a; +1":                    "a;' +1",
		"a,=1":                     "a,'=1",
		"a|@A":                     "a|'@A",
		`a"=1`:                     `a"'=1`,
		"a\x1b[31m":                `a\u001b[31m`,
		"'=1":                      "''=1",
	} {
		got := printable.Cell(text)
		if got != want {
			t.Errorf("%+q: got %s, want %s", text, got, want)
		}
		var out bytes.Buffer
		writer := csv.NewWriter(&out)
		_ = writer.Write([]string{"first", got})
		writer.Flush()
		if rows, err := csv.NewReader(&out).ReadAll(); err != nil || len(rows) != 1 || rows[0][1] != want {
			t.Errorf("%+q: read again: got %q and %v, want one row with %s", text, rows, err, want)
		}
	}
}

// What is printed in pieces is the same, JSON keeps its value, and tables their lines.
func TestWriterKeepsLayoutAndValues(t *testing.T) {
	t.Parallel()
	const text = "A\tB\n\"\u009b\u202e\U000e0041ö😀\"\r\n"
	const want = "A\tB\n\"\\u009b\\u202e\\udb40\\udc41ö😀\"\\u000d\n"
	for size := 1; size <= len(text); size++ {
		var out bytes.Buffer
		writer := printable.NewWriter(&out)
		for rest := []byte(text); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			if n, err := writer.Write(rest[:min(size, len(rest))]); err != nil || n != min(size, len(rest)) {
				t.Fatalf("pieces of %d: got %d, %v", size, n, err)
			}
		}
		if got := out.String(); got != want {
			t.Errorf("pieces of %d: got %q, want %q", size, got, want)
		}
	}
	const hostile = "\x1b\x7f\u009b\u202e\U000e0041\u2028"
	var out bytes.Buffer
	if err := json.NewEncoder(printable.NewWriter(&out)).Encode(hostile); err != nil {
		t.Fatal(err)
	}
	var got string
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got != hostile || strings.ContainsAny(out.String(), hostile) {
		t.Errorf("%s: got %+q and %v, want %+q", out.String(), got, err, hostile)
	}
}

// A broken output is the caller's to know.
func TestWriterReportsErrors(t *testing.T) {
	t.Parallel()
	if _, err := printable.NewWriter(broken{}).Write([]byte("a")); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want %v", err, errBroken)
	}
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestExcerptIsShortAndOnOneLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"\ta \r\n\tb\n":           "a b",
		"\xff":                    "?",
		strings.Repeat("ö", 200):  strings.Repeat("ö", 200),
		strings.Repeat("ö", 1000): strings.Repeat("ö", 200) + "…",
	} {
		if got := printable.Excerpt(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
