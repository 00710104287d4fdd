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
	file, err := openFooter(r, size)
	if err != nil {
		return 0, err
	}
	return file.NumRows(), nil
}

// openFooter opens a file, of which it reads the end alone; nothing else can be read of it then.
func openFooter(r io.ReaderAt, size int64) (*parquet.File, error) {
	if size < int64(len(magic)+tailBytes) {
		return nil, fmt.Errorf("%d bytes are no Parquet file", size)
	}
	var tail [tailBytes]byte
	if err := readAt(r, tail[:], size-int64(tailBytes)); err != nil {
		return nil, err
	}
	length := int64(binary.LittleEndian.Uint32(tail[:4]))
	switch {
	case string(tail[4:]) != magic:
		return nil, fmt.Errorf("the file ends with %q, and not with %s", tail[4:], magic)
	case length > min(maxFooter, size-int64(len(magic)+tailBytes)):
		return nil, fmt.Errorf("a footer of %d bytes cannot be, in a file of %d", length, size)
	}
	end := part{size - int64(tailBytes) - length, make([]byte, length, int(length)+tailBytes)}
	if err := readAt(r, end.bytes, end.offset); err != nil {
		return nil, err
	}
	if c := (compact{rest: end.bytes}); !c.structure(nil) || len(c.rest) > 0 {
		return nil, errors.New("the footer is damaged: it is not of the form that Parquet's have")
	}
	end.bytes = append(end.bytes, tail[:]...)
	file, err := openPart(end, size)
	if err != nil {
		return nil, fmt.Errorf("the footer is damaged: %w", err)
	}
	rows := int64(0)
	for _, group := range file.Metadata().RowGroups {
		rows += group.NumRows
	}
	if rows != file.NumRows() {
		return nil, fmt.Errorf("the footer is damaged: the file has %d rows, and its row groups have %d", file.NumRows(), rows)
	}
	return file, nil
}

func openPart(end part, size int64) (file *parquet.File, err error) {
	defer recovered(&err)
	return parquet.OpenFile(end, size, parquet.SkipMagicBytes(true), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
}

// recovered makes an error of a panic: the library has some for damaged files.
func recovered(err *error) {
	if fault := recover(); fault != nil {
		*err = fmt.Errorf("the file is damaged: %v", fault)
	}
}

// part is what a file has from an offset on: an io.ReaderAt, with the offsets of the file.
type part struct {
	offset int64
	bytes  []byte
}

func (p part) ReadAt(to []byte, offset int64) (int, error) {
	if offset < p.offset || offset+int64(len(to)) > p.offset+int64(len(p.bytes)) {
		return 0, errors.New("more is asked for than was read")
	}
	return copy(to, p.bytes[offset-p.offset:]), nil
}

// readAt fills p. Readers may say io.EOF when they come to the end.
func readAt(r io.ReaderAt, p []byte, offset int64) error {
	n, err := r.ReadAt(p, offset)
	if n == len(p) {
		return nil
	}
	return err
}
