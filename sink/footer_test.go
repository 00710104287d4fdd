package sink

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func encoded(t testing.TB, rows int) []byte {
	t.Helper()
	e, err := NewEncoder(Options{Output: OutputParquet, Compression: "zstd", CreatedBy: "test"})
	if err != nil {
		t.Fatal(err)
	}
	body, err := e.Encode(nil, payments(rows), nil)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// reads remembers the least offset that was read.
type reads struct {
	io.ReaderAt
	least int64
	calls int
}

func (r *reads) ReadAt(p []byte, offset int64) (int, error) {
	r.least = min(r.least, offset)
	r.calls++
	return r.ReaderAt.ReadAt(p, offset)
}

func TestParquetRows(t *testing.T) {
	for _, rows := range []int{1, 1000, 2*maxGroupRows + 1} {
		body := encoded(t, rows)
		r := &reads{ReaderAt: bytes.NewReader(body), least: int64(len(body))}
		got, err := ParquetRows(r, int64(len(body)))
		if err != nil || got != int64(rows) {
			t.Errorf("%d rows, %v; want %d", got, err, rows)
		}
		footer := expect(t, body, payments(rows), all(payments(rows)))
		last := footer.Metadata().RowGroups[len(footer.RowGroups())-1]
		if end := last.FileOffset + last.TotalCompressedSize; r.least < end || r.calls != 2 {
			t.Errorf("%d reads from %d on, where the data ends at %d; want two behind it", r.calls, r.least, end)
		}
	}
}

func TestParquetRowsOfDamagedFiles(t *testing.T) {
	body := encoded(t, 100)
	for name, test := range map[string]struct {
		damage func(body []byte) []byte
		says   string
	}{
		"empty":          {func([]byte) []byte { return nil }, "0 bytes are no Parquet file"},
		"magics alone":   {func([]byte) []byte { return []byte("PAR1PAR1") }, "8 bytes are no"},
		"truncated":      {func(b []byte) []byte { return b[:len(b)-1] }, "the file ends with"},
		"text":           {func([]byte) []byte { return []byte(strings.Repeat("text", 100)) }, `the file ends with "text"`},
		"no footer":      {func(b []byte) []byte { return append(b, "\x00\x00\x00\x00PAR1"...) }, ""},
		"longer than it": {func(b []byte) []byte { return append(b, "\xff\xff\xff\x7fPAR1"...) }, "a footer of 2147483647 bytes cannot be"},
		"zeros": {func(b []byte) []byte {
			clear(b[len(b)-200 : len(b)-8])
			return b
		}, ""},
	} {
		damaged := test.damage(bytes.Clone(body))
		rows, err := ParquetRows(bytes.NewReader(damaged), int64(len(damaged)))
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %d rows, %v; want an error with %q", name, rows, err, test.says)
		}
	}
}

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

func TestParquetRowsReaderFails(t *testing.T) {
	broken := errors.New("broken")
	if _, err := ParquetRows(failing{broken}, 1000); !errors.Is(err, broken) {
		t.Errorf("%v; want the reader's error", err)
	}
}

// Whatever the footer is, it gives rows or an error.
func FuzzParquetRows(f *testing.F) {
	body := encoded(f, 10)
	f.Add(body)
	f.Add(body[:len(body)-100])
	f.Add([]byte("PAR1\x15\x02\x04\x00\x00\x00PAR1"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if rows, err := ParquetRows(bytes.NewReader(body), int64(len(body))); err == nil && rows < 0 {
			t.Errorf("%d rows", rows)
		}
	})
}
