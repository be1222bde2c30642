// Package printable makes text that others chose harmless for what shows it: a terminal,
// which obeys escape sequences and the direction of writing, and a spreadsheet, which
// computes formulas.
package printable

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// invisible are the letters and marks that unicode.IsGraphic takes for visible, and that no
// terminal shows: variation selectors, fillers and joiners.
var invisible = []*unicode.RangeTable{unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector}

func isVisible(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= ' ' && r != '\x7F'
	}
	return unicode.IsGraphic(r) && !unicode.In(r, invisible...)
}

// Text is a text on one line, in which everything that a reader would not see as it is
// stands as an escape: control characters (line breaks and tabs too), format
// characters such as those that change the direction of writing, what has no width, what
// Unicode has not assigned, and bytes that are no UTF-8. A letter stays as it is.
func Text(text string) string { return string(appendVisible(nil, []byte(text), "")) }

// appendVisible appends a text, with escapes for what is not visible and not in kept. They
// are those of JSON, so that the value of a JSON document stays the same.
func appendVisible(to, text []byte, kept string) []byte {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			to = fmt.Appendf(to, `\x%02x`, text[0])
		case isVisible(r) || strings.ContainsRune(kept, r):
			to = append(to, text[:size]...)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			to = fmt.Appendf(to, `\u%04x\u%04x`, high, low)
		default:
			to = fmt.Appendf(to, `\u%04x`, r)
		}
		text = text[size:]
	}
	return to
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

// Writer writes to a terminal what a program prints. It lets line breaks and tabs pass, which
// lay out tables and JSON: Text takes them from what others chose.
type Writer struct {
	mu  sync.Mutex
	to  io.Writer
	in  []byte // the beginning of a character, whose end is still to come
	out []byte // used again
}

// NewWriter makes a Writer.
func NewWriter(to io.Writer) *Writer { return &Writer{to: to} }

// Write implements [io.Writer].
func (w *Writer) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.in = append(w.in, text...)
	whole := len(w.in) - unfinished(w.in)
	w.out = appendVisible(w.out[:0], w.in[:whole], "\n\t")
	w.in = append(w.in[:0], w.in[whole:]...)
	if _, err := w.to.Write(w.out); err != nil {
		return 0, err
	}
	return len(text), nil
}

// unfinished is the length of the beginning of a character at the end of a text.
func unfinished(text []byte) int {
	for i := 1; i < utf8.UTFMax && i <= len(text); i++ {
		if last := text[len(text)-i:]; utf8.RuneStart(last[0]) {
			if utf8.FullRune(last) {
				return 0
			}
			return i
		}
	}
	return 0
}
