package transform

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sluice-etl/sluice/internal/columns"
)

// RescuedColumn is the name of the column that keeps what fits no other.
const RescuedColumn = "rescued"

// A Field is one column of the schema, and the key of the records that it comes from.
type Field struct {
	columns.Field
	// Source is of JSON a key, as it came first; keys that differ from it by case only are the same column. Of an access log
	// it is the name that the package comment gives a directive. Of CSV and TSV it is the column's name in the header line;
	// the order of the fields says which value it gets.
	Source string `json:"source"`
	// Format says how texts tell the times of a timestamp: epoch_s, epoch_ms, a pattern of Java's DateTimeFormatter or of Go's
	// package time. Empty: ISO 8601.
	Format string `json:"format,omitempty"`
	// Added is the version of the schema with which the column came; 0 for the first.
	Added int `json:"added,omitempty"`
}

// fieldText is a Field as JSON has it: the type of a decimal tells its digits.
type fieldText struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Required bool   `json:"required,omitempty"`
	Source   string `json:"source,omitempty"`
	Format   string `json:"format,omitempty"`
	Added    int    `json:"added,omitempty"`
}

// MarshalJSON writes a field as UnmarshalJSON reads it.
func (f Field) MarshalJSON() ([]byte, error) {
	return json.Marshal(fieldText{f.Name, f.typeText(), f.Required, f.Source, f.Format, f.Added})
}

// UnmarshalJSON reads a field strictly: an unknown key, type or format is an error.
func (f *Field) UnmarshalJSON(text []byte) error {
	var t fieldText
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&t); err != nil {
		return err
	}
	*f = Field{Field: columns.Field{Name: t.Name, Required: t.Required}, Source: t.Source, Format: t.Format, Added: t.Added}
	if err := f.parseType(t.Type); err != nil {
		return fmt.Errorf("column %q: %w", t.Name, err)
	}
	if t.Format == "" {
		return nil
	}
	if f.Type != columns.Timestamp {
		return fmt.Errorf("column %q: a format is of a timestamp, and the type is %s", t.Name, f.typeText())
	}
	if _, err := compileTime(t.Format); err != nil {
		return fmt.Errorf("column %q: %w", t.Name, err)
	}
	return nil
}

func (f *Field) typeText() string {
	if f.Type == columns.Decimal {
		return fmt.Sprintf("decimal(%d,%d)", f.Precision, f.Scale)
	}
	return f.Type.String()
}

// parseType reads a type; where none is told it is string.
func (f *Field) parseType(text string) error {
	if text == "" {
		return nil
	}
	kind, digits, counted := strings.Cut(text, "(")
	if err := f.Type.UnmarshalText([]byte(kind)); err != nil {
		return err
	}
	if f.Type != columns.Decimal && !counted {
		return nil
	}
	precision, scale, _ := strings.Cut(strings.TrimSuffix(digits, ")"), ",")
	p, err := strconv.ParseUint(strings.TrimSpace(precision), 10, 8)
	s, err2 := strconv.ParseUint(strings.TrimSpace(scale), 10, 8)
	if f.Type != columns.Decimal || err != nil || err2 != nil || !strings.HasSuffix(digits, ")") || p < 1 || p > columns.MaxPrecision || s > p {
		return fmt.Errorf("no such column type: %q; a decimal is decimal(P,S), with P digits, at most %d, of which S are behind the point", text, columns.MaxPrecision)
	}
	f.Precision, f.Scale = uint8(p), uint8(s)
	return nil
}

// The formats of records.
const (
	FormatJSON   = ""
	FormatApache = "apache"
	FormatCSV    = "csv"
	FormatTSV    = "tsv"
	FormatRaw    = "raw"
)

// What becomes of an object within a JSON record whose key has no column of its own.
const (
	NestedJSON    = ""        // it is a value, whose text a string column takes
	NestedFlatten = "flatten" // its keys are those of the record, behind its own and a point: the source a.b is the column a_b
)

// Schema is the list of columns that records are turned into, in their order, and all else that a decoder must know.
// The columns that are added to every schema are no part of it.
type Schema struct {
	Version   int     `json:"version"`
	Format    string  `json:"format,omitempty"`     // one of the constants above
	LogFormat string  `json:"log_format,omitempty"` // of FormatApache
	Nested    string  `json:"nested,omitempty"`     // of FormatJSON: what becomes of objects within records; see the constants
	Rescue    *bool   `json:"rescue,omitempty"`     // false: a line with something that no column takes is rejected, not rescued
	Fields    []Field `json:"fields"`
}

// ParseSchema reads declared columns: JSON of the form of a Schema. What a field lacks is made up: its type is string, and its
// source is its name. Names must be such as Glue and Athena accept, and not be reserved, as for [NewDetector].
func ParseSchema(text []byte, reserved ...string) (Schema, error) {
	s := Schema{}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		return Schema{}, fmt.Errorf("want JSON of the form {\"fields\": [{\"name\": \"id\", \"type\": \"int64\"}]}: %w", err)
	}
	if len(s.Fields) == 0 {
		return Schema{}, errors.New("it declares no column")
	}
	switch s.Nested {
	case NestedJSON, NestedFlatten:
	case "json":
		s.Nested = NestedJSON
	default:
		return Schema{}, fmt.Errorf("nested is %q; want json or flatten", s.Nested)
	}
	s.Version = 1
	named := Schema{Fields: slices.Clone(s.Fields)}
	named.nameColumns(reserved)
	for i := range s.Fields {
		f := &s.Fields[i]
		if name := named.Fields[i].Name; f.Name != name {
			return Schema{}, fmt.Errorf("a column cannot be called %q; %q would do", f.Name, name)
		}
		if f.Source == "" {
			f.Source = f.Name
		}
		f.Added = 0 // it is counted where the columns are agreed on
	}
	return s, nil
}

// RescuedAs gives the keys under which the column [RescuedColumn] may hold values of a column, by its place, or parts of them. Of
// JSON, they may be there in any case. It may hold more of what the record says, under keys that no column has.
func (s *Schema) RescuedAs(column int) []string {
	source := s.Fields[column].Source
	keys := []string{source}
	for _, part := range requestParts {
		if s.Format == FormatApache && strings.HasPrefix(source, part.Name) {
			keys = append(keys, wholeRequest)
		}
	}
	return keys
}

// Form tells, for people, all of a schema that is not its columns: what makes lines of it.
func (s *Schema) Form() string {
	text := fmt.Sprintf("the format %q", cmp.Or(s.Format, "json"))
	if s.LogFormat != "" {
		text += fmt.Sprintf(" %q", s.LogFormat)
	}
	if s.Nested != NestedJSON {
		text += ", nested objects " + s.Nested
	}
	if s.Rescue != nil && !*s.Rescue {
		text += ", without rescue"
	}
	return text
}

// demands are what a schema asks of a line beyond its form.
type demands struct {
	required []demand
	strict   bool // all values have to fit
}

type demand struct {
	column int
	what   string
}

func newDemands(s Schema) demands {
	d := demands{strict: s.Rescue != nil && !*s.Rescue}
	for i, f := range s.Fields {
		if f.Required {
			d.required = append(d.required, demand{i, "a value for the required column " + f.Name})
		}
	}
	return d
}

func (d *demands) any() bool { return d.strict || len(d.required) > 0 }

// fault says what the current row lacks. At is where the line, or what was rescued of it, stands in the payload.
func (d *demands) fault(r *rows, at int, rescued bool) fault {
	if d.strict && rescued {
		return fault{CodeMisfit, "only what its columns take in full, as nothing is rescued", at}
	}
	for _, one := range d.required {
		if c := &r.cols[one.column]; c.Len() <= r.row || !c.Valid[r.row] {
			return fault{CodeMissing, one.what, at}
		}
	}
	return fault{}
}

// nameColumns makes names that differ of the keys in lower case that the columns have for names. Reserved are the names of
// columns that are added to those of the schema, beside rescued.
func (s *Schema) nameColumns(reserved []string) {
	names := make(map[string]bool, len(s.Fields))
	added := func(name string) bool { return name == RescuedColumn || slices.Contains(reserved, name) }
	taken := func(name string) bool { return names[name] }
	for i := range s.Fields {
		name := columnName(s.Fields[i].Name, added, taken)
		names[name] = true
		s.Fields[i].Name = name
	}
}

// appendLower adds key in lower case to dst: the form in which keys are compared. It is rune by rune, unlike
// strings.ToLower, to work without an allocation.
func appendLower(dst, key []byte) []byte {
	for i := 0; i < len(key); {
		c := key[i]
		if c < utf8.RuneSelf {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			dst = append(dst, c)
			i++
			continue
		}
		r, size := utf8.DecodeRune(key[i:])
		dst = utf8.AppendRune(dst, unicode.ToLower(r))
		i += size
	}
	return dst
}

// columnName makes a name that Glue and Athena accept out of a key in lower case: letters a to z, digits and
// underscores stay, every other character becomes an underscore, and an empty key becomes one underscore. A name that
// is reserved gets the prefix source_, one that is taken the suffix _2, _3 and so on.
func columnName(key string, reserved, taken func(string) bool) string {
	name := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return '_'
	}, key)
	if name == "" {
		name = "_"
	}
	if reserved(name) {
		name = "source_" + name
	}
	unique := name
	for n := 2; taken(unique) || reserved(unique); n++ {
		unique = name + "_" + strconv.Itoa(n)
	}
	return unique
}
