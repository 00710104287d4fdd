package transform

import (
	"fmt"
	"unicode/utf8"

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
)

const maxKeys = 1000

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
	Places  []int32 // of every row: the place of its line in its payload, as in Reject
	Rejects []Reject

	Lines      int
	Duplicates int // keys of rows that came again in the same record; the last one won
	Rescued    int // rows with something in the column rescued
}

// Reset empties all but the table, and keeps the memory for further use.
func (o *Output) Reset() {
	clear(o.Rejects)
	*o = Output{Table: o.Table, Places: o.Places[:0], Rejects: o.Rejects[:0]}
}

// JSON decodes JSON records into columns. It reuses its memory, so that rows cost no allocation once it is warm, and is
// not safe for concurrent use: have one per shard.
type JSON struct {
	scanner
	fields []columns.Field // with rescued
	exact  map[string]int  // source keys to columns
	lower  map[string]int  // the same in lower case
	tokens []string        // by column: the source key in quotes; empty if it cannot be written without escapes
	next   []int           // by column + 1: the column that came after it in the last record

	cols      []columns.Column
	validUTF8 bool // the payload is

	// of the current record
	row        int // its index in cols
	duplicates int
	rescued    []rescue
	names      []byte // unescaped keys

	// of the last key that was looked up
	name []byte // its text
	lone bool   // it has a lone surrogate

	text []byte // scratch
}

// NewJSON makes a decoder for records of the schema. Columns are never required, whatever the schema says, as a record
// may lack any key. Of fields with the same source the first is filled.
func NewJSON(s Schema) *JSON {
	d := &JSON{
		exact:  make(map[string]int, len(s.Fields)),
		lower:  make(map[string]int, len(s.Fields)),
		next:   make([]int, len(s.Fields)+1),
		tokens: make([]string, len(s.Fields)+1), // the last one, of rescued, never matches
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
	d.row = last.Len()
	place := 0
	for pos := d.space(d.start()); pos < len(payload); pos = d.space(pos) {
		start := pos
		if pos = d.record(start); d.fault.code == "" {
			if len(d.rescued) > 0 {
				d.text = d.appendRescued(d.text[:0])
				last.AppendText(d.text)
				out.Rescued++
			}
			d.endRow()
			out.Places = append(out.Places, int32(place))
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

// begin takes a payload up.
func (d *JSON) begin(payload []byte, cols []columns.Column) {
	d.data, d.cols = payload, cols
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

// start is where the payload begins behind a byte order mark.
func (d *JSON) start() int {
	if len(d.data) >= 3 && string(d.data[:3]) == "\xef\xbb\xbf" {
		return 3
	}
	return 0
}

// endRow finishes a row in the decoder's own columns.
func (d *JSON) endRow() {
	d.row++
	for i := range d.cols {
		if c := &d.cols[i]; len(c.Valid) < d.row {
			c.AppendNull()
		}
	}
}

func (d *JSON) dropRow() {
	for i := range d.cols {
		d.cols[i].Truncate(d.row)
	}
}

// record reads the line that begins at start, which is no white space, and returns its end. If it is no record then
// fault says why.
func (d *JSON) record(start int) int {
	d.fault = fault{}
	d.duplicates, d.names = 0, d.names[:0]
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

func (d *JSON) reject(place, start, end int) Reject {
	for end > start && isSpace(d.data[end-1]) {
		end--
	}
	found := "the end"
	if at := d.fault.at; at < len(d.data) {
		found = fmt.Sprintf("%q", d.data[at:at+1])
	}
	return Reject{
		Place:   place,
		Code:    d.fault.code,
		Message: fmt.Sprintf("at byte %d: want %s, found %s", d.fault.at, d.fault.what, found),
		Raw:     d.data[start:end],
	}
}
