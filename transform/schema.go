package transform

import (
	"bytes"
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
	// Added is the version of the schema with which the column came; 0 for the first.
	Added int `json:"added,omitempty"`
}

// The formats of records.
const (
	FormatJSON   = ""
	FormatApache = "apache"
	FormatCSV    = "csv"
	FormatTSV    = "tsv"
	FormatRaw    = "raw"
)

// Schema is the list of columns that records are turned into, in their order, and all else that a decoder must know.
// The columns that are added to every schema are no part of it.
type Schema struct {
	Version   int     `json:"version"`
	Format    string  `json:"format,omitempty"`     // one of the constants above
	LogFormat string  `json:"log_format,omitempty"` // of FormatApache
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
