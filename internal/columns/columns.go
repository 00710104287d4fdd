// Package columns holds rows by column: the one form in which records travel from the parser to the files.
//
// A Table is filled a row at a time, and emptied as a whole; its memory is kept for the next filling, so that a
// steady stream of rows allocates nothing. The package knows no format, no schema source and no file.
package columns

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Type is the type of a column's values, by the names that Glue and Athena users know.
type Type uint8

// The types of a column.
const (
	String    Type = iota // UTF-8 text
	Int64                 // Athena's bigint
	Double                // IEEE 754, 64 bits
	Boolean               //
	Timestamp             // milliseconds since 1970-01-01 UTC
	Decimal               // a number of so many digits, of which so many are behind the point: see Field
)

// MaxPrecision is the most digits of a Decimal: those that every int64 of as many has. Parquet has more only as bytes, and the
// library that writes it takes their bounds for those of unsigned numbers: readers would skip what they look for.
const MaxPrecision = 18

var typeNames = [...]string{"string", "int64", "double", "boolean", "timestamp", "decimal"}

func (t Type) String() string { return typeNames[t] }

// MarshalText gives the type's name, so that a schema reads well as JSON.
func (t Type) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (t *Type) UnmarshalText(text []byte) error {
	i := slices.Index(typeNames[:], string(text))
	if i < 0 {
		return fmt.Errorf("no such column type: %q; the types are %v", text, typeNames)
	}
	*t = Type(i)
	return nil
}

// Field describes a column. A required one never holds a null.
type Field struct {
	Name     string `json:"name"`
	Type     Type   `json:"type"`
	Required bool   `json:"required,omitempty"`

	// Of a Decimal: its digits, from 1 to MaxPrecision, and how many of them are behind the point.
	Precision uint8 `json:"precision,omitempty"`
	Scale     uint8 `json:"scale,omitempty"`
}

// SQLType is the type as Glue and Athena write it.
func (f *Field) SQLType() string {
	switch f.Type {
	case Int64:
		return "bigint"
	case Decimal:
		return fmt.Sprintf("decimal(%d,%d)", f.Precision, f.Scale)
	}
	return f.Type.String()
}

// Column holds the values of one field, one per row. Where Valid is false the row's value is null, and its place in
// the value slice holds a zero. Readers may use the slices directly; only the methods change them.
type Column struct {
	Field
	Hidden  bool // no file shows it: it is of use to later stages only
	Valid   []bool
	Ints    []int64   // Int64, Timestamp and, times ten to the power of its scale, Decimal
	Doubles []float64 // Double
	Bools   []bool    // Boolean
	Text    []byte    // String: the values one after the other,
	Ends    []uint32  // and where each ends in Text
}

// Len is the number of rows the column holds.
func (c *Column) Len() int { return len(c.Valid) }

// AppendInt adds a value to an Int64, Timestamp or Decimal column.
func (c *Column) AppendInt(v int64) {
	c.Valid = append(c.Valid, true)
	c.Ints = append(c.Ints, v)
}

// AppendDouble adds a value to a Double column.
func (c *Column) AppendDouble(v float64) {
	c.Valid = append(c.Valid, true)
	c.Doubles = append(c.Doubles, v)
}

// AppendBool adds a value to a Boolean column.
func (c *Column) AppendBool(v bool) {
	c.Valid = append(c.Valid, true)
	c.Bools = append(c.Bools, v)
}

// AppendText adds a copy of v to a String column.
func (c *Column) AppendText(v []byte) {
	c.Valid = append(c.Valid, true)
	c.Text = append(c.Text, v...)
	c.Ends = append(c.Ends, uint32(len(c.Text)))
}

// AppendString adds v to a String column.
func (c *Column) AppendString(v string) {
	c.Valid = append(c.Valid, true)
	c.Text = append(c.Text, v...)
	c.Ends = append(c.Ends, uint32(len(c.Text)))
}

// AppendNull adds a row without a value.
func (c *Column) AppendNull() {
	c.Valid = append(c.Valid, false)
	switch c.Type {
	case String:
		c.Ends = append(c.Ends, uint32(len(c.Text)))
	case Int64, Timestamp, Decimal:
		c.Ints = append(c.Ints, 0)
	case Double:
		c.Doubles = append(c.Doubles, 0)
	case Boolean:
		c.Bools = append(c.Bools, false)
	}
}

// TextAt is the value of a String column in a row; it is part of the column's memory.
func (c *Column) TextAt(row int) []byte {
	start := uint32(0)
	if row > 0 {
		start = c.Ends[row-1]
	}
	return c.Text[start:c.Ends[row]]
}

// DecimalAt is the value of a Decimal column in a row as a double, for what reckons with doubles.
func (c *Column) DecimalAt(row int) float64 {
	unit := 1.0 // exact, as all powers of ten up to 22 are
	for range c.Scale {
		unit *= 10
	}
	return float64(c.Ints[row]) / unit
}

// AppendValue adds the text of a row's value, which is not null, to dst: texts as they are, numbers with all their digits,
// times as ISO 8601 in UTC with milliseconds.
func (c *Column) AppendValue(dst []byte, row int) []byte {
	switch c.Type {
	case Int64:
		return strconv.AppendInt(dst, c.Ints[row], 10)
	case Decimal:
		return AppendDecimal(dst, c.Ints[row], c.Scale)
	case Timestamp:
		return time.UnixMilli(c.Ints[row]).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	case Double:
		return strconv.AppendFloat(dst, c.Doubles[row], 'g', -1, 64)
	case Boolean:
		return strconv.AppendBool(dst, c.Bools[row])
	}
	return append(dst, c.TextAt(row)...)
}

// AppendDecimal adds the text of a Decimal's value to dst: with all digits behind the point, as SQL shows it.
func AppendDecimal(dst []byte, v int64, scale uint8) []byte {
	if v < 0 {
		dst, v = append(dst, '-'), -v // it has MaxPrecision digits at most
	}
	unit := int64(1)
	for range scale {
		unit *= 10
	}
	dst = strconv.AppendInt(dst, v/unit, 10)
	if scale == 0 {
		return dst
	}
	point := len(dst)
	dst = strconv.AppendInt(dst, unit+v%unit, 10) // a 1 before the fraction keeps its zeros,
	dst[point] = '.'                              // and is where the point belongs
	return dst
}

// Truncate drops all rows from the given one on.
func (c *Column) Truncate(rows int) {
	if rows >= len(c.Valid) {
		return
	}
	c.Valid = c.Valid[:rows]
	switch c.Type {
	case String:
		c.Ends = c.Ends[:rows]
		end := uint32(0)
		if rows > 0 {
			end = c.Ends[rows-1]
		}
		c.Text = c.Text[:end]
	case Int64, Timestamp, Decimal:
		c.Ints = c.Ints[:rows]
	case Double:
		c.Doubles = c.Doubles[:rows]
	case Boolean:
		c.Bools = c.Bools[:rows]
	}
}

// move puts a row's value in the place of an earlier row. The rows after that one lose theirs, up to the moved one.
func (c *Column) move(to, row int) {
	c.Valid[to] = c.Valid[row]
	switch c.Type {
	case String:
		start := uint32(0)
		if to > 0 {
			start = c.Ends[to-1]
		}
		c.Ends[to] = start + uint32(copy(c.Text[start:], c.TextAt(row)))
	case Int64, Timestamp, Decimal:
		c.Ints[to] = c.Ints[row]
	case Double:
		c.Doubles[to] = c.Doubles[row]
	case Boolean:
		c.Bools[to] = c.Bools[row]
	}
}

// size is the number of bytes that the column's values take in memory.
func (c *Column) size() int {
	return len(c.Valid) + 8*len(c.Ints) + 8*len(c.Doubles) + len(c.Bools) + len(c.Text) + 4*len(c.Ends)
}

// Table is a list of columns of equal length. It is not safe for concurrent use.
type Table struct {
	Columns []Column
	rows    int
}

// NewTable makes an empty table with the given fields.
func NewTable(fields []Field) *Table {
	t := &Table{Columns: make([]Column, len(fields))}
	for i, f := range fields {
		t.Columns[i].Field = f
	}
	return t
}

// Rows is the number of finished rows.
func (t *Table) Rows() int { return t.rows }

// Size is the number of bytes that the values take in memory.
func (t *Table) Size() int {
	n := 0
	for i := range t.Columns {
		n += t.Columns[i].size()
	}
	return n
}

// EndRow finishes a row: every column that was given no value for it becomes null.
func (t *Table) EndRow() {
	t.rows++
	for i := range t.Columns {
		if c := &t.Columns[i]; len(c.Valid) < t.rows {
			c.AppendNull()
		}
	}
}

// Retain drops the finished rows from the given one on that keep refuses, and what was given to an unfinished row. It asks
// once for each row, in their order.
func (t *Table) Retain(from int, keep func(row int) bool) {
	t.DropRow()
	kept := from
	for row := from; row < t.rows; row++ {
		if !keep(row) {
			continue
		}
		if kept < row {
			for i := range t.Columns {
				t.Columns[i].move(kept, row)
			}
		}
		kept++
	}
	t.Truncate(kept)
}

// DropRow takes back what was given to the row that is not finished.
func (t *Table) DropRow() { t.Truncate(t.rows) }

// Truncate drops all rows from the given one on, and what was given to an unfinished row.
func (t *Table) Truncate(rows int) {
	t.rows = min(t.rows, rows)
	for i := range t.Columns {
		t.Columns[i].Truncate(t.rows)
	}
}
