package sink

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/compress/gzip"
	"github.com/parquet-go/parquet-go/compress/snappy"
	"github.com/parquet-go/parquet-go/compress/uncompressed"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/sluice-etl/sluice/internal/columns"
)

// ParquetExtension is that of Parquet files.
const ParquetExtension = "parquet"

const (
	maxGroupRows = 128 << 10 // readers skip, and work in parallel, by row group
	maxWriters   = 8
	samples      = 1024

	// A page ends with the block that fills it. With a block of texts of 64 bytes it is still below 64 KiB, up to where
	// zstd compresses without a window, which takes 8 MiB and more time. A writer holds a page for each column.
	pageBytes    = 48 << 10
	valuesAtOnce = 256

	int32Digits = 9 // decimals of so many digits are 32 bits wide
)

// parquetFiles is the encoder of Parquet files. Its writers are kept for the next file with the same columns.
type parquetFiles struct {
	codec     compress.Codec
	createdBy string
	sortedBy  string
	writers   map[string]*parquet.GenericWriter[any]
	values    []parquet.Value
	all       []int32
	shown     []*columns.Column // of the table that is encoded
	out       bytes.Buffer
	sample    map[uint64]struct{}
	seed      maphash.Seed
}

func newParquet(o Options) (*parquetFiles, error) {
	codecs := map[string]compress.Codec{
		"zstd": &zstd.Codec{Level: zstd.SpeedFastest}, "snappy": &snappy.Codec{}, "gzip": &gzip.Codec{}, "none": &uncompressed.Codec{},
	}
	codec, ok := codecs[o.Compression]
	if !ok {
		return nil, fmt.Errorf("there is no compression %q; there are %v", o.Compression, slices.Sorted(maps.Keys(codecs)))
	}
	return &parquetFiles{
		codec: codec, createdBy: o.CreatedBy, sortedBy: o.SortedBy, writers: map[string]*parquet.GenericWriter[any]{}, values: make([]parquet.Value, valuesAtOnce),
		sample: map[uint64]struct{}{}, seed: maphash.MakeSeed(),
	}, nil
}

// Kind tells how the files are named and announced.
func (e *parquetFiles) Kind() Kind { return Kind{ParquetExtension, "application/vnd.apache.parquet"} }

// Encode makes one file of the selected rows of a table: see Encoder. The columns keep the table's order and names, and
// those that are not required are optional. Timestamps are milliseconds in UTC. Text columns of few different values have a
// dictionary.
func (e *parquetFiles) Encode(dst []byte, t *columns.Table, rows []int32) ([]byte, error) {
	if rows == nil {
		rows = e.allOf(t)
	}
	if len(rows) == 0 {
		return nil, errNoRows
	}
	e.shown = e.shown[:0]
	for i := range t.Columns {
		if c := &t.Columns[i]; !c.Hidden {
			e.shown = append(e.shown, c)
		}
	}
	w, err := e.writer(rows)
	if err == nil {
		err = e.encode(w, rows)
	}
	if err != nil {
		clear(e.writers) // who knows in what state
		return nil, fmt.Errorf("encode Parquet: %w", err)
	}
	return append(dst, e.out.Bytes()...), nil
}

func (e *parquetFiles) encode(w *parquet.GenericWriter[any], rows []int32) error {
	for group := range slices.Chunk(rows, maxGroupRows) {
		for i, column := range w.ColumnWriters() {
			if err := e.write(column, e.shown[i], group); err != nil {
				return fmt.Errorf("column %s: %w", e.shown[i].Name, err)
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	keepPaths(w)
	return nil
}

// keepPaths saves the names of a writer's columns from its next Reset, which clears those in the metadata of the last
// file, although the writer has no others: without a name in path_in_schema, Athena and Spark refuse the next file.
//
// https://github.com/parquet-go/parquet-go/issues/602
func keepPaths(w *parquet.GenericWriter[any]) {
	groups := w.File().Metadata().RowGroups
	for i := range groups {
		for j := range groups[i].Columns {
			groups[i].Columns[j].MetaData.PathInSchema = nil
		}
	}
}

// allOf selects all rows of a table.
func (e *parquetFiles) allOf(t *columns.Table) []int32 {
	for n := len(e.all); n < t.Rows(); n++ {
		e.all = append(e.all, int32(n))
	}
	return e.all[:t.Rows()]
}

// write gives a column's values of some rows to its writer, a block at a time.
func (e *parquetFiles) write(w *parquet.ColumnWriter, c *columns.Column, rows []int32) error {
	for block := range slices.Chunk(rows, valuesAtOnce) {
		values := e.values[:len(block)]
		if c.Required {
			fillRequired(values, c, block)
		} else {
			clear(values) // the zero value is null
			fillOptional(values, c, trimNulls(c.Valid, block))
		}
		if _, err := w.WriteRowValues(values); err != nil {
			return err
		}
	}
	return nil
}

// fillRequired and fillOptional are the hottest loops of the service, and written out for the sake of it. A value of an
// optional column has the definition level 1; nulls, and all values of a required column, have 0, as they are.
func fillRequired(values []parquet.Value, c *columns.Column, rows []int32) {
	switch c.Type {
	case columns.String:
		for i, row := range rows {
			values[i] = parquet.ByteArrayValue(c.TextAt(int(row)))
		}
	case columns.Int64, columns.Timestamp:
		for i, row := range rows {
			values[i] = parquet.Int64Value(c.Ints[row])
		}
	case columns.Decimal:
		for i, row := range rows {
			values[i] = decimalValue(c, row)
		}
	case columns.Double:
		for i, row := range rows {
			values[i] = parquet.DoubleValue(c.Doubles[row])
		}
	case columns.Boolean:
		for i, row := range rows {
			values[i] = parquet.BooleanValue(c.Bools[row])
		}
	}
}

func fillOptional(values []parquet.Value, c *columns.Column, rows []int32) {
	switch c.Type {
	case columns.String:
		for i, row := range rows {
			if c.Valid[row] {
				values[i] = parquet.ByteArrayValue(c.TextAt(int(row))).Level(0, 1, 0)
			}
		}
	case columns.Int64, columns.Timestamp:
		for i, row := range rows {
			if c.Valid[row] {
				values[i] = parquet.Int64Value(c.Ints[row]).Level(0, 1, 0)
			}
		}
	case columns.Decimal:
		for i, row := range rows {
			if c.Valid[row] {
				values[i] = decimalValue(c, row).Level(0, 1, 0)
			}
		}
	case columns.Double:
		for i, row := range rows {
			if c.Valid[row] {
				values[i] = parquet.DoubleValue(c.Doubles[row]).Level(0, 1, 0)
			}
		}
	case columns.Boolean:
		for i, row := range rows {
			if c.Valid[row] {
				values[i] = parquet.BooleanValue(c.Bools[row]).Level(0, 1, 0)
			}
		}
	}
}

// decimalValue is a value of a decimal column, in the least type that Parquet has for its digits.
func decimalValue(c *columns.Column, row int32) parquet.Value {
	if c.Precision <= int32Digits {
		return parquet.Int32Value(int32(c.Ints[row]))
	}
	return parquet.Int64Value(c.Ints[row])
}

// trimNulls drops the nulls at the end: in most columns about anomalies that is all of them.
func trimNulls(valid []bool, rows []int32) []int32 {
	for len(rows) > 0 && !valid[rows[len(rows)-1]] {
		rows = rows[:len(rows)-1]
	}
	return rows
}

// writer gives a writer for the columns that are shown, each with the encoding that suits its values.
func (e *parquetFiles) writer(rows []int32) (*parquet.GenericWriter[any], error) {
	key := make([]byte, 0, 32*len(e.shown))
	dictionaries := make([]bool, len(e.shown))
	for i, c := range e.shown {
		dictionaries[i] = c.Type == columns.String && e.repeats(c, rows)
		key = fmt.Appendf(key, "%q %d %d %d %t %t\n", c.Name, c.Type, c.Precision, c.Scale, c.Required, dictionaries[i])
	}
	e.out.Reset()
	if w, ok := e.writers[string(key)]; ok {
		w.Reset(&e.out)
		return w, nil
	}
	if len(e.writers) >= maxWriters {
		clear(e.writers)
	}
	schema, err := schemaOf(e.shown, dictionaries)
	if err != nil {
		return nil, err
	}
	var sorting []parquet.SortingColumn
	for _, c := range e.shown {
		// Texts are sorted by what they mean.
		if c.Name == e.sortedBy && (c.Type == columns.Timestamp || c.Type == columns.Int64) {
			sorting = append(sorting, parquet.Ascending(c.Name))
		}
	}
	w := parquet.NewGenericWriter[any](&e.out, schema, parquet.Compression(e.codec), parquet.DataPageVersion(1), parquet.PageBufferSize(pageBytes),
		parquet.SortingWriterConfig(parquet.SortingColumns(sorting...)),
		parquet.DataPageStatistics(false), // the column index has them
		parquet.WriteBufferSize(0), parquet.CreatedBy("sluice", e.createdBy, ""))
	e.writers[string(key)] = w
	return w, nil
}

// repeats tells whether a dictionary pays: whether at most half of the values in a sample from all over the rows are
// different.
func (e *parquetFiles) repeats(c *columns.Column, rows []int32) bool {
	clear(e.sample)
	n := 0
	step := max(1, len(rows)/samples)
	for i := 0; i < len(rows); i += step {
		if row := rows[i]; c.Valid[row] {
			e.sample[maphash.Bytes(e.seed, c.TextAt(int(row)))] = struct{}{}
			n++
		}
	}
	return 2*len(e.sample) <= n
}

// schemaOf is the file's schema.
func schemaOf(shown []*columns.Column, dictionaries []bool) (*parquet.Schema, error) {
	group := parquet.Group{}
	order := map[string]int{}
	for i, c := range shown {
		if _, twice := order[c.Name]; twice {
			return nil, fmt.Errorf("there are two columns %q", c.Name)
		}
		var node parquet.Node
		switch c.Type {
		case columns.String:
			node = parquet.Encoded(parquet.String(), &parquet.Plain)
			if dictionaries[i] {
				node = parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
			}
		case columns.Int64:
			node = parquet.Int(64)
		case columns.Timestamp:
			node = parquet.Timestamp(parquet.Millisecond)
		case columns.Double:
			node = parquet.Leaf(parquet.DoubleType)
		case columns.Boolean:
			node = parquet.Leaf(parquet.BooleanType)
		case columns.Decimal:
			physical := parquet.Int64Type
			if c.Precision <= int32Digits {
				physical = parquet.Int32Type
			}
			node = parquet.Decimal(int(c.Scale), int(c.Precision), physical)
		}
		if !c.Required {
			node = parquet.Optional(node)
		}
		group[c.Name] = node
		order[c.Name] = i
	}
	fields := group.Fields() // sorted by name
	slices.SortFunc(fields, func(a, b parquet.Field) int { return order[a.Name()] - order[b.Name()] })
	return parquet.NewSchema("sluice", ordered{group, fields}), nil
}

// ordered is a group that keeps the order of its fields.
type ordered struct {
	parquet.Group
	fields []parquet.Field
}

func (o ordered) Fields() []parquet.Field { return o.fields }
