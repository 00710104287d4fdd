package transform

import (
	"bytes"
	"unicode/utf8"

	"github.com/sluice-etl/sluice/internal/columns"
)

// lines is what the decoders of text share: formats in which a record is a line, and a value is text.
type lines struct {
	scanner
	rows
	fields   []columns.Field // with rescued
	demands  demands
	sources  map[string]int // to columns
	escaped  bool           // texts have Apache's escapes
	patterns patterns

	passed  bool   // header lines of this payload were passed over
	rescued []byte // of the current row: a JSON object that is not closed
	text    []byte // scratch: a value without its escapes,
	valid   []byte // and one with U+FFFD
}

// lineReader is a format. Its method reads the line that begins at pos, which is before the payload's end, and tells
// where its text ends and where the next begins. If it is a row, its values are put; if it is none, fault says why; and
// not counted are lines that are neither: blank ones and headers.
type lineReader interface {
	line(pos int) (end, next int, counts bool)
}

// target is where a value goes.
type target struct {
	column int    // unknown for none: the value is rescued
	key    string // in rescued: the source, as JSON, with its colon
}

func newLines(s Schema) lines {
	l := lines{sources: make(map[string]int, len(s.Fields)), patterns: newPatterns(s), demands: newDemands(s)}
	for i, f := range s.Fields {
		f.Required = false
		l.fields = append(l.fields, f.Field)
		if _, taken := l.sources[f.Source]; !taken {
			l.sources[f.Source] = i
		}
	}
	l.fields = append(l.fields, columns.Field{Name: RescuedColumn, Type: columns.String})
	return l
}

// Fields are the columns that the decoder fills: those of the schema, and [RescuedColumn]. The caller must not change
// them.
func (l *lines) Fields() []columns.Field { return l.fields }

// target finds the column of a source.
func (l *lines) target(source string) target {
	t := target{column: unknown, key: string(appendQuoted(nil, []byte(source), true)) + ":"}
	if column, ok := l.sources[source]; ok {
		t.column = column
	}
	return t
}

// typed tells whether a value goes to a column of a type.
func (l *lines) typed(t *target, typ columns.Type) bool {
	return t.column != unknown && l.fields[t.column].Type == typ
}

// decode adds the lines of a payload to out.
func (l *lines) decode(payload []byte, out *Output, format lineReader) {
	l.data, l.passed = payload, false
	l.beginRows(out.Table.Columns[:len(l.fields)])
	place := 0
	came := 0 // where the line begins, with a byte order mark
	for pos := l.start(); pos < len(payload); came = pos {
		l.fault, l.rescued = fault{}, l.rescued[:0]
		start := pos
		end, next, counts := format.line(pos)
		pos = next
		if counts && l.fault.code == "" {
			l.fault = l.demands.fault(&l.rows, start, len(l.rescued) > 0)
		}
		switch {
		case !counts:
			continue
		case l.fault.code != "":
			l.dropRow()
			out.Rejects = append(out.Rejects, l.reject(place, start, end))
		default:
			l.finish(out)
			out.Places = append(out.Places, int32(place))
			out.Raw = append(out.Raw, bytes.TrimSuffix(payload[came:next], []byte("\n")))
		}
		place++
	}
	if place == 0 {
		l.nothing(out)
		place++
	}
	out.Lines += place
	l.data, l.cols = nil, nil
}

// finish ends a row.
func (l *lines) finish(out *Output) {
	if len(l.rescued) > 0 {
		l.rescued = append(l.rescued, '}')
		l.cols[len(l.cols)-1].AppendText(l.rescued)
		out.Rescued++
	}
	l.endRow()
}

// nothing rejects a payload without a line that counts: it is a record of the stream, and must not vanish.
func (l *lines) nothing(out *Output) {
	if l.passed {
		l.fail(CodeHeader, len(l.data), "a line after the header")
	} else {
		l.fail(CodeEmpty, len(l.data), "a line")
	}
	r := l.reject(0, 0, 0)
	r.Raw = l.data
	out.Rejects = append(out.Rejects, r)
}

// put gives the current row a value, as it stands in the line.
func (l *lines) put(t *target, value []byte) {
	if t.column == unknown {
		l.rescue(t.key, value)
		return
	}
	text := value
	if l.escaped && bytes.IndexByte(value, '\\') >= 0 {
		l.text = undoEscapes(l.text[:0], value)
		text = l.text
	}
	if !l.add(t.column, text) {
		l.rescue(t.key, value)
	}
}

// add adds a value to a column, and tells whether the column says all that the text says. Of an empty text, that is
// null in all columns that are not text. What the column does not take, endRow makes null.
func (l *lines) add(column int, text []byte) (whole bool) {
	c := &l.cols[column]
	switch {
	case c.Type == columns.String && utf8.Valid(text):
		c.AppendText(text)
		return true
	case c.Type == columns.String:
		l.valid = appendValid(l.valid[:0], text)
		c.AppendText(l.valid)
		return false
	case len(text) == 0:
		return true
	}
	switch c.Type {
	case columns.Int64, columns.Double, columns.Decimal:
		s := scanner{data: text}
		n, end := s.number(0)
		return end == len(text) && appendNumber(c, &n)
	case columns.Boolean:
		value := string(text) == "true"
		if !value && string(text) != "false" {
			return false
		}
		c.AppendBool(value)
	case columns.Timestamp:
		ms, ok, whole := l.patterns.parse(column, text)
		if !ok {
			return false
		}
		c.AppendInt(ms)
		return whole
	}
	return true
}

// rescue keeps a value for the column rescued.
func (l *lines) rescue(key string, value []byte) {
	mark := byte(',')
	if len(l.rescued) == 0 {
		mark = '{'
	}
	l.rescued = append(append(l.rescued, mark), key...)
	l.rescued = appendQuoted(l.rescued, value, l.escaped)
}

// lineText finds the end of the physical line at pos, without the carriage return that may stand before its newline, and
// where the next line begins.
func (l *lines) lineText(pos int) (end, next int) {
	end = l.lineEnd(pos)
	next = min(end+1, len(l.data))
	return pos + len(bytes.TrimSuffix(l.data[pos:end], []byte("\r"))), next
}
