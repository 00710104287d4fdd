package transform

import "github.com/sluice-etl/sluice/internal/columns"

// RawSchema is the schema of lines that are kept as they are.
func RawSchema() Schema {
	line := Field{Field: columns.Field{Name: "line", Type: columns.String}, Source: "line"}
	return Schema{Version: 1, Format: FormatRaw, Fields: []Field{line}}
}

// Raw decodes nothing: every line is the text of a column, blank lines too. It is not safe for concurrent use.
type Raw struct {
	lines
	whole target
}

// NewRaw makes a decoder for lines of any text. The line goes to the column whose source is "line".
func NewRaw(s Schema) *Raw {
	d := &Raw{lines: newLines(s)}
	d.whole = d.target("line")
	return d
}

// Decode adds the lines of a payload to out. It keeps no part of the payload, but rejects do.
func (d *Raw) Decode(payload []byte, out *Output) { d.decode(payload, out, d) }

func (d *Raw) line(pos int) (end, next int, counts bool) {
	end, next = d.lineText(pos)
	d.put(&d.whole, d.data[pos:end])
	return end, next, true
}
