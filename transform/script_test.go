package transform

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-etl/sluice/internal/columns"
)

// TestScripts runs the cases of testdata/*.script. A case is
//
//	== name
//	schema a:int64 b:string   the columns, which are the keys too
//	field {"name":"c", ...}   one more column, as a schema declares it
//	nested flatten            what becomes of objects within records
//	rescue false              whether lines with what does not fit are rejected
//	format csv                the format, if it is not JSON
//	log format                a log format, of which the columns are shown:
//	columns a:int64 b:string  by name and type
//	< text                    a physical line of the payload; lines are joined by newlines
//	<q "te\xefxt"             the same, as a Go string, and without a newline before and after it
//	> place | a | b | rescued the rows,
//	! place code byte raw     the rejects,
//	dup 1                     and the count of duplicate keys, 0 if it is not given
//
// Texts of rows and rejects are written as Go strings.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.script")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		for _, c := range readScript(t, file) {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".script")+"/"+c.name, func(t *testing.T) {
				if got := decodeScript(c); got != c.want {
					t.Errorf("payload %q\ngot:\n%swant:\n%s", c.payload, got, c.want)
				}
			})
		}
	}
}

type scriptCase struct {
	name    string
	schema  Schema
	payload string
	want    string
}

func readScript(t *testing.T, file string) []scriptCase {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var cases []scriptCase
	var c *scriptCase
	joined := false
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || word == "#":
		case word == "==":
			cases = append(cases, scriptCase{name: rest})
			c = &cases[len(cases)-1]
			joined = true
		case word == "schema":
			c.schema = schemaOf(strings.Fields(rest)...)
		case word == "field":
			var f Field
			if err := json.Unmarshal([]byte(rest), &f); err != nil {
				t.Fatalf("%s:%d: %v", file, n, err)
			}
			if f.Source == "" {
				f.Source = f.Name
			}
			c.schema.Fields = append(c.schema.Fields, f)
		case word == "nested":
			c.schema.Nested = rest
		case word == "rescue":
			rescue := rest == "true"
			c.schema.Rescue = &rescue
		case word == "format":
			c.schema.Format = rest
		case word == "log":
			if c.schema, err = ApacheSchema(rest, false); err != nil {
				t.Fatalf("%s:%d: %v", file, n, err)
			}
		case word == "<":
			if !joined {
				c.payload += "\n"
			}
			c.payload += rest
			joined = false
		case word == "<q":
			text, err := strconv.Unquote(rest)
			if err != nil {
				t.Fatalf("%s:%d: %v", file, n, err)
			}
			c.payload += text
			joined = true
		case word == ">" || word == "!" || word == "dup" || word == "columns":
			c.want += line + "\n"
		default:
			t.Fatalf("%s:%d: unknown line %q", file, n, line)
		}
	}
	return cases
}

// schemaOf makes a schema of "key:type" words.
func schemaOf(words ...string) Schema {
	s := Schema{Version: 1}
	for _, w := range words {
		name, typ, _ := strings.Cut(w, ":")
		f := Field{Source: name}
		f.Name = strings.ToLower(name)
		if err := f.parseType(typ); err != nil {
			panic(err)
		}
		s.Fields = append(s.Fields, f)
	}
	return s
}

// decoder is what all decoders are.
type decoder interface {
	Fields() []columns.Field
	Decode(payload []byte, out *Output)
}

func newDecoder(s Schema) decoder {
	switch s.Format {
	case FormatApache:
		d, err := NewApache(s)
		if err != nil {
			panic(err)
		}
		return d
	case FormatCSV, FormatTSV:
		return NewDelimited(s)
	case FormatRaw:
		return NewRaw(s)
	}
	return NewJSON(s)
}

func decodeScript(c scriptCase) string {
	d := newDecoder(c.schema)
	out := Output{Table: columns.NewTable(d.Fields())}
	d.Decode([]byte(c.payload), &out)
	var b strings.Builder
	if c.schema.Format == FormatApache {
		fmt.Fprintf(&b, "columns %s\n", describe(c.schema))
	}
	for row, place := range out.Places {
		fmt.Fprintf(&b, "> %d", place)
		for i := range out.Table.Columns {
			b.WriteString(" | " + show(&out.Table.Columns[i], row))
		}
		b.WriteString("\n")
	}
	for _, r := range out.Rejects {
		at, _, _ := strings.Cut(strings.TrimPrefix(r.Message, "at byte "), ":")
		fmt.Fprintf(&b, "! %d %s %s %s\n", r.Place, r.Code, at, quoteText(string(r.Raw)))
	}
	if out.Duplicates != 0 {
		fmt.Fprintf(&b, "dup %d\n", out.Duplicates)
	}
	return b.String()
}

// show writes a value for a person.
func show(c *columns.Column, row int) string {
	if !c.Valid[row] {
		return "null"
	}
	switch c.Type {
	case columns.Decimal:
		return string(columns.AppendDecimal(nil, c.Ints[row], c.Scale))
	case columns.Int64, columns.Timestamp:
		return strconv.FormatInt(c.Ints[row], 10)
	case columns.Double:
		return strconv.FormatFloat(c.Doubles[row], 'g', -1, 64)
	case columns.Boolean:
		return strconv.FormatBool(c.Bools[row])
	}
	return quoteText(string(c.TextAt(row)))
}

func quoteText(s string) string {
	if strconv.CanBackquote(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		return "`" + s + "`"
	}
	return strconv.QuoteToASCII(s)
}
