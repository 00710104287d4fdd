package sink

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go/format"

	"github.com/sluice-etl/sluice/internal/columns"
)

// What is read back is what was written, of all types, in several row groups; and of columns that a file lacks, nulls.
func TestParquetIsReadBack(t *testing.T) {
	written := payments(1000)
	written.Columns = append(written.Columns,
		columns.Column{Field: columns.Field{Name: "cents", Type: columns.Decimal, Precision: 6, Scale: 2}},
		columns.Column{Field: columns.Field{Name: "coins", Type: columns.Decimal, Precision: 18, Scale: 4}})
	for row := range written.Rows() {
		for i := range 2 {
			c := &written.Columns[len(written.Columns)-1-i]
			if row%7 == i {
				c.AppendNull()
			} else {
				c.AppendInt(int64(row*row) - 5000)
			}
		}
	}
	e, err := NewEncoder(Options{Output: OutputParquet, Compression: "zstd", CreatedBy: "test"})
	if err != nil {
		t.Fatal(err)
	}
	body, err := e.Encode(nil, written, all(written))
	if err != nil {
		t.Fatal(err)
	}
	f, err := OpenParquet(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	for i, field := range f.Fields() {
		if field != written.Columns[i].Field {
			t.Errorf("column %d is %+v; want %+v", i, field, written.Columns[i].Field)
		}
	}
	fields := append([]columns.Field{{Name: "later", Type: columns.Double}}, f.Fields()...)
	read := columns.NewTable(fields)
	for range 2 { // rows are added
		if err := f.Append(read); err != nil {
			t.Fatal(err)
		}
	}
	if read.Rows() != 2*written.Rows() {
		t.Fatalf("%d rows were read; want %d", read.Rows(), 2*written.Rows())
	}
	for row := range read.Rows() {
		if read.Columns[0].Valid[row] {
			t.Fatalf("row %d has a value in a column that the file lacks", row)
		}
		for i := range written.Columns {
			if got, want := cell(&read.Columns[i+1], row), cell(&written.Columns[i], row%written.Rows()); got != want {
				t.Fatalf("row %d, %s: got %s; want %s", row, written.Columns[i].Name, got, want)
			}
		}
	}
	other := columns.NewTable([]columns.Field{{Name: "cents", Type: columns.Int64}})
	if err := f.Append(other); err == nil || !strings.Contains(err.Error(), "decimal(6,2)") {
		t.Errorf("a column of another type gives %v", err)
	}
}

// A file in which bits are wrong gives an error, or as many values as rows in each column.
func TestDamagedParquetIsReadBack(t *testing.T) {
	e, err := NewEncoder(Options{Output: OutputParquet, Compression: "snappy", CreatedBy: "test"})
	if err != nil {
		t.Fatal(err)
	}
	table := payments(20)
	body, err := e.Encode(nil, table, all(table))
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for random, n := rand.New(rand.NewPCG(1, 2)), 0; n < 500; n++ {
		damaged := bytes.Clone(body)
		damaged[random.IntN(len(damaged))] ^= 1 << random.IntN(8)
		f, err := OpenParquet(bytes.NewReader(damaged), int64(len(damaged)))
		if err != nil || f.file.NumRows() > 1000 {
			failed++
			continue
		}
		read := columns.NewTable(f.Fields())
		if err := f.Append(read); err != nil {
			failed++
			continue
		}
		for i := range read.Columns {
			if n := read.Columns[i].Len(); n != read.Rows() {
				t.Errorf("%s has %d values, of %d rows", read.Columns[i].Name, n, read.Rows())
			}
		}
	}
	if failed == 0 || failed == 500 {
		t.Errorf("%d of 500 damaged files give errors", failed)
	}
}

// FuzzOpenParquet reads what is no Parquet, or was: there is an error, or as many values as rows in each column, and little memory is taken for
// it.
func FuzzOpenParquet(f *testing.F) {
	for _, compression := range []string{"zstd", "snappy", "gzip", "none"} {
		e, err := NewEncoder(Options{Output: OutputParquet, Compression: compression, CreatedBy: "test", SortedBy: "ingest_time"})
		if err != nil {
			f.Fatal(err)
		}
		for _, rows := range []int{1, 40} {
			table := payments(rows)
			body, err := e.Encode(nil, table, all(table))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(body)
			f.Add(body[:len(body)/2])
			f.Add(append(body[:len(body)/2:len(body)/2], body[len(body)-200:]...))
			f.Add(append(bytes.Clone(body[:4]), body[100:]...)) // no offset is right
		}
	}
	f.Add([]byte("PAR1\x00\x00\x00\x00PAR1"))
	f.Add([]byte("PAR1\x15\x02\x19\xfc\xff\xff\xff\xff\x07\x09\x00\x00\x00PAR1")) // a list of 2,147,483,647 elements of a schema
	f.Fuzz(func(t *testing.T, body []byte) {
		before := allocated()
		if err := readBack(body); err != nil && strings.Contains(err.Error(), "has values for") {
			t.Error(err)
		}
		if taken := allocated() - before; taken > 16<<20+2000*uint64(len(body)) {
			t.Errorf("%d bytes took %d of memory", len(body), taken)
		}
	})
}

// readBack reads a file whole. An error that tells that it has values for another number of rows is a fault of the reader.
func readBack(body []byte) error {
	file, err := OpenParquet(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return err
	}
	read := columns.NewTable(file.Fields())
	if err := file.Append(read); err != nil {
		return err
	}
	for i := range read.Columns {
		if n := read.Columns[i].Len(); n != read.Rows() || int64(n) != file.file.NumRows() {
			return fmt.Errorf("%s has values for %d rows, and not for %d", read.Columns[i].Name, n, read.Rows())
		}
	}
	return nil
}

// allocated is how many bytes were taken from the heap until now.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// What a header claims is held against what there is, before the library sees it.
func TestPagesThatCannotBe(t *testing.T) {
	integer := binary.AppendVarint // zigzag, as in Thrift
	page := func(kind, uncompressed, compressed, sum, count int64) []byte {
		b := []byte{0x15}
		b = append(integer(b, kind), 0x15)
		b = append(integer(b, uncompressed), 0x15)
		b = append(integer(b, compressed), 0x15)
		b = integer(b, int64(int32(sum)))
		within := byte(0x1c) // the field 5
		if kind == 2 {
			within = 0x3c // the field 7
		}
		return append(append(integer(append(b, within, 0x15), count), 0, 0), "abc"...)
	}
	sum := int64(crc32.ChecksumIEEE([]byte("abc")))
	for name, tt := range map[string]struct {
		pages []byte
		want  string
	}{
		"as they are":        {slices.Concat(page(2, 3, 3, sum, 4), page(0, 3, 3, sum, 3), page(0, 3, 3, sum, 1)), ""},
		"too few values":     {page(0, 3, 3, sum, 3), "3 values, for 4 rows"},
		"too many values":    {page(0, 3, 3, sum, 1<<31-1), "header of page 0 is damaged"},
		"less than none":     {page(0, 3, 3, sum, -1), "header of page 0 is damaged"},
		"too many entries":   {page(2, 3, 3, sum, 1<<31-1), "header of page 0 is damaged"},
		"too long":           {page(0, 3, 4, sum, 4), "header of page 0 is damaged"},
		"longer than it can": {page(0, 1<<31-1, 3, sum, 4), "header of page 0 is damaged"},
		"another checksum":   {page(0, 3, 3, sum+1, 4), "its checksum is"},
		"another version":    {page(3, 3, 3, sum, 4), "type 3"},
		"another after it":   {append(page(0, 3, 3, sum, 4), "abc"...), "header of page 1 is damaged"},
		"no end":             {[]byte{0x15}, "header of page 0 is damaged"},
		"nested":             {bytes.Repeat([]byte{0x1c}, 100_000), "header of page 0 is damaged"},
		"lists of lists":     {append([]byte{0x19}, bytes.Repeat([]byte{0x19}, 100_000)...), "header of page 0 is damaged"},
	} {
		err := checkPages(tt.pages, format.Uncompressed, 4)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v; want %q", name, err, tt.want)
		}
	}
	if err := checkPages(page(0, 3, 3, sum, 4), format.Snappy, 4); err == nil || !strings.Contains(err.Error(), "said to have 97 bytes") { // "a"
		t.Errorf("Snappy: %v", err)
	}
}
