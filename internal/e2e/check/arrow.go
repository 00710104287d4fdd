package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// Arrow reads by Apache Arrow.
func Arrow(path string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		if err := readArrow(path, yield); err != nil {
			yield(Row{}, fmt.Errorf("arrow: %s: %w", path, err))
		}
	}
}

func readArrow(path string, yield func(Row, error) bool) error {
	in, err := file.OpenParquetFile(path, false)
	if err != nil {
		return err
	}
	defer in.Close()
	reader, err := pqarrow.NewFileReader(in, pqarrow.ArrowReadProperties{BatchSize: 16 << 10}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	batches, err := reader.GetRecordReader(context.Background(), nil, nil)
	if err != nil {
		return err
	}
	defer batches.Release()
	var row Row
	for _, f := range batches.Schema().Fields() {
		c, err := arrowColumn(f)
		if err != nil {
			return err
		}
		row.Columns = append(row.Columns, c)
	}
	row.Values = make([]any, len(row.Columns))
	for batches.Next() {
		columns := batches.RecordBatch().Columns()
		for n := range int(batches.RecordBatch().NumRows()) {
			for i, c := range columns {
				row.Values[i] = arrowValue(c, n)
			}
			if !yield(row, nil) {
				return nil
			}
		}
	}
	if err := batches.Err(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func arrowColumn(f arrow.Field) (Column, error) {
	switch t := f.Type.(type) {
	case *arrow.StringType:
		return Column{f.Name, Text}, nil
	case *arrow.Int32Type, *arrow.Int64Type:
		return Column{f.Name, Integer}, nil
	case *arrow.Float64Type:
		return Column{f.Name, Double}, nil
	case *arrow.BooleanType:
		return Column{f.Name, Boolean}, nil
	case *arrow.Decimal128Type:
		return Column{f.Name, decimal(int64(t.Precision), int64(t.Scale))}, nil
	case *arrow.TimestampType:
		if t.Unit == arrow.Millisecond && t.TimeZone == "UTC" {
			return Column{f.Name, Timestamp}, nil
		}
	}
	return Column{}, fmt.Errorf("column %s is of an unexpected type: %s", f.Name, f.Type)
}

func arrowValue(c arrow.Array, n int) any {
	if c.IsNull(n) {
		return nil
	}
	switch c := c.(type) {
	case *array.String:
		return c.Value(n)
	case *array.Int32:
		return int64(c.Value(n))
	case *array.Int64:
		return c.Value(n)
	case *array.Float64:
		return c.Value(n)
	case *array.Boolean:
		return c.Value(n)
	case *array.Decimal128:
		return decimalText(c.Value(n).BigInt(), int64(c.DataType().(*arrow.Decimal128Type).Scale))
	case *array.Timestamp:
		return time.UnixMilli(int64(c.Value(n))).UTC()
	}
	return fmt.Sprintf("a value of %s", c.DataType()) // refused by arrowColumn already
}
