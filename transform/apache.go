package transform

import (
	"bytes"
	"fmt"

	"github.com/sluice-etl/sluice/internal/columns"
)

// ApacheSchema is the schema of lines of a log format: a nickname, or a LogFormat as mod_log_config has it. Columns have the
// types of the directives, or with text all are strings. Reserved names are as for [NewDetector]. An error tells what
// is wrong with the format.
func ApacheSchema(logFormat string, text bool, reserved ...string) (Schema, error) {
	l, err := layoutOf(logFormat)
	if err != nil {
		return Schema{}, err
	}
	s := Schema{Version: 1, Format: FormatApache, LogFormat: logFormat}
	var begun [2]bool
	for i := range l.elements {
		e := &l.elements[i]
		if e.form == formPart && !text {
			if begun[e.phase] { // the column of the first part is that of all
				continue
			}
			begun[e.phase] = true
		}
		for _, v := range e.values {
			if text {
				v.Type = columns.String
			}
			s.Fields = append(s.Fields, Field{Field: v, Source: v.Name})
		}
	}
	s.nameColumns(reserved)
	return s, nil
}

// Apache decodes the lines of an access log. It compiles the format once, allocates nothing for a row once it is
// warm, and is not safe for concurrent use.
type Apache struct {
	lines
	layout  *layout
	targets [][]target // by element
	request target     // of what cannot be split
	more    target     // of what stands behind the last element
	joined  [2]bool    // the parts of a time go to one timestamp

	// of the current line
	spans  []span // the texts of the elements that are there
	beyond span
	times  [2]moments // by phase
}

// span is a part of the payload.
type span struct{ start, end int }

// NewApache makes a decoder for lines of the schema's log format. It fails if there is no such format.
func NewApache(s Schema) (*Apache, error) {
	l, err := layoutOf(s.LogFormat)
	if err != nil {
		return nil, err
	}
	d := &Apache{lines: newLines(s), layout: l, targets: make([][]target, len(l.elements)), spans: make([]span, 0, len(l.elements))}
	d.escaped = true
	d.request, d.more = d.target(wholeRequest), d.target("more")
	for i := range l.elements {
		e := &l.elements[i]
		for _, v := range e.values {
			d.targets[i] = append(d.targets[i], d.target(v.Name))
		}
		if e.form == formPart && d.typed(&d.targets[i][0], columns.Timestamp) {
			d.joined[e.phase] = true
		}
	}
	return d, nil
}

// Decode adds the lines of a payload to out. It keeps no part of the payload, but rejects do.
func (d *Apache) Decode(payload []byte, out *Output) { d.decode(payload, out, d) }

func (d *Apache) line(pos int) (end, next int, counts bool) {
	pos, end, next = d.trimmed(pos)
	switch {
	case pos == end:
		return end, next, false
	case d.layout.comments && d.data[pos] == '#':
		d.passed = true
		return end, next, false
	}
	if d.match(pos, end) {
		d.fill()
	}
	return end, next, true
}

// trimmed finds the text of the physical line at pos, without white space around it.
func (d *Apache) trimmed(pos int) (start, end, next int) {
	end, next = d.lineText(pos)
	end = pos + len(bytes.TrimRight(d.data[pos:end], " \t\r"))
	for pos < end && isSpace(d.data[pos]) {
		pos++
	}
	return pos, end, next
}

// matching counts the lines of a payload that match.
func (d *Apache) matching(payload []byte) (n int) {
	d.data = payload
	for pos := d.start(); pos < len(payload); {
		start, end, next := d.trimmed(pos)
		if start < end && d.match(start, end) {
			n++
		}
		pos = next
	}
	d.data = nil
	return n
}

// match finds the texts of the elements in a line. If it does not match, fault says where.
func (d *Apache) match(pos, end int) bool {
	d.spans, d.beyond = d.spans[:0], span{}
	if pos = d.literal(pos, end, d.layout.before, "at the beginning"); pos < 0 {
		return false
	}
	for i := range d.layout.elements {
		e := &d.layout.elements[i]
		if pos = d.element(e, pos, end); pos < 0 {
			return false
		}
		if d.layout.open && pos == end && i+1 >= d.layout.required {
			return true
		}
		if pos = d.literal(pos, end, e.after, e.written); pos < 0 {
			return false
		}
	}
	if pos < end && d.layout.open && isSpace(d.data[pos]) {
		d.beyond = span{pos + 1, end}
		pos = end
	}
	if pos < end {
		last := &d.layout.elements[len(d.layout.elements)-1]
		d.fail(CodeNoMatch, pos, "the end of the line after "+last.written)
		return false
	}
	return true
}

// literal reads the text that stands behind a directive.
func (d *Apache) literal(pos, end int, want, after string) int {
	if pos+len(want) <= end && string(d.data[pos:pos+len(want)]) == want {
		return pos + len(want)
	}
	for i := range len(want) {
		if pos == end || d.data[pos] != want[i] {
			break
		}
		pos++
	}
	return d.fail(CodeNoMatch, pos, fmt.Sprintf("%q after %s", want, after))
}

// element finds the text of an element that begins at pos, and returns the place behind it and its quotes or brackets.
// In a format that is open a bare - can stand for what would be in quotes.
func (d *Apache) element(e *element, pos, end int) int {
	start, behind := pos, 0
	switch {
	case e.open == 0:
		pos = d.stop(e, pos, end)
	case d.layout.open && pos < end && d.data[pos] == '-':
		pos++
	case pos == end || d.data[pos] != e.open:
		return d.fail(CodeNoMatch, pos, fmt.Sprintf("%q before %s", e.open, e.written))
	default:
		start, behind = pos+1, 1
		pos = d.closing(e, start, end)
	}
	if pos < 0 {
		return -1
	}
	d.spans = append(d.spans, span{start, pos})
	return pos + behind
}

// closing finds the quote or bracket that ends a text. Within quotes, backslashes escape.
func (d *Apache) closing(e *element, pos, end int) int {
	for from := pos; ; {
		i := bytes.IndexByte(d.data[from:end], e.close)
		if i < 0 {
			return d.fail(CodeNoMatch, end, fmt.Sprintf("%q after %s", e.close, e.written))
		}
		from += i
		if e.close != '"' || !oddSlashes(d.data[pos:from]) {
			return from
		}
		from++
	}
}

// oddSlashes tells whether a text ends in a backslash that is not escaped itself.
func oddSlashes(text []byte) bool {
	return (len(text)-len(bytes.TrimRight(text, `\`)))%2 == 1
}

// stop finds the end of a text that nothing encloses.
func (d *Apache) stop(e *element, pos, end int) int {
	switch {
	case e.quoted:
		return d.stopQuoted(e, pos, end)
	case e.class == classText:
		return d.stopText(e, pos, end)
	}
	stop := pos
	for stop < end && d.data[stop] > ' ' {
		stop++
	}
	if len(e.stop) > 0 && e.stop[0] > ' ' {
		find := bytes.Index
		if e.class == classHost && e.stop[0] == ':' {
			find = bytes.LastIndex
		}
		if i := find(d.data[pos:min(stop+len(e.stop)-1, end)], e.stop); i >= 0 {
			stop = pos + i
		}
	}
	if stop == pos {
		return d.fail(CodeNoMatch, pos, "a value for "+e.written)
	}
	return stop
}

// stopText finds the end of a text of any bytes.
func (d *Apache) stopText(e *element, pos, end int) int {
	if len(e.stop) == 0 {
		return d.cutQuery(e, pos, end)
	}
	from := pos
	if e.inside {
		from = d.inside(e.pattern, pos, end)
	}
	i := bytes.Index(d.data[from:end], e.stop)
	if i < 0 {
		return d.misses(e, end)
	}
	return d.cutQuery(e, pos, from+i)
}

// inside passes over what a time has within that could be taken for its end.
func (d *Apache) inside(pattern []conversion, pos, end int) int {
	for _, c := range pattern {
		switch c.letter {
		case 0:
			if i := bytes.Index(d.data[pos:end], c.text); i >= 0 {
				pos += i + len(c.text)
			}
		case 'e', 'k', 'l':
			pos = end - len(padded(d.data[pos:end]))
		}
	}
	return pos
}

// stopQuoted finds the end of a text within quotes, beside others.
func (d *Apache) stopQuoted(e *element, pos, end int) int {
	for stop := pos; stop < end; stop++ {
		switch {
		case len(e.stop) > 0 && bytes.HasPrefix(d.data[stop:end], e.stop):
			return d.cutQuery(e, pos, stop)
		case d.data[stop] == '\\':
			stop++
		case d.data[stop] == '"':
			return d.misses(e, stop)
		}
	}
	return d.misses(e, end)
}

// misses is the fault that the end of a text was not found.
func (d *Apache) misses(e *element, at int) int {
	return d.fail(CodeNoMatch, at, fmt.Sprintf("%q after %s", e.stop, e.written))
}

// cutQuery ends a path where its query begins.
func (d *Apache) cutQuery(e *element, pos, stop int) int {
	if e.query {
		if i := bytes.IndexByte(d.data[pos:stop], '?'); i >= 0 {
			return pos + i
		}
	}
	return stop
}
