package transform

import (
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
	Source string `json:"source"` // as it came first; keys that differ from it by case only are the same column
}

// Schema is the list of columns that records are turned into, in their order. The columns that are added to every
// schema are no part of it.
type Schema struct {
	Version int     `json:"version"`
	Fields  []Field `json:"fields"`
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
