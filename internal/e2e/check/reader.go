package check

import (
	"database/sql"
	"fmt"
	"iter"
	"math"
	"math/big"
	"strings"
	"time"

	"github.com/duckdb/duckdb-go/v2" // the driver "duckdb", too
)

// Type is the type of a column, as far as readers agree on how to call it.
type Type string

// The types of a column.
const (
	Text      Type = "text"
	Integer   Type = "integer"
	Double    Type = "double"
	Boolean   Type = "boolean"
	Timestamp Type = "timestamp" // with a time zone: an instant
)

// decimal is the type of decimals of so many digits, of which so many are behind the point. Their values are text with all
// of these.
func decimal(precision, scale int64) Type {
	return Type(fmt.Sprintf("decimal(%d,%d)", precision, scale))
}

// digits are those of a type that decimal gave.
func (t Type) digits() (precision, scale int64, ok bool) {
	n, _ := fmt.Sscanf(string(t), "decimal(%d,%d)", &precision, &scale)
	return precision, scale, n == 2
}

// decimalText is the text of an integer with so many digits behind the point.
func decimalText(v *big.Int, scale int64) string {
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(scale), nil)
	return new(big.Rat).SetFrac(v, unit).FloatString(int(scale))
}

// Column is a column of a file.
type Column struct {
	Name string
	Type Type
}

// Row is one row of a file. Values are nil, string (of decimals, too), int64, float64, bool or time.Time (UTC), in the order of the columns.
type Row struct {
	Columns []Column // shared by the rows of a file
	Values  []any    // valid until the next row
}

// Rows reads the rows of a Parquet file in their order. After an error it ends.
type Rows func(path string) iter.Seq2[Row, error]

// equal tells whether two values are the same, doubles bit by bit.
func equal(a, b any) bool {
	switch a := a.(type) {
	case float64:
		b, ok := b.(float64)
		return ok && math.Float64bits(a) == math.Float64bits(b)
	case time.Time:
		b, ok := b.(time.Time)
		return ok && a.Equal(b)
	}
	return a == b
}

// OpenDuckDB opens a DuckDB that keeps nothing, and stays below 1 GB of memory.
func OpenDuckDB() (*sql.DB, error) {
	db, err := sql.Open("duckdb", "?memory_limit=1GB")
	if err != nil {
		return nil, fmt.Errorf("open DuckDB: %w", err)
	}
	return db, nil
}

// DuckDB reads by DuckDB.
func DuckDB(db *sql.DB) Rows {
	return func(path string) iter.Seq2[Row, error] {
		return func(yield func(Row, error) bool) {
			if err := readDuckDB(db, path, yield); err != nil {
				yield(Row{}, fmt.Errorf("DuckDB: %s: %w", path, err))
			}
		}
	}
}

func readDuckDB(db *sql.DB, path string, yield func(Row, error) bool) error {
	rows, err := db.Query("SELECT * FROM read_parquet(?, hive_partitioning = false, file_row_number = true)", path)
	if err != nil {
		return err
	}
	defer rows.Close()
	types, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	last := len(types) - 1 // file_row_number
	row := Row{Columns: make([]Column, last), Values: make([]any, last)}
	for i := range row.Columns {
		if row.Columns[i], err = duckColumn(types[i]); err != nil {
			return err
		}
	}
	values := make([]any, len(types))
	into := make([]any, len(types))
	for i := range into {
		into[i] = &values[i]
	}
	for number := int64(0); rows.Next(); number++ {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if values[last] != number {
			return fmt.Errorf("row %v came as row %d", values[last], number)
		}
		for i, v := range values[:last] {
			switch n := v.(type) {
			case int32:
				v = int64(n)
			case duckdb.Decimal:
				v = decimalText(n.Value, int64(n.Scale))
			}
			row.Values[i] = v
		}
		if !yield(row, nil) {
			return nil
		}
	}
	return rows.Err()
}

func duckColumn(t *sql.ColumnType) (Column, error) {
	types := map[string]Type{
		"VARCHAR": Text, "INTEGER": Integer, "BIGINT": Integer, "DOUBLE": Double, "BOOLEAN": Boolean,
		"TIMESTAMPTZ": Timestamp, "TIMESTAMP WITH TIME ZONE": Timestamp,
	}
	name := strings.ToUpper(t.DatabaseTypeName())
	kind, ok := types[name]
	if precision, scale, sized := Type(strings.ToLower(name)).digits(); sized {
		kind, ok = decimal(precision, scale), true
	}
	if !ok {
		return Column{}, fmt.Errorf("column %s is of an unexpected type: %s", t.Name(), name)
	}
	return Column{t.Name(), kind}, nil
}
