package transform

import (
	"fmt"

	"github.com/sluice-etl/sluice/internal/columns"
)

// The codes of rejects: all there are.
const (
	CodeEmpty       = "empty"         // a payload without a line
	CodeInvalidJSON = "invalid_json"  // a syntax error
	CodeInvalidUTF8 = "invalid_utf8"  // bytes that are not UTF-8, in a string or elsewhere
	CodeNotAnObject = "not_an_object" // JSON, but an array or a scalar
	CodeTooDeep     = "too_deep"      // nesting beyond 64 levels
	CodeTooManyKeys = "too_many_keys" // more than 1,000 keys at the top of the record
	CodeNoMatch     = "no_match"      // a line that is not of the log format
	CodeInvalidCSV  = "invalid_csv"   // a quoted value that does not end, or not at the end of its field
	CodeHeader      = "header"        // a payload without a line but headers
	CodeMissing     = "missing_value" // a column that is required has no value
	CodeMisfit      = "misfit"        // a value that no column takes in full, where nothing is rescued
)

// Misfit tells whether a code is of lines that can be read, but do not fit the schema.
func Misfit(code string) bool { return code == CodeMissing || code == CodeMisfit }

// A Reject is a line that is no record.
type Reject struct {
	Place   int    // of the line in the payload, counted from 0 over rows and rejects
	Code    string // one of the constants above
	Message string // for a person, with the offset in the payload
	Raw     []byte // the line, as a part of the payload
}

// Output is where a decoder puts what it makes of payloads. Everything is added to what is there already, and Lines is
// always the number of rows plus the number of rejects that were added.
type Output struct {
	// Table gets the rows: the decoder adds to its first columns, those of its Fields, and leaves other columns, and
	// the table's count of rows, to the caller. The first columns must be of equal length.
	Table   *columns.Table
	Places  []int32  // of every row: the place of its line in its payload, as in Reject
	Raw     [][]byte // of every row: its line as it came, without the newline, as a part of the payload
	Rejects []Reject

	Lines      int
	Duplicates int // keys of rows that came again in the same record; the last one won
	Rescued    int // rows with something in the column rescued
}

// Reset empties all but the table, and keeps the memory for further use.
func (o *Output) Reset() {
	clear(o.Rejects)
	clear(o.Raw)
	*o = Output{Table: o.Table, Places: o.Places[:0], Raw: o.Raw[:0], Rejects: o.Rejects[:0]}
}

// rows are the columns that a decoder fills, a row at a time.
type rows struct {
	cols []columns.Column // the last is rescued
	row  int              // the index of the current row in them
}

// beginRows takes columns up, which may be none.
func (r *rows) beginRows(cols []columns.Column) {
	r.cols, r.row = cols, 0
	if len(cols) > 0 {
		r.row = cols[0].Len()
	}
}

// endRow finishes the current row: a column that was given no value gets a null.
func (r *rows) endRow() {
	r.row++
	for i := range r.cols {
		if c := &r.cols[i]; len(c.Valid) < r.row {
			c.AppendNull()
		}
	}
}

// dropRow takes back what was given to the current row.
func (r *rows) dropRow() {
	for i := range r.cols {
		r.cols[i].Truncate(r.row)
	}
}

// reject makes a reject of the line from start to end, of which fault says what is wrong.
func (s *scanner) reject(place, start, end int) Reject {
	for end > start && isSpace(s.data[end-1]) {
		end--
	}
	found := "the end"
	if at := s.fault.at; at < len(s.data) {
		found = fmt.Sprintf("%q", s.data[at:at+1])
	}
	return Reject{
		Place:   place,
		Code:    s.fault.code,
		Message: fmt.Sprintf("at byte %d: want %s, found %s", s.fault.at, s.fault.what, found),
		Raw:     s.data[start:end],
	}
}
