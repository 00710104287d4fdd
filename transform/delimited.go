package transform

import (
	"bytes"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Delimited decodes CSV and TSV: the fields of a line go to the columns in their order. It reuses its memory, so that
// rows cost no allocation once it is warm, and is not safe for concurrent use.
type Delimited struct {
	lines
	comma   byte
	targets []target
	header  [][]byte // the columns' sources
	lengths []int    // of the header lines of all versions of the schema
	extra   []string // keys of rescued for what comes after the columns

	values   [][]byte // of the current line: parts of the payload, or of
	unquoted []byte   // those in which quotes were doubled
	closed   int      // values that begin before this place must end on their physical line
}

// NewDelimited makes a decoder for lines of the schema, which are separated by tabs where its format is TSV, and by commas
// else.
func NewDelimited(s Schema) *Delimited {
	d := &Delimited{lines: newLines(s), comma: ','}
	if s.Format == FormatTSV {
		d.comma = '\t'
	}
	for i, f := range s.Fields {
		t := d.target(f.Source)
		t.column = i // also where others have the same source
		d.targets = append(d.targets, t)
		if f.Added > 0 && (i == 0 || s.Fields[i-1].Added < f.Added) {
			d.lengths = append(d.lengths, i)
		}
		d.header = append(d.header, []byte(f.Source))
	}
	d.lengths = append(d.lengths, len(s.Fields))
	return d
}

// Decode adds the lines of a payload to out. It keeps no part of the payload, but rejects do.
func (d *Delimited) Decode(payload []byte, out *Output) {
	d.closed = 0
	d.decode(payload, out, d)
	clear(d.values) // they refer to the payload
}

func (d *Delimited) line(pos int) (end, next int, counts bool) {
	if end, next = d.lineText(pos); end == pos {
		return end, next, false
	}
	if end, next = d.read(pos); end < 0 {
		end, next = d.resume(pos)
		return end, next, true
	}
	if d.isHeader() {
		d.passed = true
		return end, next, false
	}
	for i, v := range d.values {
		if i < len(d.targets) {
			d.put(&d.targets[i], v)
		} else {
			d.rescue(d.extraKey(i), v)
		}
	}
	return end, next, true
}

// resume finds the end of a line with a fault: that of the physical line at pos, whatever its quotes say. Up to the quote
// where the fault was found no value spans lines, so that the work for it is not done for each of them again.
func (d *Delimited) resume(pos int) (end, next int) {
	d.closed = max(d.closed, d.fault.at-1)
	return d.lineText(pos)
}

// isHeader tells whether the values are the names of the columns, or of those that an earlier version of the schema had. A
// schema has no more than maxColumns of those of a header.
func (d *Delimited) isHeader() bool {
	if !slices.Contains(d.lengths, len(d.values)) && (len(d.header) != maxColumns || len(d.values) < maxColumns) {
		return false
	}
	for i, v := range d.values[:min(len(d.values), len(d.header))] {
		if !utf8.Valid(v) { // as sources are: a schema is JSON
			d.valid = appendValid(d.valid[:0], v)
			v = d.valid
		}
		if !bytes.Equal(v, d.header[i]) {
			return false
		}
	}
	return true
}

// extraKey is the key in rescued of a value that no column expects: its place, counted from 1.
func (d *Delimited) extraKey(i int) string {
	for n := len(d.targets) + len(d.extra) + 1; n <= i+1; n++ {
		d.extra = append(d.extra, `"`+strconv.Itoa(n)+`":`)
	}
	return d.extra[i-len(d.targets)]
}

// read takes the values of the line at pos, which is not blank, and finds its end. It is -1 after a fault.
func (d *Delimited) read(pos int) (end, next int) {
	d.values, d.unquoted = d.values[:0], d.unquoted[:0]
	line, after := d.lineText(pos)
	for {
		if pos < len(d.data) && d.data[pos] == '"' {
			limit := len(d.data)
			if pos < d.closed {
				limit = line
			}
			if pos = d.quoted(pos, limit); pos < 0 {
				return -1, -1
			}
			if pos > line {
				line, after = d.lineText(pos)
			}
		} else {
			stop := line
			if i := bytes.IndexByte(d.data[pos:line], d.comma); i >= 0 {
				stop = pos + i
			}
			d.values = append(d.values, d.data[pos:stop])
			pos = stop
		}
		switch {
		case pos == line:
			return line, after
		case d.data[pos] != d.comma:
			return d.fail(CodeInvalidCSV, pos, "a separator after the closing quote"), -1
		}
		pos++
	}
}

// quoted takes the value in quotes at pos, which must end before limit, and returns the place behind it.
func (d *Delimited) quoted(pos, limit int) int {
	start, from := len(d.unquoted), pos+1
	doubled := false
	for pos = from; ; pos += 2 {
		i := bytes.IndexByte(d.data[pos:limit], '"')
		if i < 0 {
			return d.fail(CodeInvalidCSV, limit, "a closing quote")
		}
		pos += i
		if pos+1 == limit || d.data[pos+1] != '"' {
			break
		}
		doubled = true
		d.unquoted = append(d.unquoted, d.data[from:pos+1]...)
		from = pos + 2
	}
	value := d.data[from:pos]
	if doubled {
		d.unquoted = append(d.unquoted, value...)
		value = d.unquoted[start:]
	}
	d.values = append(d.values, value)
	return pos + 1
}
