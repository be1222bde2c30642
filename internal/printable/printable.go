// Package printable makes text that others chose harmless for what shows it: a terminal,
// which obeys escape sequences and the direction of writing, and a spreadsheet, which
// computes formulas.
package printable

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/transform"
)

// Text is a text on one line, in which everything that a reader would not see as it is
// stands as an escape: control characters (line breaks and tabs too), format
// characters such as those that change the direction of writing, what has no width, what
// Unicode has not assigned, and bytes that are no UTF-8. A letter stays as it is.
func Text(text string) string {
	shown, _, _ := transform.String(escaper{}, text) // never fails
	return shown
}

// Excerpt is the beginning of a text that may be long, on one line. It is to be shown by
// way of Text or a Writer.
func Excerpt(text string) string {
	const most = 200 // characters
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

// ReadExcerpt is the Excerpt of an answer's body.
func ReadExcerpt(body io.Reader) string {
	const most = 1 << 10                              // bytes
	text, _ := io.ReadAll(io.LimitReader(body, most)) // what came before an error says more than the error
	return Excerpt(string(text))
}

// formula is where a spreadsheet could take a cell for a formula: at its beginning, or
// behind a sign that divides cells where the language or the program has another than
// the comma. Signs of formulas are those that spreadsheets read as =, +, - and @, in each width.
var formula = regexp.MustCompile(`(^|[,;|"'])(\pZ*[=+\-@＝＋－＠﹦﹢﹣﹫−⁼⁺⁻₌₊₋])`)

// Cell is a text for a cell of CSV, which encoding/csv is to write: as Text, and text for
// every spreadsheet, because a ' stands before what would begin a formula.
func Cell(text string) string { return formula.ReplaceAllString(Text(text), "$1'$2") }

// Writer writes to a terminal what a program prints. It lets line breaks and tabs pass, which
// lay out tables and JSON: Text takes them from what others chose.
type Writer struct {
	mu sync.Mutex
	to *transform.Writer
}

// NewWriter makes a Writer.
func NewWriter(to io.Writer) *Writer {
	return &Writer{to: transform.NewWriter(to, escaper{kept: "\n\t"})}
}

// Write implements [io.Writer].
func (w *Writer) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(text)
}

// escaper is a [transform.Transformer] that escapes what is not visible and not in kept. The
// escapes are those of JSON, so that the value of a JSON document stays the same.
type escaper struct {
	transform.NopResetter

	kept string
}

// invisible are the letters and marks that unicode.IsGraphic takes for visible, and that no
// terminal shows: variation selectors, fillers and joiners.
var invisible = []*unicode.RangeTable{unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector}

func (e escaper) Transform(to, text []byte, atEnd bool) (written, read int, err error) {
	for read < len(text) {
		if c := text[read]; ' ' <= c && c <= '~' && written < len(to) { // nearly everything
			to[written] = c
			written, read = written+1, read+1
			continue
		}
		rest := text[read:]
		if !atEnd && !utf8.FullRune(rest) {
			return written, read, transform.ErrShortSrc
		}
		r, size := utf8.DecodeRune(rest)
		shown := rest[:size]
		switch {
		case r == utf8.RuneError && size == 1:
			shown = fmt.Appendf(nil, `\x%02x`, rest[0])
		case strings.ContainsRune(e.kept, r) || unicode.IsGraphic(r) && !unicode.In(r, invisible...):
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			shown = fmt.Appendf(nil, `\u%04x\u%04x`, high, low)
		default:
			shown = fmt.Appendf(nil, `\u%04x`, r)
		}
		if len(shown) > len(to)-written {
			return written, read, transform.ErrShortDst
		}
		written += copy(to[written:], shown)
		read += size
	}
	return written, read, nil
}
