package transform

import (
	"github.com/sluice-etl/sluice/internal/columns"
)

const (
	// maxColumns bounds a detected schema: records whose keys are data (identifiers, say) would else make a column each.
	maxColumns = 1000
	// maxSource is the length in bytes up to which a key becomes a column; Glue's limit of 255 leaves room for a prefix and a suffix.
	maxSource = 200
)

// kinds is the set of the types that a key's values in the sample had, a bit each.
type kinds uint8

func kind(t columns.Type) kinds { return 1 << t }

// columnType is the narrowest type that takes all values of the sample. Where only nulls were seen it is string, which
// takes everything.
func (k kinds) columnType() columns.Type {
	switch k {
	case kind(columns.Int64):
		return columns.Int64
	case kind(columns.Double), kind(columns.Double) | kind(columns.Int64):
		return columns.Double
	case kind(columns.Boolean):
		return columns.Boolean
	case kind(columns.Timestamp):
		return columns.Timestamp
	}
	return columns.String
}

type detected struct {
	source string
	lower  string
	kinds  kinds
}

// Detector finds the schema of sample records. The same sample in the same order always gives the same schema. It is
// not safe for concurrent use.
//
// Columns come in the order in which their keys appear first. Integers beyond int64, and -0, make a column double;
// numbers of both kinds make it double; any other mixture makes it string, and so do nested values. A column is a
// timestamp only if every string of the sample is one. Beyond 1,000 columns, and for keys longer than 200 bytes, there
// is no column: such values are rescued.
type Detector struct {
	reserved []string
	json     *JSON
	index    map[string]int // by the key in lower case
	columns  []detected
	records  int
	lower    []byte
}

// NewDetector makes a detector. Reserved are the names of the columns that are added to those of the records, beside
// [RescuedColumn]; a key of such a name becomes a column with the prefix source_.
func NewDetector(reserved ...string) *Detector {
	return &Detector{
		reserved: reserved,
		json:     NewJSON(Schema{}),
		index:    map[string]int{},
	}
}

// Flatten makes the keys of objects within records columns of their own, as NestedFlatten says.
func (d *Detector) Flatten() { d.json.flatten = true }

// Add learns from the records of a payload. What is no record is passed over.
func (d *Detector) Add(payload []byte) {
	j := d.json
	j.begin(payload, nil)
	defer j.end()
	for pos := j.space(j.start()); pos < len(payload); pos = j.space(pos) {
		if pos = j.record(pos); j.fault.code != "" {
			continue
		}
		d.records++
		for i := range j.rescued {
			d.learn(&j.rescued[i])
		}
	}
}

// learn takes in a key and its value: to a decoder without columns every key is one to rescue.
func (d *Detector) learn(r *rescue) {
	if r.lone || len(r.name) > maxSource {
		return
	}
	d.lower = appendLower(d.lower[:0], r.name)
	i, known := d.index[string(d.lower)]
	if !known {
		if len(d.columns) == maxColumns {
			return
		}
		i = len(d.columns)
		d.columns = append(d.columns, detected{source: string(r.name), lower: string(d.lower)})
		d.index[d.columns[i].lower] = i
	}
	d.columns[i].kinds |= d.json.kindOf(r.value)
}

// Records is the number of records learned from.
func (d *Detector) Records() int { return d.records }

// Schema is the schema of the records so far, as version 1.
func (d *Detector) Schema() Schema {
	s := Schema{Version: 1, Fields: make([]Field, len(d.columns))}
	if d.json.flatten {
		s.Nested = NestedFlatten
	}
	for i, c := range d.columns {
		s.Fields[i] = Field{Field: columns.Field{Name: c.lower, Type: c.kinds.columnType()}, Source: c.source}
	}
	s.nameColumns(d.reserved)
	return s
}

// kindOf tells the type of a valid JSON value; of null, none.
func (d *JSON) kindOf(value []byte) kinds {
	switch value[0] {
	case 'n':
		return 0
	case 't', 'f':
		return kind(columns.Boolean)
	case '{', '[':
		return kind(columns.String)
	case '"':
		text, lone := unescape(d.text[:0], value[1:len(value)-1])
		d.text = text
		if _, ok := parseTime(text); ok && !lone {
			return kind(columns.Timestamp)
		}
		return kind(columns.String)
	}
	s := scanner{data: value}
	n, _ := s.number(0)
	return n.kind()
}

// kind is the type that takes a number.
func (n *number) kind() kinds {
	if _, fits := n.int64(); fits && !n.negativeZero() {
		return kind(columns.Int64)
	}
	return kind(columns.Double)
}
