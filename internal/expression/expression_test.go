package expression

import (
	"strings"
	"testing"

	"github.com/sluice-etl/sluice/internal/columns"
)

var fields = []columns.Field{
	{Name: "units", Type: columns.Int64}, {Name: "price", Type: columns.Double}, {Name: "status", Type: columns.String},
	{Name: "paid", Type: columns.Boolean}, {Name: "at", Type: columns.Timestamp},
	{Name: "tax", Type: columns.Decimal, Precision: 9, Scale: 2},
}

// rows has a row with values, and one of nulls but for units.
func rows() *columns.Table {
	t := columns.NewTable(fields)
	t.Columns[0].AppendInt(3)
	t.Columns[1].AppendDouble(2.5)
	t.Columns[2].AppendString("OK")
	t.Columns[3].AppendBool(true)
	t.Columns[4].AppendInt(1_772_366_400_000) // 2026-03-01 12:00 UTC
	t.Columns[5].AppendInt(125)
	t.EndRow()
	t.Columns[0].AppendInt(3)
	t.EndRow()
	return t
}

func TestHolds(t *testing.T) {
	table := rows()
	for text, want := range map[string][2]string{ // of the two rows
		"units > 2":                                    {"true", "true"},
		"units * price == 7.5":                         {"true", "unknown"},
		`status in ["OK", "FAIL"] and paid`:            {"true", "unknown"},
		"at.Hour() == 12 && at.Year() == 2026":         {"true", "unknown"},
		"tax == 1.25":                                  {"true", "unknown"},
		"price == nil":                                 {"false", "true"},
		"(price ?? 0) > 1":                             {"true", "false"},
		"price != nil && price > 3":                    {"false", "false"},
		`status[5:6] == "x" || units % (units-3) == 0`: {"unknown", "unknown"},
	} {
		e, err := Compile(text, fields)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for row := range 2 {
			got := "unknown"
			if holds, known := e.Holds(table, row); known && holds {
				got = "true"
			} else if known {
				got = "false"
			}
			if got != want[row] {
				t.Errorf("%s, row %d: %s, want %s", text, row, got, want[row])
			}
		}
	}
}

func TestRefused(t *testing.T) {
	for text, want := range map[string]string{
		"units >":         "unexpected",
		"unit > 1":        `the nearest is "units"`,
		"units + 1":       "bool",
		`units > "three"`: "mismatched types",
		"now() > at":      "now",
	} {
		if _, err := Compile(text, fields); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v; want %s", text, err, want)
		}
	}
	if Check("a >") == nil || Check("a > 1") != nil {
		t.Error("the syntax is not checked without columns")
	}
}

// Whatever the values are, asking never panics.
func FuzzHolds(f *testing.F) {
	f.Add(int64(0), 0.0, "", "units / price > 1")
	f.Add(int64(3), 1.0, "x", `status matches "^x" && units % 0 == 1`)
	f.Fuzz(func(_ *testing.T, units int64, price float64, status, text string) {
		e, err := Compile(text, fields)
		if err != nil {
			return
		}
		t := columns.NewTable(fields)
		t.Columns[0].AppendInt(units)
		t.Columns[1].AppendDouble(price)
		t.Columns[2].AppendString(status)
		t.EndRow()
		e.Holds(t, 0)
	})
}
