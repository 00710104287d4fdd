package transform

import (
	"github.com/sluice-etl/sluice/internal/columns"
)

// HeaderDetector finds the schema of CSV or TSV that has a header line: the first line that it is shown names the columns,
// and the lines after it show their types, as JSON's values do for [Detector]. It is not safe for concurrent use.
type HeaderDetector struct {
	format   string
	reserved []string
	reader   *Delimited
	kinds    []kinds
	records  int
}

// NewHeaderDetector makes a detector for FormatCSV or FormatTSV. Reserved names are as for [NewDetector].
func NewHeaderDetector(format string, reserved ...string) *HeaderDetector {
	return &HeaderDetector{format: format, reserved: reserved, reader: NewDelimited(Schema{Format: format})}
}

// Add learns from the lines of a payload. What is no line is passed over.
func (d *HeaderDetector) Add(payload []byte) {
	r := d.reader
	r.data, r.closed = payload, 0
	for pos := r.start(); pos < len(payload); {
		end, next := r.lineText(pos)
		if end > pos {
			if end, next = r.read(pos); end < 0 {
				_, next = r.resume(pos)
			} else {
				d.learn()
			}
		}
		pos = next
	}
	r.data = nil
	clear(r.values)
}

// learn takes in the values of a line.
func (d *HeaderDetector) learn() {
	r := d.reader
	switch {
	case r.header == nil:
		for _, v := range r.values[:min(len(r.values), maxColumns)] {
			r.header = append(r.header, appendValid(nil, v))
		}
		r.lengths = []int{len(r.header)}
		d.kinds = make([]kinds, len(r.header))
		return
	case r.isHeader():
		return
	}
	d.records++
	for i, v := range r.values[:min(len(r.values), len(d.kinds))] {
		d.kinds[i] |= textKind(v)
	}
}

// Records is the number of lines learned from, without headers.
func (d *HeaderDetector) Records() int { return d.records }

// Schema is the schema of the lines so far, as version 1.
func (d *HeaderDetector) Schema() Schema {
	s := Schema{Version: 1, Format: d.format, Fields: make([]Field, len(d.kinds))}
	for i, source := range d.reader.header {
		name := string(appendLower(nil, source))
		s.Fields[i] = Field{Field: columns.Field{Name: name, Type: d.kinds[i].columnType()}, Source: string(source)}
	}
	s.nameColumns(d.reserved)
	return s
}

// textKind tells the type that takes a text without loss; of an empty one, none.
func textKind(text []byte) kinds {
	if len(text) == 0 {
		return 0
	}
	if string(text) == "true" || string(text) == "false" {
		return kind(columns.Boolean)
	}
	if _, ok := parseTime(text); ok {
		return kind(columns.Timestamp)
	}
	s := scanner{data: text}
	n, end := s.number(0)
	if end != len(text) {
		return kind(columns.String)
	}
	return n.kind()
}
