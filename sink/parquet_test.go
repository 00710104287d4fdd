package sink

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
	"github.com/parquet-go/parquet-go/format"

	"github.com/sluice-etl/sluice/internal/columns"
)

// payments is a table shaped like the rows of a stream of payments.
func payments(rows int) *columns.Table {
	t := columns.NewTable([]columns.Field{
		{Name: "transactionid", Type: columns.String}, {Name: "customerid", Type: columns.String}, {Name: "city", Type: columns.String},
		{Name: "amount", Type: columns.Int64}, {Name: "price", Type: columns.Double}, {Name: "paid", Type: columns.Boolean},
		{Name: "at", Type: columns.Timestamp}, {Name: "rescued", Type: columns.String},
		{Name: "ingest_time", Type: columns.Timestamp, Required: true}, {Name: "ingest_shard", Type: columns.String, Required: true},
		{Name: "ingest_seq", Type: columns.String, Required: true}, {Name: "anomaly", Type: columns.Boolean, Required: true},
	})
	for i := range rows {
		c := t.Columns
		c[0].AppendString(fmt.Sprintf("%032x", uint64(i)*0x9e3779b97f4a7c15))
		if i%3 != 0 {
			c[1].AppendString(fmt.Sprint("customer ", i*7919%10007))
		}
		c[2].AppendString([]string{"Seoul", "Busan", ""}[i%3])
		c[3].AppendInt(int64(i) - 5)
		c[4].AppendDouble(float64(i) / 3)
		c[5].AppendBool(i%2 == 0)
		if i%5 != 0 {
			c[6].AppendInt(1_700_000_000_000 + int64(i))
		}
		c[8].AppendInt(1_700_000_000_000 + int64(i))
		c[9].AppendString("shardId-000000000001")
		c[10].AppendString(fmt.Sprintf("%056d", i))
		c[11].AppendBool(i%100 == 0)
		t.EndRow()
	}
	return t
}

func all(t *columns.Table) []int32 {
	rows := make([]int32, t.Rows())
	for i := range rows {
		rows[i] = int32(i)
	}
	return rows
}

// cell gives a value as text, null as "null".
func cell(c *columns.Column, row int) string {
	if !c.Valid[row] {
		return "null"
	}
	switch c.Type {
	case columns.String:
		return fmt.Sprintf("%q", c.TextAt(row))
	case columns.Double:
		return fmt.Sprint(math.Float64bits(c.Doubles[row]))
	case columns.Boolean:
		return fmt.Sprint(c.Bools[row])
	}
	return fmt.Sprint(c.Ints[row])
}

func readCell(v parquet.Value) string {
	switch {
	case v.IsNull():
		return "null"
	case v.Kind() == parquet.ByteArray:
		return fmt.Sprintf("%q", v.ByteArray())
	case v.Kind() == parquet.Double:
		return fmt.Sprint(math.Float64bits(v.Double()))
	case v.Kind() == parquet.Boolean:
		return fmt.Sprint(v.Boolean())
	}
	return fmt.Sprint(v.Int64())
}

// expect reads a file, and compares every cell with the selected rows.
func expect(t *testing.T, body []byte, table *columns.Table, rows []int32) *parquet.File {
	t.Helper()
	file, err := parquet.OpenFile(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	fields := file.Schema().Fields()
	if len(fields) != len(table.Columns) || file.NumRows() != int64(len(rows)) {
		t.Fatalf("%d columns and %d rows; want %d and %d", len(fields), file.NumRows(), len(table.Columns), len(rows))
	}
	for i, f := range fields {
		if f.Name() != table.Columns[i].Name || f.Optional() == table.Columns[i].Required {
			t.Errorf("column %d is %s, optional %v", i, f.Name(), f.Optional())
		}
	}
	for _, group := range file.Metadata().RowGroups {
		for i, c := range group.Columns {
			if path := []string(c.MetaData.PathInSchema); !slices.Equal(path, []string{table.Columns[i].Name}) {
				t.Errorf("column %d has the path %q; want %q", i, path, table.Columns[i].Name)
			}
		}
	}
	reader := parquet.NewReader(file)
	defer reader.Close()
	buffer := make([]parquet.Row, 1000)
	n := 0
	for {
		k, err := reader.ReadRows(buffer)
		for _, r := range buffer[:k] {
			for i, v := range r {
				if got, want := readCell(v), cell(&table.Columns[i], int(rows[n])); got != want {
					t.Fatalf("row %d, column %s: %s; want %s", n, table.Columns[i].Name, got, want)
				}
			}
			n++
		}
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n != len(rows) {
		t.Errorf("read %d rows; want %d", n, len(rows))
	}
	return file
}

func TestParquet(t *testing.T) {
	table := payments(5000)
	some := []int32{4999, 0, 3, 3, 17}
	for _, compression := range []string{"zstd", "snappy", "gzip", "none"} {
		e, err := NewEncoder(Options{Output: OutputParquet, Compression: compression, CreatedBy: "1.2.3"})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 { // writers are used again
			for _, rows := range [][]int32{all(table), some} {
				body, err := e.Encode(nil, table, rows)
				if err != nil {
					t.Fatal(err)
				}
				file := expect(t, body, table, rows)
				meta := file.Metadata()
				if meta.CreatedBy != "sluice version 1.2.3(build )" && meta.CreatedBy != "sluice version 1.2.3 (build )" {
					t.Errorf("created by %q", meta.CreatedBy)
				}
				for _, c := range meta.RowGroups[0].Columns {
					if want := map[string]string{"zstd": "ZSTD", "snappy": "SNAPPY", "gzip": "GZIP", "none": "UNCOMPRESSED"}[compression]; c.MetaData.Codec.String() != want {
						t.Errorf("column %v is compressed by %v; want %s", c.MetaData.PathInSchema, c.MetaData.Codec, want)
					}
				}
			}
		}
	}
	if _, err := NewEncoder(Options{Output: OutputParquet, Compression: "lzo"}); err == nil {
		t.Error("an unknown compression is accepted")
	}
}

func TestParquetSameBytes(t *testing.T) {
	table := payments(3000)
	var first []byte
	for range 2 {
		e, err := NewEncoder(Options{Output: OutputParquet, Compression: "zstd"})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			body, err := e.Encode([]byte("kept"), table, all(table))
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = body
			}
			if !bytes.Equal(body, first) || !bytes.HasPrefix(body, []byte("keptPAR1")) {
				t.Error("the same rows give other bytes")
			}
			if _, err := e.Encode(nil, table, []int32{5, 2999}); err != nil { // between them, other rows
				t.Fatal(err)
			}
		}
	}
}

func TestParquetRowGroups(t *testing.T) {
	table := columns.NewTable([]columns.Field{{Name: "n", Type: columns.Int64}})
	for i := range 2*maxGroupRows + 5 {
		table.Columns[0].AppendInt(int64(i))
		table.EndRow()
	}
	e, err := NewEncoder(Options{Output: OutputParquet, Compression: "zstd"})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		body, err := e.Encode(nil, table, all(table))
		if err != nil {
			t.Fatal(err)
		}
		if groups := expect(t, body, table, all(table)).RowGroups(); len(groups) != 3 || groups[2].NumRows() != 5 {
			t.Errorf("%d row groups", len(groups))
		}
	}
}

// What readers plan by: the order of the columns, their types, the statistics of a row group, and how pages are written.
func TestParquetMetadata(t *testing.T) {
	table := payments(5000)
	e, err := NewEncoder(Options{Output: OutputParquet, Compression: "zstd"})
	if err != nil {
		t.Fatal(err)
	}
	body, err := e.Encode(nil, table, all(table))
	if err != nil {
		t.Fatal(err)
	}
	group := expect(t, body, table, all(table)).Metadata().RowGroups[0]
	integer := func(n int64) string { return string(binary.LittleEndian.AppendUint64(nil, uint64(n))) }
	bounds := map[string][2]string{
		"city":         {"", "Seoul"},
		"amount":       {integer(-5), integer(4994)},
		"at":           {integer(1_700_000_000_001), integer(1_700_000_004_999)},
		"ingest_time":  {integer(1_700_000_000_000), integer(1_700_000_004_999)},
		"ingest_shard": {"shardId-000000000001", "shardId-000000000001"},
		"anomaly":      {"\x00", "\x01"},
	}
	dictionaries := map[string]bool{"city": true, "ingest_shard": true, "rescued": true}
	for i, c := range group.Columns {
		name := table.Columns[i].Name
		if want, ok := bounds[name]; ok && (string(c.MetaData.Statistics.MinValue) != want[0] || string(c.MetaData.Statistics.MaxValue) != want[1]) {
			t.Errorf("%s is from %q to %q; want %q", name, c.MetaData.Statistics.MinValue, c.MetaData.Statistics.MaxValue, want)
		}
		if got := slices.Contains(c.MetaData.Encoding, format.RLEDictionary); got != dictionaries[name] {
			t.Errorf("%s has the encodings %v", name, c.MetaData.Encoding)
		}
		if slices.ContainsFunc(c.MetaData.EncodingStats, func(s format.PageEncodingStats) bool { return s.PageType == format.DataPageV2 }) {
			t.Errorf("%s has pages of the second version", name)
		}
	}
	if nulls := group.Columns[6].MetaData.Statistics.NullCount; nulls != 1000 {
		t.Errorf("at has %d nulls; want 1000", nulls)
	}
}

func TestParquetTypes(t *testing.T) {
	e, err := NewEncoder(Options{Output: OutputParquet, Compression: "snappy"})
	if err != nil {
		t.Fatal(err)
	}
	body, err := e.Encode(nil, payments(3), nil)
	if err != nil {
		t.Fatal(err)
	}
	file := expect(t, body, payments(3), []int32{0, 1, 2})
	for name, want := range map[string]string{
		"city": "STRING", "amount": "INT(64,true)", "price": "DOUBLE", "paid": "BOOLEAN", "at": "TIMESTAMP(isAdjustedToUTC=true,unit=MILLIS)",
	} {
		if leaf, ok := file.Schema().Lookup(name); !ok || leaf.Node.Type().String() != want {
			t.Errorf("the type of %s is %v; want %s", name, leaf.Node.Type(), want)
		}
	}
}

// An encoder serves tables that change their columns, and come back to earlier ones.
func TestParquetSchemaGrows(t *testing.T) {
	e, err := NewEncoder(Options{Output: OutputParquet, Compression: "zstd"})
	if err != nil {
		t.Fatal(err)
	}
	fields := []columns.Field{{Name: "z", Type: columns.String}}
	small := columns.NewTable(fields)
	big := columns.NewTable(append(fields, columns.Field{Name: "a", Type: columns.Double, Required: true}))
	for i := range 20 {
		small.Columns[0].AppendString(fmt.Sprint(i % 2))
		small.EndRow()
		big.Columns[1].AppendDouble([]float64{math.Inf(-1), math.Copysign(0, -1), math.NaN(), math.MaxFloat64}[i%4])
		big.EndRow()
	}
	for range maxWriters {
		for _, table := range []*columns.Table{small, big} {
			body, err := e.Encode(nil, table, nil)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, body, table, all(table))
		}
		name := fmt.Sprint("more", len(fields))
		fields = append(fields, columns.Field{Name: name, Type: columns.Boolean})
		wide := columns.NewTable(fields)
		wide.EndRow() // of nulls
		body, err := e.Encode(nil, wide, nil)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, body, wide, all(wide))
	}
	twice := columns.NewTable([]columns.Field{{Name: "a"}, {Name: "a"}})
	twice.EndRow()
	if _, err := e.Encode(nil, twice, nil); err == nil || !strings.Contains(err.Error(), `two columns "a"`) {
		t.Errorf("two columns of one name: %v", err)
	}
}

func TestParquetHiddenColumns(t *testing.T) {
	table := payments(10)
	e, err := NewEncoder(Options{Output: OutputParquet, Compression: "zstd"})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := e.Encode(nil, table, nil)
	if err != nil {
		t.Fatal(err)
	}
	table.Columns[1].Hidden = true
	body, err := e.Encode(nil, table, nil)
	if err != nil {
		t.Fatal(err)
	}
	shown := &columns.Table{Columns: slices.Delete(slices.Clone(table.Columns), 1, 2)}
	want, err := e.Encode(nil, shown, all(table))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(body, want) || bytes.Equal(body, whole) {
		t.Error("the file is not that of the other columns alone")
	}
}

func TestParquetWithoutRows(t *testing.T) {
	e, err := NewEncoder(Options{Output: OutputParquet, Compression: "zstd"})
	if err != nil {
		t.Fatal(err)
	}
	for _, rows := range []int{0, 3} {
		if body, err := e.Encode(nil, payments(rows), []int32{}); err == nil {
			t.Errorf("a file of no rows has %d bytes", len(body))
		}
	}
	if body, err := e.Encode(nil, payments(0), nil); err == nil {
		t.Errorf("a file of an empty table has %d bytes", len(body))
	}
}

// A batch makes no garbage that grows with its rows.
func TestParquetAllocations(t *testing.T) {
	table := payments(20_000)
	e, err := NewEncoder(Options{Output: OutputParquet, Compression: "zstd"})
	if err != nil {
		t.Fatal(err)
	}
	var body []byte
	n := testing.AllocsPerRun(5, func() {
		if body, err = e.Encode(body[:0], table, nil); err != nil {
			t.Error(err)
		}
	})
	if n > 2000 {
		t.Errorf("%v allocations for %d rows", n, table.Rows())
	}
}

// BenchmarkEncode stands beside the library's own way for structs, which the rows of the table could have been.
func BenchmarkEncode(b *testing.B) {
	const rows = 50_000
	table := payments(rows)
	b.Run("columns", func(b *testing.B) {
		e, err := NewEncoder(Options{Output: OutputParquet, Compression: "zstd"})
		if err != nil {
			b.Fatal(err)
		}
		var body []byte
		selection := all(table)
		b.ReportAllocs()
		for b.Loop() {
			if body, err = e.Encode(body[:0], table, selection); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
	})
	b.Run("structs", func(b *testing.B) {
		type payment struct {
			TransactionID *string    `parquet:"transactionid,optional"`
			CustomerID    *string    `parquet:"customerid,optional"`
			City          *string    `parquet:"city,optional"`
			Amount        *int64     `parquet:"amount,optional"`
			Price         *float64   `parquet:"price,optional"`
			Paid          *bool      `parquet:"paid,optional"`
			At            *time.Time `parquet:"at,optional,timestamp(millisecond)"`
			Rescued       *string    `parquet:"rescued,optional"`
			IngestTime    time.Time  `parquet:"ingest_time,timestamp(millisecond)"`
			IngestShard   string     `parquet:"ingest_shard"`
			IngestSeq     string     `parquet:"ingest_seq"`
			Anomaly       bool       `parquet:"anomaly"`
		}
		all := make([]payment, rows)
		text := func(c *columns.Column, i int) *string {
			if !c.Valid[i] {
				return nil
			}
			s := string(c.TextAt(i))
			return &s
		}
		for i := range all {
			c := table.Columns
			at := time.UnixMilli(c[8].Ints[i])
			all[i] = payment{text(&c[0], i), text(&c[1], i), text(&c[2], i), &c[3].Ints[i], &c[4].Doubles[i], &c[5].Bools[i], &at, nil, at,
				*text(&c[9], i), *text(&c[10], i), c[11].Bools[i]}
		}
		b.ReportAllocs()
		for b.Loop() {
			w := parquet.NewGenericWriter[payment](io.Discard, parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest}))
			if _, err := w.Write(all); err != nil {
				b.Fatal(err)
			}
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
	})
}

// Decimals have the least physical type for their digits, and statistics that compare as numbers.
func TestParquetDecimals(t *testing.T) {
	table := columns.NewTable([]columns.Field{
		{Name: "small", Type: columns.Decimal, Precision: 9, Scale: 2}, {Name: "large", Type: columns.Decimal, Precision: 18, Scale: 4, Required: true},
	})
	for i, v := range []int64{-12345, 999999999, 0} {
		if i != 2 {
			table.Columns[0].AppendInt(v)
		}
		table.Columns[1].AppendInt(v * 1e9)
		table.EndRow()
	}
	e, err := NewEncoder(Options{Output: OutputParquet, Compression: "snappy"})
	if err != nil {
		t.Fatal(err)
	}
	body, err := e.Encode(nil, table, nil)
	if err != nil {
		t.Fatal(err)
	}
	file, err := parquet.OpenFile(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		typ      string
		kind     parquet.Kind
		min, max int64
	}{{"DECIMAL(9,2)", parquet.Int32, -12345, 999999999}, {"DECIMAL(18,4)", parquet.Int64, -12345e9, 999999999e9}} {
		field := file.Schema().Fields()[i]
		if field.Type().String() != want.typ || field.Type().Kind() != want.kind {
			t.Errorf("column %s is %v in %v; want %s in %v", field.Name(), field.Type(), field.Type().Kind(), want.typ, want.kind)
		}
		least, most, ok := file.RowGroups()[0].ColumnChunks()[i].(*parquet.FileColumnChunk).Bounds()
		if !ok || number(least) != want.min || number(most) != want.max {
			t.Errorf("column %s is said to be from %v to %v; want %d to %d", field.Name(), least, most, want.min, want.max)
		}
	}
	rows := make([]parquet.Row, 3)
	if n, _ := parquet.NewReader(file).ReadRows(rows); n != 3 || number(rows[1][0]) != 999999999 || !rows[2][0].IsNull() || number(rows[0][1]) != -12345e9 {
		t.Errorf("read back as %v", rows)
	}
}

func number(v parquet.Value) int64 {
	if v.Kind() == parquet.Int32 {
		return int64(v.Int32())
	}
	return v.Int64()
}
