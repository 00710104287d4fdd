package transform

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/columns"
)

// The records of testdata/public are those of public data sets; SOURCES.md there says which. What becomes of them is held
// against what encoding/json and encoding/csv read.

// leaves are the values of an object that is flattened, by their paths: literals as they came.
func leaves(t *testing.T, path string, object []byte, into map[string]string) {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil {
		t.Fatal(err)
	}
	for key, value := range members {
		if value[0] == '{' {
			leaves(t, path+key+".", value, into)
		} else {
			into[path+key] = string(value)
		}
	}
}

// holds tells whether a value is what a literal of JSON, or a text of CSV, says.
func holds(c *columns.Column, row int, f Field, literal string) bool {
	text := literal
	if strings.HasPrefix(literal, `"`) {
		if json.Unmarshal([]byte(literal), &text) != nil {
			return false
		}
	}
	switch c.Type {
	case columns.String:
		return string(c.TextAt(row)) == text
	case columns.Double:
		v, err := strconv.ParseFloat(text, 64)
		return err == nil && v == c.Doubles[row]
	case columns.Decimal:
		want, ok := new(big.Rat).SetString(text)
		got, ok2 := new(big.Rat).SetString(string(columns.AppendDecimal(nil, c.Ints[row], c.Scale)))
		return ok && ok2 && want.Cmp(got) == 0
	case columns.Timestamp:
		if f.Format == formatMillis {
			return strconv.FormatInt(c.Ints[row], 10) == text
		}
		at, err := time.Parse(time.RFC3339, text)
		return err == nil && at.UnixMilli() == c.Ints[row]
	}
	return strconv.FormatInt(c.Ints[row], 10) == text
}

func TestPublicJSON(t *testing.T) {
	data, err := os.ReadFile("testdata/public/earthquakes.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseSchema([]byte(`{"nested":"flatten","fields":[{"name":"id","required":true},
		{"name":"mag","type":"double","source":"properties.mag"},{"name":"rms","type":"decimal(18,17)","source":"properties.rms"},
		{"name":"dmin","type":"decimal(6,4)","source":"properties.dmin"},{"name":"time","type":"timestamp","format":"epoch_ms","source":"properties.time"},
		{"name":"place","source":"properties.place"},{"name":"felt","type":"int64","source":"properties.felt"},
		{"name":"coordinates","source":"geometry.coordinates"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	d := NewJSON(s)
	out := Output{Table: columns.NewTable(d.Fields())}
	d.Decode(data, &out)
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	if len(out.Places) != len(lines) || len(out.Rejects) != 0 {
		t.Fatalf("%d rows of %d lines, %d rejects", len(out.Places), len(lines), len(out.Rejects))
	}
	kept, rescued := 0, 0
	for row, line := range lines {
		all, rest := map[string]string{}, map[string]json.RawMessage{}
		leaves(t, "", line, all)
		if last := &out.Table.Columns[len(s.Fields)]; last.Valid[row] {
			if err := json.Unmarshal(last.TextAt(row), &rest); err != nil {
				t.Fatal(err)
			}
		}
		for path, literal := range all {
			i := slices.IndexFunc(s.Fields, func(f Field) bool { return f.Source == path })
			told, also := rest[path]
			switch {
			case also && string(told) != literal && string(told) != `"`+literal+`"`:
				t.Errorf("row %d: %s is rescued as %s; it came as %s", row, path, told, literal)
			case i >= 0 && out.Table.Columns[i].Valid[row] && !holds(&out.Table.Columns[i], row, s.Fields[i], literal) && !also:
				t.Errorf("row %d: %s is not what its column says", row, path)
			case i >= 0 && out.Table.Columns[i].Valid[row]:
				kept++
			case !also && literal != "null":
				t.Errorf("row %d: %s is neither in a column nor rescued", row, path)
			case also:
				rescued++
			}
			delete(rest, path)
		}
		for path := range rest {
			t.Errorf("row %d: %s is rescued, and did not come", row, path)
		}
	}
	if kept < 25 || rescued < 90 {
		t.Errorf("%d values are in columns, %d rescued: the test compares less than there is", kept, rescued)
	}
}

// readCSV gives the lines of a file, each as encoding/csv reads it.
func readCSV(t *testing.T, file string) (data []byte, records [][]string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	reader := csv.NewReader(bytes.NewReader(data))
	reader.FieldsPerRecord = -1
	if records, err = reader.ReadAll(); err != nil {
		t.Fatal(err)
	}
	return data, records
}

// compareCSV decodes a file of which the lines that are no header have these values, and holds every value against its
// column, or against what is rescued. It counts both.
func compareCSV(t *testing.T, s Schema, data []byte, records [][]string) (kept, rescued int) {
	t.Helper()
	d := NewDelimited(s)
	out := Output{Table: columns.NewTable(d.Fields())}
	d.Decode(data, &out)
	if len(out.Places) != len(records) || len(out.Rejects) != 0 {
		t.Fatalf("%d rows of %d lines, %d rejects", len(out.Places), len(records), len(out.Rejects))
	}
	for row, values := range records {
		rest := map[string]string{}
		if last := &out.Table.Columns[len(s.Fields)]; last.Valid[row] {
			if err := json.Unmarshal(last.TextAt(row), &rest); err != nil {
				t.Fatal(err)
			}
		}
		for i, f := range s.Fields {
			c := &out.Table.Columns[i]
			told, also := rest[f.Source]
			switch {
			case i >= len(values), values[i] == "" && c.Type != columns.String:
				if c.Valid[row] || also {
					t.Errorf("row %d: %s has a value that did not come", row, f.Name)
				}
			case also && told == values[i]:
				rescued++
			case also || !c.Valid[row] || !holds(c, row, f, values[i]):
				t.Errorf("row %d: %s is not %q", row, f.Name, values[i])
			default:
				kept++
			}
			delete(rest, f.Source)
		}
		if len(rest) > 0 {
			t.Errorf("row %d: %v are rescued, and did not come", row, rest)
		}
	}
	return kept, rescued
}

func TestPublicCSV(t *testing.T) {
	data, records := readCSV(t, "testdata/public/earthquakes.csv")
	// The types of both headers are found; the second schema is declared to workers that use the first.
	detected := func(from, to int) Schema {
		d := NewHeaderDetector(FormatCSV)
		for _, line := range bytes.SplitAfter(data, []byte("\n"))[from:to] {
			d.Add(line)
		}
		return d.Schema()
	}
	old, grown := detected(0, 8), detected(8, 13)
	for i := range grown.Fields[:len(old.Fields)] {
		grown.Fields[i] = old.Fields[i] // a later sample may show narrower types
	}
	s, err := old.Declare(grown.Fields)
	if err != nil || s.Version != 2 || len(old.Fields) != 15 || len(s.Fields) != 22 {
		t.Fatalf("%d columns, then %d, of version %d: %v", len(old.Fields), len(s.Fields), s.Version, err)
	}
	records = slices.DeleteFunc(records, func(values []string) bool { return values[0] == "time" })
	if kept, rescued := compareCSV(t, s, data, records); rescued != 0 || kept < 7*12 {
		t.Errorf("%d values are in columns, %d rescued", kept, rescued)
	}
	if got := fmt.Sprint(describe(Schema{Fields: s.Fields[:5]})); got != "time:timestamp latitude:double longitude:double depth:double mag:double" {
		t.Errorf("the first columns are %s", got)
	}
}

// The detector sees the first lines alone, in which all numbers fit a double; later ones have more digits.
func TestPublicCSVOfWhichAllIsQuoted(t *testing.T) {
	data, records := readCSV(t, "testdata/public/airports.csv")
	d := NewHeaderDetector(FormatCSV)
	for _, line := range bytes.SplitAfter(data, []byte("\n"))[:3] {
		d.Add(line)
	}
	s := d.Schema()
	if got := fmt.Sprint(describe(Schema{Fields: s.Fields[:8]})); got != "id:int64 ident:string type:string name:string latitude_deg:double longitude_deg:double elevation_ft:int64 continent:string" {
		t.Errorf("the first columns are %s", got)
	}
	if kept, rescued := compareCSV(t, s, data, records[1:]); rescued == 0 || kept < len(records[1:])*12 {
		t.Errorf("%d values are in columns, %d rescued", kept, rescued)
	} else {
		t.Logf("%d values are in columns, %d rescued", kept, rescued)
	}
}
