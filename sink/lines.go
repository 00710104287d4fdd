package sink

import (
	"errors"
	"fmt"
	"io"

	"github.com/sluice-etl/sluice/internal/columns"
)

const (
	lineBlock = 64 << 10 // bytes that are given to the compressor at once
	lineLevel = 6        // of gzip: a sixth smaller than 1 to 4, at half as much time again, and 9 takes ten times as long; see BenchmarkLines
)

// lines is the encoder of files of lines.
type lines struct {
	format lineFormat
	zip    compressor
	kind   Kind
	block  []byte
	file   appender
}

// lineFormat says what a row's line is.
type lineFormat interface {
	// begin takes up a table.
	begin(t *columns.Table) error
	// appendLine appends the line of a row, with its newline.
	appendLine(dst []byte, row int) []byte
}

// compressor is what the libraries have in common.
type compressor interface {
	io.WriteCloser
	Reset(w io.Writer)
}

// Kind tells how the files are named and announced.
func (e *lines) Kind() Kind { return e.kind }

// Encode makes one file of the selected rows of a table: see Encoder. The same rows give the same bytes.
func (e *lines) Encode(dst []byte, t *columns.Table, rows []int32) ([]byte, error) {
	if len(rows) == 0 && (rows != nil || t.Rows() == 0) {
		return nil, errNoRows
	}
	if err := e.format.begin(t); err != nil {
		return nil, err
	}
	e.file.bytes, e.block = dst, e.block[:0]
	e.zip.Reset(&e.file)
	var failed error
	line := func(row int) {
		e.block = e.format.appendLine(e.block, row)
		if len(e.block) >= lineBlock {
			failed = errors.Join(failed, e.write())
		}
	}
	if rows == nil {
		for row := range t.Rows() {
			line(row)
		}
	}
	for _, row := range rows {
		line(int(row))
	}
	if err := errors.Join(failed, e.write(), e.zip.Close()); err != nil {
		return nil, fmt.Errorf("encode lines: %w", err)
	}
	dst, e.file.bytes = e.file.bytes, nil
	return dst, nil
}

func (e *lines) write() error {
	_, err := e.zip.Write(e.block)
	e.block = e.block[:0]
	return err
}

var errNoRows = errors.New("there are no rows to encode, and an empty file is of no use")

// appender is a writer to memory.
type appender struct{ bytes []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.bytes = append(a.bytes, p...)
	return len(p), nil
}

// plain is the compressor that does not compress.
type plain struct{ io.Writer }

func (p *plain) Reset(w io.Writer) { p.Writer = w }
func (p *plain) Close() error      { return nil }

// RawColumn is the name of the column of text that raw lines are made of. No column of a schema can be called so.
const RawColumn = "raw line"

// rawLines writes what is in the column RawColumn, whatever bytes these are, a newline after each.
type rawLines struct{ column *columns.Column }

func (r *rawLines) begin(t *columns.Table) error {
	for i := range t.Columns {
		if c := &t.Columns[i]; c.Name == RawColumn && c.Type == columns.String {
			r.column = c
			return nil
		}
	}
	return fmt.Errorf("encode raw lines: the table has no column %q", RawColumn)
}

func (r *rawLines) appendLine(dst []byte, row int) []byte {
	return append(append(dst, r.column.TextAt(row)...), '\n')
}
