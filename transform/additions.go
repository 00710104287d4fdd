package transform

import (
	"fmt"
	"slices"

	"github.com/sluice-etl/sluice/internal/columns"
)

const (
	// A key becomes a column when it was in so many rows,
	leastSightings = 20
	// and in one of so many rows since it first came: keys that are data (identifiers, say) are rarer, and come without end.
	rowsASighting = 100
	// After so many rows the count begins anew, so that a key may become common later.
	roundRows = 10_000
)

// Declare gives the schema with those of the declared columns that it lacks, behind its own: as the next version, or as it
// is where it lacks none. A column that it has must be declared as it is, and one that it has may be missing from the
// declared ones. An error says what is declared otherwise.
func (s Schema) Declare(declared []Field) (Schema, error) {
	if s.positional() {
		for i, f := range declared[:min(len(declared), len(s.Fields))] {
			if f.Name != s.Fields[i].Name {
				return s, fmt.Errorf("column %d is %s, and was %s: values find their columns by their place, so that new columns come last", i+1, f.Name, s.Fields[i].Name)
			}
		}
	}
	var more []Field
	for _, f := range declared {
		if i := slices.IndexFunc(s.Fields, func(own Field) bool { return own.Name == f.Name }); i >= 0 {
			if was, is := s.identity(s.Fields[i]), s.identity(f); was != is {
				return s, fmt.Errorf("the column %s is declared as %s, and was %s: a column never changes", f.Name, is, was)
			}
			continue
		}
		if i := s.bySource(f.Source); i >= 0 && !s.positional() {
			return s, fmt.Errorf("the column %s has the source %q, which is that of the column %s already: a column is never renamed", f.Name, f.Source, s.Fields[i].Name)
		}
		more = append(more, f)
	}
	return s.extended(more), nil
}

// Add gives the schema with columns for keys that were found, as far as it has none for them yet and has room: as the next
// version, or as it is where it lacks none. Reserved names are as for [NewDetector].
func (s Schema) Add(found []Field, reserved ...string) Schema {
	added := func(name string) bool { return name == RescuedColumn || slices.Contains(reserved, name) }
	var more []Field
	for _, f := range found {
		if len(s.Fields)+len(more) == maxColumns {
			break
		}
		if s.bySource(f.Source) >= 0 {
			continue
		}
		taken := func(name string) bool {
			has := func(f Field) bool { return f.Name == name }
			return slices.ContainsFunc(s.Fields, has) || slices.ContainsFunc(more, has)
		}
		f.Name = columnName(string(appendLower(nil, []byte(f.Source))), added, taken)
		more = append(more, f)
	}
	return s.extended(more)
}

// Extends tells whether the schema is a later version of another: whether it has its columns, as they are, before others.
func (s Schema) Extends(other *Schema) bool {
	return s.Format == other.Format && s.LogFormat == other.LogFormat && s.Nested == other.Nested && s.Version >= other.Version &&
		len(s.Fields) >= len(other.Fields) && slices.Equal(s.Fields[:len(other.Fields)], other.Fields)
}

func (s Schema) extended(more []Field) Schema {
	if len(more) == 0 {
		return s
	}
	s.Version++
	s.Fields = slices.Clone(s.Fields)
	for _, f := range more {
		f.Added = s.Version
		s.Fields = append(s.Fields, f)
	}
	return s
}

// positional tells whether values find their columns by their place.
func (s *Schema) positional() bool { return s.Format == FormatCSV || s.Format == FormatTSV }

// bySource is the place of the column that has a source; -1 if there is none.
func (s *Schema) bySource(source string) int {
	source = s.sourceIdentity(source)
	return slices.IndexFunc(s.Fields, func(f Field) bool { return s.sourceIdentity(f.Source) == source })
}

// sourceIdentity is what makes two sources the same one: keys of JSON may differ by case.
func (s *Schema) sourceIdentity(source string) string {
	if s.Format == FormatJSON {
		return string(appendLower(nil, []byte(source)))
	}
	return source
}

// identity is all of a field that may never change, for people, too.
func (s *Schema) identity(f Field) string {
	text := fmt.Sprintf("%s of the source %q", f.typeText(), s.sourceIdentity(f.Source))
	if f.Format != "" {
		text += fmt.Sprintf(" in the format %q", f.Format)
	}
	if f.Required {
		text += ", required"
	}
	return text
}

// newcomers counts the keys that have no column, to find those that deserve one. A stream of ever new keys costs it nothing
// but room for maxColumns keys, and gets none of them a column.
type newcomers struct {
	index map[string]int // by the key in lower case
	keys  []newcomer
	rows  int // of this round
	lower []byte
}

type newcomer struct {
	detected
	first, last int // the rows in which it came,
	sightings   int // and how many
}

// Learn makes the decoder watch the keys that have no column, for [JSON.Additions].
func (d *JSON) Learn() { d.newcomers = &newcomers{index: map[string]int{}} }

// Additions are columns for the keys that Learn made the decoder watch, and that came often enough: in 20 rows at least, and
// in one of a hundred since the first. Their types are as [Detector] finds them in these rows. Counting begins anew after
// 10,000 rows. To be called between payloads.
func (d *JSON) Additions() []Field {
	if d.newcomers == nil {
		return nil
	}
	n := d.newcomers
	var fields []Field
	for i := range n.keys {
		if k := &n.keys[i]; k.sightings >= leastSightings && k.kinds != 0 && k.sightings*rowsASighting > n.rows-k.first {
			fields = append(fields, Field{Field: columns.Field{Type: k.kinds.columnType()}, Source: k.source})
		}
	}
	if n.rows >= roundRows {
		clear(n.index)
		n.keys, n.rows = n.keys[:0], 0
	}
	return fields
}

// watch takes in what the current row has of keys without a column.
func (d *JSON) watch() {
	n := d.newcomers
	n.rows++
	for i := range d.rescued {
		r := &d.rescued[i]
		if r.column != unknown || r.lone || len(r.name) > maxSource {
			continue
		}
		n.lower = appendLower(n.lower[:0], r.name)
		at, known := n.index[string(n.lower)]
		if !known {
			if len(n.keys) == maxColumns {
				continue
			}
			at = len(n.keys)
			n.keys = append(n.keys, newcomer{detected: detected{source: string(r.name), lower: string(n.lower)}, first: n.rows - 1})
			n.index[n.keys[at].lower] = at
		}
		k := &n.keys[at]
		k.kinds |= d.kindOf(r.value)
		if k.last != n.rows {
			k.last = n.rows
			k.sightings++
		}
	}
}
