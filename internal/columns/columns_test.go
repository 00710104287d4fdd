package columns

import (
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
)

func TestTableKeepsColumnsInStep(t *testing.T) {
	table := NewTable([]Field{{Name: "a", Type: String}, {Name: "b", Type: Int64}, {Name: "c", Type: Double}, {Name: "d", Type: Boolean}, {Name: "e", Type: Timestamp}})
	a, b, c, d, e := &table.Columns[0], &table.Columns[1], &table.Columns[2], &table.Columns[3], &table.Columns[4]

	a.AppendString("one")
	b.AppendInt(1)
	table.EndRow()
	c.AppendDouble(2.5)
	d.AppendBool(true)
	e.AppendInt(3)
	table.EndRow()
	a.AppendText([]byte("three"))
	table.DropRow()
	a.AppendText([]byte("four"))
	table.EndRow()

	if table.Rows() != 3 {
		t.Fatalf("rows: %d, want 3", table.Rows())
	}
	for i := range table.Columns {
		if n := table.Columns[i].Len(); n != 3 {
			t.Errorf("column %s holds %d rows, want 3", table.Columns[i].Name, n)
		}
	}
	if got := string(a.TextAt(0)) + "," + string(a.TextAt(1)) + "," + string(a.TextAt(2)); got != "one,,four" {
		t.Errorf("texts: %s", got)
	}
	if a.Valid[1] || !c.Valid[1] || c.Doubles[1] != 2.5 || !d.Bools[1] || e.Ints[1] != 3 {
		t.Errorf("second row: %+v", table.Columns)
	}
	if table.Size() == 0 {
		t.Error("a filled table has no size")
	}
	table.Truncate(1)
	if table.Rows() != 1 || string(a.Text) != "one" || b.Len() != 1 || c.Len() != 1 {
		t.Errorf("after Truncate(1): %+v", table.Columns)
	}
	table.Truncate(0)
	if table.Size() != 0 {
		t.Errorf("an empty table has size %d", table.Size())
	}
}

// Every choice of six rows, from each row on, and of every type: a null, an empty text and longer ones among them.
func TestRetain(t *testing.T) {
	const rows = 6
	texts := []string{"", "one", "a longer text", "", "x", "the last"}
	table := NewTable([]Field{{Name: "a", Type: String}, {Name: "b", Type: Int64}, {Name: "c", Type: Double}, {Name: "d", Type: Boolean}, {Name: "e", Type: Timestamp},
		{Name: "f", Type: Decimal, Precision: 9, Scale: 2}})
	if len(table.Columns) != len(typeNames) {
		t.Fatalf("the table has %d columns; want one of each of %v", len(table.Columns), typeNames)
	}
	show := func(row int) string {
		c := table.Columns
		return fmt.Sprintf("%s %d %g %t %d %d %t", c[0].TextAt(row), c[1].Ints[row], c[2].Doubles[row], c[3].Bools[row], c[4].Ints[row], c[5].Ints[row], c[0].Valid[row])
	}
	for from := range rows {
		for choice := range 1 << rows {
			table.Truncate(0)
			var want []string
			for row := range rows {
				if row != 3 {
					table.Columns[0].AppendString(texts[row])
				}
				table.Columns[1].AppendInt(int64(row))
				table.Columns[2].AppendDouble(float64(row) / 4)
				table.Columns[3].AppendBool(row%2 == 0)
				table.Columns[4].AppendInt(int64(row * 10))
				table.Columns[5].AppendInt(int64(row * 100))
				table.EndRow()
				if row < from || choice&(1<<row) != 0 {
					want = append(want, show(row))
				}
			}
			table.Columns[0].AppendString("unfinished")
			table.Retain(from, func(row int) bool { return choice&(1<<row) != 0 })
			var got []string
			for row := range table.Rows() {
				got = append(got, show(row))
			}
			if fmt.Sprint(got) != fmt.Sprint(want) || table.Columns[0].Len() != len(want) {
				t.Fatalf("of the choice %06b from %d on: %q, want %q", choice, from, got, want)
			}
		}
	}
}

func TestRefillingAllocatesNothing(t *testing.T) {
	table := NewTable([]Field{{Name: "a", Type: String}, {Name: "b", Type: Int64}, {Name: "c", Type: Double}})
	value := []byte("value")
	fill := func() {
		table.Truncate(0)
		for range 100 {
			table.Columns[0].AppendText(value)
			table.Columns[1].AppendInt(1)
			table.EndRow()
		}
	}
	fill()
	if n := testing.AllocsPerRun(10, fill); n != 0 {
		t.Errorf("refilling a table allocates %v times", n)
	}
}

func TestTypesReadAsTheirNames(t *testing.T) {
	text, err := json.Marshal(Field{Name: "at", Type: Timestamp})
	if err != nil || string(text) != `{"name":"at","type":"timestamp"}` {
		t.Errorf("%s, %v", text, err)
	}
	var f Field
	if err := json.Unmarshal([]byte(`{"name":"x","type":"shape"}`), &f); err == nil {
		t.Error("an unknown type is accepted")
	}
	if err := json.Unmarshal(text, &f); err != nil || f.Type != Timestamp {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestDecimalsReadAsSQLShowsThem(t *testing.T) {
	for _, c := range []struct {
		v     int64
		scale uint8
		want  string
	}{
		{0, 0, "0"}, {0, 2, "0.00"}, {5, 2, "0.05"}, {-5, 2, "-0.05"}, {12345, 2, "123.45"}, {-100, 2, "-1.00"}, {7, 0, "7"},
		{999999999999999999, 18, "0.999999999999999999"}, {-999999999999999999, 0, "-999999999999999999"},
	} {
		if got := string(AppendDecimal([]byte("x"), c.v, c.scale)); got != "x"+c.want {
			t.Errorf("%d with %d digits behind the point is %s; want %s", c.v, c.scale, got[1:], c.want)
		}
		column := Column{Field: Field{Type: Decimal, Precision: 18, Scale: c.scale}}
		column.AppendInt(c.v)
		if want, err := strconv.ParseFloat(c.want, 64); err != nil || column.DecimalAt(0) != want {
			t.Errorf("%s is the double %v", c.want, column.DecimalAt(0))
		}
	}
}
