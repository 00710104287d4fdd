package transform

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-etl/sluice/internal/columns"
)

func decode(s Schema, payloads ...string) *Output { return decodeBy(newDecoder(s), payloads...) }

func decodeBy(d decoder, payloads ...string) *Output {
	out := &Output{Table: columns.NewTable(d.Fields())}
	for _, p := range payloads {
		d.Decode([]byte(p), out)
	}
	return out
}

func nested(levels int) string {
	return `{"a":` + strings.Repeat("[", levels-1) + strings.Repeat("]", levels-1) + `}`
}

func withKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"k%d":%d`, i, i)
	}
	return "{" + b.String()[1:] + "}"
}

func TestLimits(t *testing.T) {
	neighbour := `{"a":"neighbour"}`
	objects := strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65)
	for _, tt := range []struct {
		name, record, code string
	}{
		{"64 levels", nested(64), ""},
		{"65 levels", nested(65), CodeTooDeep},
		{"65 levels of objects", objects, CodeTooDeep},
		{"65 levels with brackets in strings", `{"x":"]}\"",` + nested(65)[1:], CodeTooDeep},
		{"65 levels under an unknown key", strings.Replace(nested(65), `"a"`, `"x"`, 1), CodeTooDeep},
		{"an array of 65 levels", strings.Repeat("[", 65) + strings.Repeat("]", 65), CodeTooDeep},
		{"a million levels", nested(1_000_000), CodeTooDeep},
		{"1,000 keys", withKeys(1000), ""},
		{"1,001 keys", withKeys(1001), CodeTooManyKeys},
		{"1,001 keys, the last one too deep", withKeys(1000)[:len(withKeys(1000))-1] + "," + nested(65)[1:], CodeTooDeep},
		{"1,001 times the same key", "{" + strings.Repeat(`"a":1,`, 1000) + `"a":1}`, CodeTooManyKeys},
		{"1,001 keys, nested", `{"a":` + withKeys(1001) + `}`, ""},
		{"1,000 keys and a comma", "{" + strings.Repeat(`"a":1,`, 1000) + `}`, CodeInvalidJSON},
		{"a megabyte", `{"a":"` + strings.Repeat("x", 1<<20) + `"}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := decode(schemaOf("a:string"), neighbour+tt.record+neighbour+"\n"+neighbour)
			if len(out.Rejects)+len(out.Places) != out.Lines {
				t.Errorf("%d rows, %d rejects, %d lines", len(out.Places), len(out.Rejects), out.Lines)
			}
			if tt.code == CodeInvalidJSON { // takes the rest of its physical line along
				if len(out.Places) != 2 || len(out.Rejects) != 1 || out.Rejects[0].Code != tt.code {
					t.Fatalf("%d rows, rejects %.200v", len(out.Places), out.Rejects)
				}
				return
			}
			if tt.code == "" {
				if len(out.Rejects) != 0 || len(out.Places) != 4 {
					t.Fatalf("%d rows, rejects %.200v", len(out.Places), out.Rejects)
				}
				return
			}
			if len(out.Rejects) != 1 || out.Rejects[0].Code != tt.code || string(out.Rejects[0].Raw) != tt.record {
				t.Fatalf("rejects %.200v", out.Rejects)
			}
			for row := range 3 {
				if got := string(out.Table.Columns[0].TextAt(row)); got != "neighbour" {
					t.Errorf("row %d: %q", row, got)
				}
			}
		})
	}
}

func TestRejectsAreReadable(t *testing.T) {
	for payload, want := range map[string]string{
		``:              "at byte 0: want a JSON object, found the end",
		`{"a":1,}`:      `at byte 7: want a key, found "}"`,
		`{"a" 1}`:       `at byte 5: want a colon after the key, found "1"`,
		`[]`:            `at byte 0: want an object instead of an array, found "["`,
		"{\"a\":\"\xff": `at byte 6: want valid UTF-8, found "\xff"`,
		nested(65):      `at byte 68: want at most 64 levels of nesting, found "["`,
	} {
		out := decode(Schema{}, payload)
		if len(out.Rejects) != 1 || out.Rejects[0].Message != want {
			t.Errorf("%.80q: got %v, want %s", payload, out.Rejects, want)
		}
	}
}

// The pipeline's own columns lag behind until it fills them for the rows of a payload.
func TestOtherColumnsAreLeftAlone(t *testing.T) {
	d := NewJSON(schemaOf("a:int64", "b:string"))
	table := columns.NewTable(append(d.Fields()[:3:3], columns.Field{Name: "system", Type: columns.Int64}))
	out := Output{Table: table}
	for payload := range 3 {
		d.Decode([]byte("{\"a\":1}\n{\"a\":2,\"b\":}\n{\"b\":\"x\"}"), &out)
		system := &table.Columns[3]
		if system.Len() != 2*payload || table.Rows() != 2*payload {
			t.Fatalf("the system column has %d rows, the table %d; want %d", system.Len(), table.Rows(), 2*payload)
		}
		for range 2 {
			system.AppendInt(int64(payload))
			table.EndRow()
		}
		for i := range table.Columns {
			if n := table.Columns[i].Len(); n != 2*(payload+1) {
				t.Errorf("column %s has %d rows", table.Columns[i].Name, n)
			}
		}
	}
	if out.Lines != 9 || len(out.Places) != 6 || len(out.Rejects) != 3 {
		t.Errorf("%d lines, places %v, rejects %v", out.Lines, out.Places, out.Rejects)
	}
	out.Reset()
	if out.Table != table || out.Lines != 0 || len(out.Places) != 0 || len(out.Rejects) != 0 {
		t.Errorf("after Reset: %+v", out)
	}
}

func TestCounters(t *testing.T) {
	out := decode(schemaOf("a:int64"), "{\"a\":1,\"a\":2}\n{\"a\":\"x\",\"b\":1}", "{\"A\":1,\"a\":1.5,\"a\":3}\n{\"b\":1}\n[]", "")
	if out.Lines != 6 || out.Duplicates != 3 || out.Rescued != 2 || len(out.Places) != 4 || len(out.Rejects) != 2 {
		t.Errorf("%+v", out)
	}
}

func TestFields(t *testing.T) {
	s := schemaOf("A:int64", "a:string")
	s.Fields[0].Required = true
	d := NewJSON(s)
	f := d.Fields()
	if len(f) != 3 || f[0].Required || f[2] != (columns.Field{Name: "rescued", Type: columns.String}) {
		t.Errorf("%+v", f)
	}
	out := Output{Table: columns.NewTable(f)}
	d.Decode([]byte(`{"a":1}`), &out)
	if !out.Table.Columns[0].Valid[0] || out.Table.Columns[1].Valid[0] {
		t.Error("of two fields with the same source the first is to be filled")
	}
}

// The work for hostile input grows with its length, not with its square: otherwise this takes a minute.
func TestHostilePayloadsAreDecodedSoon(t *testing.T) {
	const size = 1 << 18
	for _, line := range []string{
		`{"a":` + "\n", `{"a":[` + "\n", "[", "[\n", "{", `"`, "\"\n", "{\"a\":\"\n", `{"a":[` + strings.Repeat("[", 70) + "\n",
		"{}{", `{"a":1,` + "\n", `{"a":[{` + "\n", "\\u", "\xff\n", "[1,\n", "{\"a\":[1,\n", `{"a":1},` + "\n", "\n ",
		" {\"a\":\n", `{"":[{"":[{"":[1,` + "\n", strings.Repeat("[", 65) + "\n",
	} {
		payload := strings.Repeat(line, size/len(line))
		out := decode(schemaOf("a:string"), payload)
		if out.Lines == 0 || out.Lines != len(out.Places)+len(out.Rejects) {
			t.Errorf("%q: %d lines, %d rows, %d rejects", line, out.Lines, len(out.Places), len(out.Rejects))
		}
	}
}

func TestRowsCostNoAllocation(t *testing.T) {
	odd := []byte("{\"transactionAmount\":1.5,\"price\":0.12345678901234567,\"x\":{\"y\": [1, \"\\u0041\"]},\"CustomerID\":\"\\u00e4\\ud83d\\ude00\"," +
		"\"\\u0073tatus\":null,\"transactionTime\":\"now\",\"express\":1,\"sourceIp\":[ ]}\r\n{\"y\":1}")
	records := transactions(50)
	schema := detect(records...)
	payloads := append(records, bytes.Join(records, []byte("\n")), odd)
	d := NewJSON(schema)
	out := Output{Table: columns.NewTable(d.Fields())}
	fill := func() {
		out.Reset()
		out.Table.Truncate(0)
		for i := range out.Table.Columns {
			out.Table.Columns[i].Truncate(0)
		}
		for _, p := range payloads {
			d.Decode(p, &out)
		}
	}
	fill()
	if len(out.Places) != 102 || out.Rescued != 2 {
		t.Fatalf("%d rows, %d with something rescued", len(out.Places), out.Rescued)
	}
	if n := testing.AllocsPerRun(20, fill); n != 0 {
		t.Errorf("%v allocations for 102 rows", n)
	}
}
