package sink

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/sluice-etl/sluice/internal/columns"
)

func newEncoder(t testing.TB, output, compression string) Encoder {
	t.Helper()
	e, err := NewEncoder(Options{Output: output, Compression: compression, CreatedBy: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// text gives the text of a file of lines.
func text(t *testing.T, kind Kind, body []byte) string {
	t.Helper()
	var r io.Reader = bytes.NewReader(body)
	var err error
	switch {
	case strings.HasSuffix(kind.Extension, "gz"):
		r, err = gzip.NewReader(r)
	case strings.HasSuffix(kind.Extension, "zst"):
		r, err = zstd.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

func TestJSONLines(t *testing.T) {
	table := columns.NewTable([]columns.Field{
		{Name: "s", Type: columns.String}, {Name: "secret", Type: columns.String}, {Name: "i", Type: columns.Int64},
		{Name: "d", Type: columns.Double}, {Name: "b", Type: columns.Boolean}, {Name: "at", Type: columns.Timestamp},
	})
	table.Columns[1].Hidden = true
	row := func(values ...any) {
		for i, v := range values {
			switch c := &table.Columns[i]; v := v.(type) {
			case string:
				c.AppendString(v)
			case int64:
				c.AppendInt(v)
			case float64:
				c.AppendDouble(v)
			case bool:
				c.AppendBool(v)
			case time.Time:
				c.AppendInt(v.UnixMilli())
			default:
				c.AppendNull()
			}
		}
		table.EndRow()
	}
	at := time.Date(2026, 11, 25, 21, 0, 0, 123e6, time.UTC)
	row("a", "x", int64(-7), 0.1, true, at)
	row(nil, nil, nil, nil, nil, nil)
	row(nil, "x", int64(math.MaxInt64), math.NaN(), nil, nil)
	row("", nil, int64(math.MinInt64), math.Inf(-1), false, time.UnixMilli(-1))
	row("\"\\/\b\n\r\t\x00\x1f\x7f<é\u2028😀\xffz", nil, nil, 5.0, nil, at.Add(time.Millisecond))
	row(nil, nil, nil, math.Copysign(0, -1), nil, time.UnixMilli(0))
	row(nil, nil, nil, 1e300, nil, time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC))
	row(nil, nil, nil, math.SmallestNonzeroFloat64, nil, time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC))
	want := []string{
		`{"s":"a","i":-7,"d":0.1,"b":true,"at":"2026-11-25T21:00:00.123Z"}`,
		`{}`,
		`{"i":9223372036854775807}`,
		`{"s":"","i":-9223372036854775808,"b":false,"at":"1969-12-31T23:59:59.999Z"}`,
		`{"s":"\"\\/\u0008\n\r\t\u0000\u001f` + "\x7f<é\u2028😀\uFFFD" + `z","d":5.0,"at":"2026-11-25T21:00:00.124Z"}`,
		`{"d":-0.0,"at":"1970-01-01T00:00:00.000Z"}`,
		`{"d":1e+300,"at":"0001-01-01T00:00:00.000Z"}`,
		`{"d":5e-324,"at":"9999-12-31T23:59:59.999Z"}`,
	}
	e := newEncoder(t, OutputJSON, "none")
	body, err := e.Encode([]byte("before\n"), table, nil)
	if got := strings.Split(strings.TrimSuffix(string(body), "\n"), "\n"); err != nil || !slices.Equal(got[1:], want) || got[0] != "before" {
		t.Errorf("%v; got\n%s", err, body)
	}
	body, err = e.Encode(nil, table, []int32{5, 0})
	if err != nil || string(body) != want[5]+"\n"+want[0]+"\n" {
		t.Errorf("%v; two rows are\n%s", err, body)
	}
}

// Every compression gives back the same lines, also of many blocks, the same bytes each time, and the name that readers tell
// it by.
func TestLines(t *testing.T) {
	table := payments(5000)
	table.Columns = append(table.Columns, columns.Column{Field: columns.Field{Name: RawColumn, Type: columns.String}, Hidden: true})
	raw := &table.Columns[len(table.Columns)-1]
	var lines []string
	for i := range table.Rows() {
		line := fmt.Sprintf("%d \xff\x00\r", i)
		raw.AppendString(line)
		lines = append(lines, line+"\n")
	}
	plain, err := newEncoder(t, OutputJSON, "none").Encode(nil, table, nil)
	if err != nil || bytes.Count(plain, []byte("\n")) != 5000 || len(plain) < 3*lineBlock {
		t.Fatalf("%d bytes, %v", len(plain), err)
	}
	for want, o := range map[Kind]Options{
		{"json", "application/x-ndjson"}: {Output: OutputJSON, Compression: "none"},
		{"json.gz", "application/gzip"}:  {Output: OutputJSON, Compression: "gzip"},
		{"json.zst", "application/zstd"}: {Output: OutputJSON, Compression: "zstd"},
		{"txt", "text/plain"}:            {Output: OutputRaw, Compression: "none"},
		{"gz", "application/gzip"}:       {Output: OutputRaw, Compression: "gzip"},
		{"zst", "application/zstd"}:      {Output: OutputRaw, Compression: "zstd"},
	} {
		e := newEncoder(t, o.Output, o.Compression)
		body, err := e.Encode(nil, table, nil)
		if err != nil || e.Kind() != want {
			t.Fatalf("%v: %v, %v", o, e.Kind(), err)
		}
		expected := string(plain)
		if o.Output == OutputRaw {
			expected = strings.Join(lines, "")
		}
		if text(t, want, body) != expected {
			t.Errorf("%v: the lines come back otherwise", o)
		}
		again, err := e.Encode(nil, table, all(table))
		if err != nil || !bytes.Equal(again, body) {
			t.Errorf("%v: the next file of the same rows has other bytes; %v", o, err)
		}
		if _, err := e.Encode(nil, table, []int32{}); err == nil {
			t.Errorf("%v: a file without rows", o)
		}
		if o.Output == OutputJSON {
			key := "data/orders-000000000001-e1-c1-0." + want.Extension
			if rows, err := JSONRows(key, bytes.NewReader(body)); err != nil || rows != 5000 || !IsJSON(key) {
				t.Errorf("%s has %d rows, %v", key, rows, err)
			}
			if rows, err := JSONRows(key, bytes.NewReader(body[:len(body)-1])); err == nil {
				t.Errorf("%s has %d rows also where it is cut short", key, rows)
			}
		}
	}
	if _, err := newEncoder(t, OutputRaw, "none").Encode(nil, payments(1), nil); err == nil {
		t.Error("raw lines of a table that has none")
	}
	for _, o := range []Options{{Output: OutputJSON, Compression: "snappy"}, {Output: OutputRaw}, {Output: "orc", Compression: "none"}} {
		if _, err := NewEncoder(o); err == nil {
			t.Errorf("there is an encoder for %v", o)
		}
	}
	for _, key := range []string{"a.json/b.gz", "a.parquet", "ajson", "a.gz"} {
		if IsJSON(key) {
			t.Errorf("%s is taken for JSON", key)
		}
	}
}

// FuzzJSONLines holds what encoding/json reads in a line against what was written.
func FuzzJSONLines(f *testing.F) {
	f.Add("plain", int64(1), 0.1, int64(1_700_000_000_000))
	f.Add("\"\\\x00\xff\xed\xa0\x80\u2028é", int64(math.MinInt64), 1e21, int64(-62135596800001))
	f.Add("", int64(0), math.Inf(1), int64(253402300799999))
	f.Fuzz(func(t *testing.T, s string, i int64, d float64, ms int64) {
		ms %= 250_000_000_000_000 // encoding/json takes the years 0 to 9999
		if ms < -62_000_000_000_000 {
			ms = -ms
		}
		table := columns.NewTable([]columns.Field{{Name: s, Type: columns.String}, {Name: "i", Type: columns.Int64}, {Name: "d", Type: columns.Double}, {Name: "at", Type: columns.Timestamp}})
		table.Columns[0].AppendString(s)
		table.Columns[1].AppendInt(i)
		table.Columns[2].AppendDouble(d)
		table.Columns[3].AppendInt(ms)
		table.EndRow()
		body, err := newEncoder(t, OutputJSON, "none").Encode(nil, table, nil)
		if err != nil || bytes.Count(body, []byte("\n")) != 1 || !utf8.Valid(body) {
			t.Fatalf("wrote %q, %v", body, err)
		}
		var got map[string]json.RawMessage
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var name, value string
		if err := json.Unmarshal(want, &name); err != nil {
			t.Fatal(err)
		}
		if name == "i" || name == "d" || name == "at" {
			return // the column is there twice
		}
		if err := json.Unmarshal(got[name], &value); err != nil || value != name {
			t.Errorf("%q: the text is %q, %v; want %q", body, value, err, name)
		}
		var integer int64
		if err := json.Unmarshal(got["i"], &integer); err != nil || integer != i {
			t.Errorf("%q: the integer is %d, %v", body, integer, err)
		}
		var double *float64
		if got["d"] != nil {
			if err := json.Unmarshal(got["d"], &double); err != nil {
				t.Fatal(err)
			}
		}
		if finite := !math.IsNaN(d) && !math.IsInf(d, 0); finite != (double != nil) || finite && math.Float64bits(*double) != math.Float64bits(d) {
			t.Errorf("%q: the double is %v", body, double)
		}
		var at time.Time
		if err := json.Unmarshal(got["at"], &at); err != nil || at.UnixMilli() != ms {
			t.Errorf("%q: the time is %v, %v", body, at, err)
		}
	})
}

// BenchmarkLines encodes 100,000 rows. The levels of gzip were chosen by it: see lineLevel.
func BenchmarkLines(b *testing.B) {
	table := payments(100_000)
	for _, compression := range []string{"none", "gzip", "zstd"} {
		b.Run(compression, func(b *testing.B) {
			e := newEncoder(b, OutputJSON, compression)
			var body []byte
			var err error
			b.ReportAllocs()
			for b.Loop() {
				if body, err = e.Encode(body[:0], table, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100_000, "ns/row")
			b.ReportMetric(float64(len(body))/100_000, "B/row")
		})
	}
}
