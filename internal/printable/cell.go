package printable

import "regexp"

// formula is where a spreadsheet could take a cell for a formula: at its beginning, or
// behind a sign that divides cells where the language or the program has another than
// the comma. Signs of formulas are those that spreadsheets read as =, +, - and @, in each width.
var formula = regexp.MustCompile(`(^|[,;|"'])(\pZ*[=+\-@＝＋－＠﹦﹢﹣﹫−⁼⁺⁻₌₊₋])`)

// Cell is a text for a cell of CSV, which encoding/csv is to write: as Text, and text for
// every spreadsheet, because a ' stands before what would begin a formula.
func Cell(text string) string { return formula.ReplaceAllString(Text(text), "$1'$2") }
