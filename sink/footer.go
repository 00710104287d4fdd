package sink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
)

// A Parquet file begins with a magic, and ends with the footer, the footer's length in 4 bytes, and the same magic. A
// footer of ours has some hundred bytes for each column and row group; what claims more than maxFooter is damaged.
const (
	magic     = "PAR1"
	tailBytes = 4 + len(magic)
	maxFooter = 64 << 20
)

// ParquetRows tells how many rows a Parquet file of a size in bytes has. It reads the last 8 bytes and the footer before
// them, and nothing else; an error tells what is wrong with these, or is the reader's.
func ParquetRows(r io.ReaderAt, size int64) (int64, error) {
	if size < int64(len(magic)+tailBytes) {
		return 0, fmt.Errorf("%d bytes are no Parquet file", size)
	}
	var tail [tailBytes]byte
	if err := readAt(r, tail[:], size-int64(tailBytes)); err != nil {
		return 0, err
	}
	length := int64(binary.LittleEndian.Uint32(tail[:4]))
	switch {
	case string(tail[4:]) != magic:
		return 0, fmt.Errorf("the file ends with %q, and not with %s", tail[4:], magic)
	case length > min(maxFooter, size-int64(len(magic)+tailBytes)):
		return 0, fmt.Errorf("a footer of %d bytes cannot be, in a file of %d", length, size)
	}
	end := ending{size - int64(tailBytes) - length, make([]byte, length, int(length)+tailBytes)}
	if err := readAt(r, end.bytes, end.offset); err != nil {
		return 0, err
	}
	end.bytes = append(end.bytes, tail[:]...)
	file, err := openFooter(end, size)
	if err != nil {
		return 0, fmt.Errorf("the footer is damaged: %w", err)
	}
	rows := int64(0)
	for _, group := range file.Metadata().RowGroups {
		rows += group.NumRows
	}
	if rows != file.NumRows() {
		return 0, fmt.Errorf("the footer is damaged: the file has %d rows, and its row groups have %d", file.NumRows(), rows)
	}
	return rows, nil
}

// openFooter opens a file of which only the end is there. The library panics on some damaged footers.
func openFooter(end ending, size int64) (file *parquet.File, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			file, err = nil, fmt.Errorf("%v", fault)
		}
	}()
	return parquet.OpenFile(end, size, parquet.SkipMagicBytes(true), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
}

// ending is the end of a file, from an offset on.
type ending struct {
	offset int64
	bytes  []byte
}

func (e ending) ReadAt(p []byte, offset int64) (int, error) {
	if offset < e.offset || offset+int64(len(p)) > e.offset+int64(len(e.bytes)) {
		return 0, errors.New("more than the footer is asked for")
	}
	return copy(p, e.bytes[offset-e.offset:]), nil
}

// readAt fills p. Readers may say io.EOF when they come to the end.
func readAt(r io.ReaderAt, p []byte, offset int64) error {
	n, err := r.ReadAt(p, offset)
	if n == len(p) {
		return nil
	}
	return err
}
