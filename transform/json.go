package transform

import (
	"unicode/utf8"

	"github.com/sluice-etl/sluice/internal/columns"
)

const maxKeys = 1000

// JSON decodes JSON records into columns. It reuses its memory, so that rows cost no allocation once it is warm, and is
// not safe for concurrent use: have one per shard.
type JSON struct {
	scanner
	rows
	fields []columns.Field // with rescued
	exact  map[string]int  // source keys to columns
	lower  map[string]int  // the same in lower case
	tokens []string        // by column: the source key in quotes; empty if it cannot be written without escapes
	next   []int           // by column + 1: the column that came after it in the last record

	patterns patterns
	demands  demands
	flatten  bool // keys of objects without a column are those of the record

	validUTF8 bool // the payload is

	// of the current record
	depth      int // of the object that is read: 1 is the record
	keys       int
	duplicates int
	rescued    []rescue
	names      []byte // unescaped keys

	// of the last key that was looked up
	name []byte // its text
	lone bool   // it has a lone surrogate

	text []byte // scratch

	newcomers *newcomers // nil unless Learn was called
}

// NewJSON makes a decoder for records of the schema. No column of its Fields is required: where the schema requires a value, a
// record without it is rejected, and files of earlier versions of the schema lack the column. Of fields with the same source the first is filled.
func NewJSON(s Schema) *JSON {
	d := &JSON{
		exact:  make(map[string]int, len(s.Fields)),
		lower:  make(map[string]int, len(s.Fields)),
		next:   make([]int, len(s.Fields)+1),
		tokens: make([]string, len(s.Fields)+1), // the last one, of rescued, never matches

		patterns: newPatterns(s), demands: newDemands(s), flatten: s.Nested == NestedFlatten,
	}
	for i, f := range s.Fields {
		f.Required = false
		d.fields = append(d.fields, f.Field)
		lower := string(appendLower(nil, []byte(f.Source)))
		if _, taken := d.lower[lower]; !taken {
			d.exact[f.Source], d.lower[lower] = i, i
			if token := `"` + f.Source + `"`; plain([]byte(token), 1) == len(token)-1 {
				d.tokens[i] = token
			}
		}
		d.next[i] = i // the column after column i-1, for a start
	}
	d.fields = append(d.fields, columns.Field{Name: RescuedColumn, Type: columns.String})
	return d
}

// Fields are the columns that the decoder fills: those of the schema, and [RescuedColumn]. The caller must not change
// them.
func (d *JSON) Fields() []columns.Field { return d.fields }

// Decode adds the lines of a payload to out. It keeps no part of the payload, but rejects do.
func (d *JSON) Decode(payload []byte, out *Output) {
	d.begin(payload, out.Table.Columns[:len(d.fields)])
	defer d.end()
	last := &d.cols[len(d.cols)-1]
	place := 0
	for pos := d.space(d.start()); pos < len(payload); pos = d.space(pos) {
		start := pos
		pos = d.record(start)
		if d.fault.code == "" && d.demands.any() {
			d.fault = d.demands.fault(&d.rows, d.misfit(start), len(d.rescued) > 0)
		}
		if d.fault.code == "" {
			if d.newcomers != nil {
				d.watch()
			}
			if len(d.rescued) > 0 {
				d.text = d.appendRescued(d.text[:0])
				last.AppendText(d.text)
				out.Rescued++
			}
			d.endRow()
			out.Places = append(out.Places, int32(place))
			out.Raw = append(out.Raw, payload[start:pos])
			out.Duplicates += d.duplicates
		} else {
			d.dropRow()
			out.Rejects = append(out.Rejects, d.reject(place, start, pos))
		}
		place++
	}
	if place == 0 {
		d.fail(CodeEmpty, len(payload), "a JSON object")
		r := d.reject(0, 0, 0)
		r.Raw = payload
		out.Rejects = append(out.Rejects, r)
		place++
	}
	out.Lines += place
}

// misfit is where the first value that is rescued stands in the payload, or the line where none is.
func (d *JSON) misfit(start int) int {
	if len(d.rescued) == 0 {
		return start
	}
	return cap(d.data) - cap(d.rescued[0].value) // it is a part of it
}

// begin takes a payload up.
func (d *JSON) begin(payload []byte, cols []columns.Column) {
	d.data = payload
	d.beginRows(cols)
	d.validUTF8 = utf8.Valid(payload)
}

// end lets go of the payload.
func (d *JSON) end() {
	d.data, d.cols, d.name = nil, nil, nil
	d.forget()
}

// forget empties the list of what is rescued.
func (d *JSON) forget() {
	clear(d.rescued) // it refers to the payload
	d.rescued = d.rescued[:0]
}

// record reads the line that begins at start, which is no white space, and returns its end. If it is no record then
// fault says why.
func (d *JSON) record(start int) int {
	d.fault = fault{}
	d.depth, d.keys, d.duplicates, d.names = 1, 0, 0, d.names[:0]
	d.forget()
	end := -1
	switch d.data[start] {
	case '{':
		end = d.object(start)
	case '[':
		if end = d.skip(start, 0); end >= 0 {
			d.fail(CodeNotAnObject, start, "an object instead of an array")
		}
	default:
		// A bare word or number is more often text than JSON: all of its physical line is one reject.
		if end = d.scalar(start); end >= 0 {
			if stop := d.lineEnd(end); d.space(end) >= stop {
				d.fail(CodeNotAnObject, start, "an object instead of a scalar")
			} else {
				d.unexpected(start, "a JSON object")
			}
			end = -1
		}
	}
	if end < 0 {
		end = d.resume(start)
	}
	if !d.validUTF8 {
		d.checkUTF8(start, end)
	}
	return end
}

func (d *JSON) checkUTF8(start, end int) {
	for pos := start; pos < end; {
		r, size := utf8.DecodeRune(d.data[pos:end])
		if r == utf8.RuneError && size == 1 {
			d.fail(CodeInvalidUTF8, pos, "valid UTF-8")
			return
		}
		pos += size
	}
}

// resume finds the end of the bad record that begins at start: see Lines in the package comment.
func (d *JSON) resume(start int) int {
	bad := d.fault
	line := d.lineEnd(start)
	if bad.code == CodeTooManyKeys {
		if end := d.skip(start, 0); end >= 0 {
			d.fault = bad
			return end
		}
		bad = d.fault
	}
	if bad.code == CodeTooDeep {
		if end := d.balanced(start, line); end >= 0 {
			d.fault = bad
			return end
		}
	}
	d.fault = bad
	if bad.at <= line || line == len(d.data) {
		return line
	}
	indent := 0
	for indent < start && (d.data[start-indent-1] == ' ' || d.data[start-indent-1] == '\t') {
		indent++
	}
	for line < len(d.data) {
		first := line + 1
		for first < len(d.data) && first-line <= indent && (d.data[first] == ' ' || d.data[first] == '\t') {
			first++
		}
		if first < len(d.data) && d.data[first] == '{' {
			break
		}
		line = d.lineEnd(line + 1)
	}
	return line
}
