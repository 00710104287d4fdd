package sink

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/sluice-etl/sluice/internal/columns"
)

// ParquetFile is a Parquet file of this package that is read back. It is for one goroutine.
type ParquetFile struct {
	from   io.ReaderAt
	size   int64
	file   *parquet.File // of which the footer alone is read
	fields []columns.Field
}

// OpenParquet opens a file of a size in bytes. An error tells that it is damaged, that it is not as this package writes files, or is the
// reader's.
//
// What a damaged file claims takes no memory: the library believes counts and sizes, and is shown no footer, and no page, in which they cannot be,
// or that its checksum does not fit (pages.go). A file that is made on purpose, with checksums that fit, is not held off.
func OpenParquet(r io.ReaderAt, size int64) (f *ParquetFile, err error) {
	defer recovered(&err)
	f = &ParquetFile{from: r, size: size}
	if f.file, err = openFooter(r, size); err != nil {
		return nil, err
	}
	for _, c := range f.file.Root().Columns() {
		field, err := fieldOf(c)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name(), err)
		}
		f.fields = append(f.fields, field)
	}
	for i, group := range f.file.Metadata().RowGroups {
		if group.NumRows < 0 || group.NumRows > maxGroupRows || len(group.Columns) != len(f.fields) {
			return nil, fmt.Errorf("row group %d is damaged: it has %d rows of %d columns", i, group.NumRows, len(group.Columns))
		}
	}
	return f, nil
}

// fieldOf is the inverse of what schemaOf does.
func fieldOf(c *parquet.Column) (columns.Field, error) {
	f := columns.Field{Name: c.Name(), Required: c.Required()}
	if !c.Leaf() || c.Repeated() {
		return f, errForeign
	}
	var logical format.LogicalTypeValue
	if l := c.Type().LogicalType(); l != nil {
		logical = l.Value
	}
	kind := c.Type().Kind()
	switch is := logical.(type) {
	case *format.DecimalType:
		f.Type, f.Precision, f.Scale = columns.Decimal, uint8(is.Precision), uint8(is.Scale)
		if kind != parquet.Int32 && kind != parquet.Int64 || is.Precision > columns.MaxPrecision {
			return f, errForeign
		}
		return f, nil
	case *format.TimestampType:
		f.Type = columns.Timestamp
		if _, millis := is.Unit.Value.(*format.MilliSeconds); !millis || kind != parquet.Int64 {
			return f, errForeign
		}
		return f, nil
	}
	switch kind {
	case parquet.Int64:
		f.Type = columns.Int64
	case parquet.Double:
		f.Type = columns.Double
	case parquet.Boolean:
		f.Type = columns.Boolean
	case parquet.ByteArray:
		f.Type = columns.String
	default:
		return f, errForeign
	}
	return f, nil
}

var errForeign = errors.New("its type is none of those that sluice writes")

// Fields are the file's columns, in its order.
func (f *ParquetFile) Fields() []columns.Field { return f.fields }

// Append adds the file's rows to a table. Columns of the table that the file has not are null in them, and other columns of the file are not
// read. After an error the table may have a part of them.
func (f *ParquetFile) Append(t *columns.Table) (err error) {
	defer recovered(&err)
	for i := range t.Columns {
		c := &t.Columns[i]
		at := slices.IndexFunc(f.fields, func(own columns.Field) bool { return own.Name == c.Name })
		if at < 0 {
			continue
		}
		if is := f.fields[at]; is.Type != c.Type || is.Scale != c.Scale {
			return fmt.Errorf("column %s: it is a %s, and in other files a %s", c.Name, is.SQLType(), c.SQLType())
		}
		for group := range f.file.RowGroups() {
			if err := f.read(c, group, at); err != nil {
				return fmt.Errorf("column %s: %w", c.Name, err)
			}
		}
		if n := int64(c.Len() - t.Rows()); n != f.file.NumRows() {
			return fmt.Errorf("column %s: it has %d values, for %d rows", c.Name, n, f.file.NumRows())
		}
	}
	for range f.file.NumRows() {
		t.EndRow()
	}
	return nil
}

// read appends the values of a row group's column.
func (f *ParquetFile) read(c *columns.Column, group, column int) error {
	chunk, err := f.chunk(group, column)
	if err != nil {
		return err
	}
	pages := f.file.RowGroups()[group].ColumnChunks()[column].(*parquet.FileColumnChunk).PagesFrom(chunk)
	defer pages.Close()
	var values [valuesAtOnce]parquet.Value
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for reader := page.Values(); ; {
			n, err := reader.ReadValues(values[:])
			appendValues(c, values[:n])
			if len(c.Text) > math.MaxUint32 {
				return errors.New("all its texts are more than 4 GiB together")
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			if n == 0 {
				return io.ErrNoProgress
			}
		}
		parquet.Release(page)
	}
}

// appendValues is the inverse of fillRequired and fillOptional.
func appendValues(c *columns.Column, values []parquet.Value) {
	for i := range values {
		v := &values[i]
		switch {
		case v.IsNull():
			c.AppendNull()
		case c.Type == columns.String:
			c.AppendText(v.ByteArray())
		case c.Type == columns.Double:
			c.AppendDouble(v.Double())
		case c.Type == columns.Boolean:
			c.AppendBool(v.Boolean())
		case v.Kind() == parquet.Int32:
			c.AppendInt(int64(v.Int32()))
		default:
			c.AppendInt(v.Int64())
		}
	}
}
