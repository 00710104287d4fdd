package check

import (
	"database/sql"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// summary is what a column of a file holds, in short.
type summary struct {
	values   int64 // that are not null
	min, max any   // nil where there are no values
	sum      float64
}

// Footers checks of every Parquet file that both readers can read its footer; that these, and the values, agree about the
// number of rows; and that in each column the number of values, their sum, the least and the greatest are the same for
// DuckDB, which computes them, for Arrow, which gives the values, and for the statistics in the footer, where it has some.
func (o Output) Footers(db *sql.DB) error {
	objects, err := o.objects()
	if err != nil {
		return err
	}
	var wrong differences
	for _, object := range objects {
		if err := footer(db, object, &wrong); err != nil {
			return fmt.Errorf("%s: %w", object.key, err)
		}
	}
	return wrong.err("footers")
}

func footer(db *sql.DB, o object, wrong *differences) error {
	var rows, footerRows int64
	columns, summaries, rows, err := summarise(o.path)
	if err != nil {
		return fmt.Errorf("arrow: %w", err)
	}
	if err := db.QueryRow("SELECT num_rows FROM parquet_file_metadata(?)", o.path).Scan(&footerRows); err != nil {
		return fmt.Errorf("DuckDB: %w", err)
	}
	if rows != footerRows {
		wrong.add("%s: %d rows in Arrow, %d in the footer that DuckDB reads", o.key, rows, footerRows)
	}
	duck, err := summariseDuckDB(db, o.path, columns)
	if err != nil {
		return fmt.Errorf("DuckDB: %w", err)
	}
	for i, c := range columns {
		a, b := summaries[i], duck[i]
		close := math.Abs(a.sum-b.sum) <= 1e-9*math.Max(math.Abs(a.sum), math.Abs(b.sum)) // readers add in their own order
		if a.values != b.values || !equal(a.min, b.min) || !equal(a.max, b.max) || !close {
			wrong.add("%s: column %s: %+v in Arrow, %+v in DuckDB", o.key, c.Name, a, b)
		}
	}
	return footerStatistics(o, columns, summaries, wrong)
}

// summarise reads a file by Arrow.
func summarise(path string) (columns []Column, summaries []summary, rows int64, err error) {
	for row, err := range Arrow(path) {
		if err != nil {
			return nil, nil, 0, err
		}
		if rows == 0 {
			columns, summaries = row.Columns, make([]summary, len(row.Columns))
		}
		rows++
		for i, v := range row.Values {
			summaries[i].add(v)
		}
	}
	return columns, summaries, rows, nil
}

func (s *summary) add(v any) {
	if v == nil {
		return
	}
	if s.values == 0 || less(v, s.min) {
		s.min = v
	}
	if s.values == 0 || less(s.max, v) {
		s.max = v
	}
	s.values++
	switch v := v.(type) {
	case int64:
		s.sum += float64(v)
	case float64:
		s.sum += v
	case bool:
		if v {
			s.sum++
		}
	case time.Time:
		s.sum += float64(v.UnixMilli())
	case string:
		s.sum += float64(len(v)) // what can be added of a text
	}
}

// less is the order of values of one type; false before true, texts by their bytes.
func less(a, b any) bool {
	switch a := a.(type) {
	case int64:
		b, ok := b.(int64)
		return ok && a < b
	case float64:
		b, ok := b.(float64)
		return ok && a < b
	case bool:
		b, ok := b.(bool)
		return ok && !a && b
	case time.Time:
		b, ok := b.(time.Time)
		return ok && a.Before(b)
	case string:
		b, ok := b.(string)
		return ok && a < b
	}
	return false
}

// summariseDuckDB lets DuckDB compute the summaries of a file's columns.
func summariseDuckDB(db *sql.DB, path string, columns []Column) ([]summary, error) {
	var list []string
	for _, c := range columns {
		name := `"` + strings.ReplaceAll(c.Name, `"`, `""`) + `"`
		sum := name
		switch c.Type {
		case Boolean:
			sum += "::INT"
		case Timestamp:
			sum = "epoch_ms(" + name + ")"
		case Text:
			sum = "strlen(" + name + ")"
		}
		list = append(list, fmt.Sprintf("count(%s), min(%s), max(%s), sum((%s)::DOUBLE)", name, name, name, sum))
	}
	values := make([]any, 4*len(columns))
	into := make([]any, len(values))
	for i := range into {
		into[i] = &values[i]
	}
	query := "SELECT " + strings.Join(list, ", ") + " FROM read_parquet(?, hive_partitioning = false)"
	if err := db.QueryRow(query, path).Scan(into...); err != nil {
		return nil, err
	}
	summaries := make([]summary, len(columns))
	for i := range summaries {
		s := &summaries[i]
		s.values, _ = values[4*i].(int64)
		s.min, s.max = widened(values[4*i+1]), widened(values[4*i+2])
		s.sum, _ = values[4*i+3].(float64) // null where there are no values
	}
	return summaries, nil
}

// widened is a value of DuckDB's as a Row has it.
func widened(v any) any {
	if n, ok := v.(int32); ok {
		return int64(n)
	}
	return v
}

// footerStatistics holds the statistics of all row groups against the summaries. Those of texts may be cut short: they
// bound the values.
func footerStatistics(o object, columns []Column, summaries []summary, wrong *differences) error {
	in, err := file.OpenParquetFile(o.path, false)
	if err != nil {
		return err
	}
	defer in.Close()
	reader, err := pqarrow.NewFileReader(in, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	schema, err := reader.Schema()
	if err != nil {
		return err
	}
	rows := int64(0)
	totals := make([]summary, len(columns))
	told := make([]bool, len(columns)) // by all row groups so far
	for i := range told {
		told[i] = true
	}
	for group := range in.NumRowGroups() {
		meta := in.MetaData().RowGroup(group)
		rows += meta.NumRows()
		for i := range columns {
			chunk, err := meta.ColumnChunk(i)
			if err != nil {
				return err
			}
			statistics, err := chunk.Statistics()
			if err != nil {
				return err
			}
			if statistics == nil || !statistics.HasMinMax() && statistics.NumValues() > 0 {
				told[i] = false
				continue
			}
			totals[i].values += meta.NumRows() - statistics.NullCount()
			if statistics.HasMinMax() {
				least, greatest := bounds(statistics, schema.Field(i).Type)
				if totals[i].min == nil || less(least, totals[i].min) {
					totals[i].min = least
				}
				if totals[i].max == nil || less(totals[i].max, greatest) {
					totals[i].max = greatest
				}
			}
		}
	}
	if rows != in.NumRows() {
		wrong.add("%s: the row groups have %d rows, the file %d", o.key, rows, in.NumRows())
	}
	for i, c := range columns {
		want, have := summaries[i], totals[i]
		if !told[i] || want.values == 0 {
			continue
		}
		exact := c.Type != Text
		if have.values != want.values || less(want.min, have.min) || less(have.max, want.max) ||
			exact && (!equal(have.min, want.min) || !equal(have.max, want.max)) {
			wrong.add("%s: column %s: the footer has %d values from %s to %s, the column %d from %s to %s", o.key, c.Name,
				have.values, show(have.min), show(have.max), want.values, show(want.min), show(want.max))
		}
	}
	return nil
}

// bounds gives the minimum and maximum of a column chunk's statistics, as a Row has values.
func bounds(statistics metadata.TypedStatistics, t arrow.DataType) (least, greatest any) {
	switch s := statistics.(type) {
	case *metadata.Int32Statistics:
		return int64(s.Min()), int64(s.Max())
	case *metadata.Int64Statistics:
		if t.ID() == arrow.TIMESTAMP {
			return time.UnixMilli(s.Min()).UTC(), time.UnixMilli(s.Max()).UTC()
		}
		return s.Min(), s.Max()
	case *metadata.Float64Statistics:
		return s.Min(), s.Max()
	case *metadata.BooleanStatistics:
		return s.Min(), s.Max()
	case *metadata.ByteArrayStatistics:
		return string(s.Min()), string(s.Max())
	}
	return nil, nil
}
