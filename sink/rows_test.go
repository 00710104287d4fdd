package sink

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

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
