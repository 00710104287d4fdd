package transform

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-etl/sluice/internal/columns"
)

func learning(s Schema) (*JSON, *Output) {
	d := NewJSON(s)
	d.Learn()
	return d, &Output{Table: columns.NewTable(d.Fields())}
}

func TestAdditions(t *testing.T) {
	times := func(n int, record string) []string {
		return strings.Split(strings.Repeat(record+"\n", n)[:n*(len(record)+1)-1], "\n")
	}
	join := func(lists ...[]string) (all []string) {
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	for name, test := range map[string]struct {
		records []string
		want    string
	}{
		"often enough":           {times(20, `{"a":1,"New":1.5}`), `new:double<"New"`},
		"not often enough":       {times(19, `{"a":1,"new":1}`), ""},
		"in differing cases":     {join(times(10, `{"New":1}`), times(10, `{"NEW":1}`)), `new:int64<"New"`},
		"twice in a row":         {times(10, `{"New":1,"NEW":1}`), ""},
		"of two types":           {join(times(19, `{"n":1}`), times(1, `{"n":1.5}`)), "n:double"},
		"null only":              {times(50, `{"n":null}`), ""},
		"known":                  {times(50, `{"A":"x"}`), ""},
		"rejected":               {times(50, `{"n":1`), ""},
		"rare":                   {join(times(1, `{"n":1}`), times(1999, `{}`), times(19, `{"n":1}`)), ""},
		"late, but often":        {join(times(1900, `{}`), times(20, `{"n":1}`)), "n:int64"},
		"one in a hundred":       {join(times(1, `{"n":1}`), times(1980, `{}`), times(20, `{"n":1}`)), "n:int64"},
		"long":                   {times(50, `{"`+strings.Repeat("k", 201)+`":1}`), ""},
		"a reserved name":        {times(20, `{"rescued":1,"ingest_time":1,"a ":1}`), `source_rescued:int64<"rescued" source_ingest_time:int64<"ingest_time" a_:int64<"a "`},
		"a name that is taken":   {times(20, `{"b-c":1,"b.c":2}`), `b_c_2:int64<"b-c" b_c_3:int64<"b.c"`},
		"a lone surrogate's key": {times(20, `{"\ud800":1}`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := schemaOf("a:int64", "b_c:string")
			d, out := learning(s)
			for _, r := range test.records {
				d.Decode([]byte(r), out)
			}
			next := s.Add(d.Additions(), "ingest_time")
			got := describe(Schema{Fields: next.Fields[2:]})
			if got != test.want || !next.Extends(&s) || (got != "") != (next.Version == 2) {
				t.Errorf("version %d adds %q; want %q", next.Version, got, test.want)
			}
		})
	}
}

// The room for keys is bounded, and used again.
func TestAdditionsAreBounded(t *testing.T) {
	d, out := learning(Schema{})
	for i := range roundRows {
		d.Decode(fmt.Appendf(nil, `{"k%d":1}`, i), out)
	}
	if n := len(d.newcomers.keys); n != maxColumns {
		t.Errorf("%d keys are watched; want %d", n, maxColumns)
	}
	if got := d.Additions(); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	for range 20 {
		d.Decode([]byte(`{"n":1}`), out)
	}
	if got := d.Additions(); len(got) != 1 {
		t.Errorf("after the round got %v; want one column", got)
	}
	full := Schema{Version: 1}
	for i := range maxColumns - 1 {
		full.Fields = append(full.Fields, Field{Field: columns.Field{Name: fmt.Sprint("c", i)}, Source: fmt.Sprint("c", i)})
	}
	if s := full.Add([]Field{{Source: "x"}, {Source: "y"}}); len(s.Fields) != maxColumns || s.Fields[maxColumns-1].Name != "x" {
		t.Errorf("a schema has %d columns", len(s.Fields))
	}
}

// The keys that are watched cost nothing once they are known.
func TestLearningAllocatesNothing(t *testing.T) {
	d, out := learning(schemaOf("a:int64"))
	payload := []byte(`{"a":1,"new":1.5,"other":"2024-01-02T03:04:05Z"}`)
	once := func() {
		d.Decode(payload, out)
		for i := range out.Table.Columns {
			out.Table.Columns[i].Truncate(0)
		}
		out.Reset()
	}
	once()
	if n := testing.AllocsPerRun(100, once); n != 0 {
		t.Errorf("%v allocations a record", n)
	}
}

// A header of a version before is one still: producers go over at their own time.
func TestHeadersOfEarlierVersions(t *testing.T) {
	s := Schema{Version: 1, Format: FormatCSV, Fields: schemaOf("a:int64", "b:string").Fields}
	s, err := s.Declare(append(schemaOf("a:int64", "b:string").Fields, schemaOf("c:int64").Fields...))
	if err != nil || s.Version != 2 {
		t.Fatalf("version %d, %v", s.Version, err)
	}
	d := NewDelimited(s)
	out := &Output{Table: columns.NewTable(d.Fields())}
	d.Decode([]byte("a,b\n1,x\na,b,c\n2,y,3\na\n"), out)
	if len(out.Places) != 3 || out.Table.Columns[2].Ints[1] != 3 || out.Rescued != 1 || len(out.Rejects) != 0 {
		t.Errorf("%d rows, the new column is %v, %d rescued, rejects %v", len(out.Places), out.Table.Columns[2].Ints, out.Rescued, out.Rejects)
	}
}
