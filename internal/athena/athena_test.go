package athena

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/sink"
)

var update = flag.Bool("update", false, "write testdata/*.sql anew, to be read before they are committed")

func table(t *testing.T, prefix string) Table {
	t.Helper()
	p, err := sink.ParsePrefix(prefix)
	if err != nil {
		t.Fatal(err)
	}
	return Table{Name: "shop.orders", Bucket: "lake", Prefix: p, Columns: []columns.Field{
		{Name: "select", Type: columns.String}, {Name: "n", Type: columns.Int64}, {Name: "price", Type: columns.Decimal, Precision: 9, Scale: 2},
		{Name: "x", Type: columns.Double}, {Name: "paid", Type: columns.Boolean}, {Name: "at", Type: columns.Timestamp},
	}}
}

// TestDDL compares statements with testdata/*.sql.
func TestDDL(t *testing.T) {
	for name, test := range map[string]struct {
		prefix           string
		json, projection bool
	}{
		"default":           {prefix: "data/dt=!{timestamp:yyyy-MM-dd}/"},
		"default-projected": {prefix: "data/dt=!{timestamp:yyyy-MM-dd}/", projection: true},
		"lab3-projected":    {prefix: "T/ingest_year=!{timestamp:yyyy}/ingest_month=!{timestamp:MM}/ingest_day=!{timestamp:dd}/ingest_hour=!{timestamp:HH}/", projection: true},
		"lab6-projected":    {prefix: "access-logs-parquet/!{timestamp:yyyy/MM/dd/HH}/", projection: true},
		"hourly-json":       {prefix: "!{timestamp:'it''s 'yyyy-MM-dd-HH}/part-", json: true, projection: true},
		"mixed-projected":   {prefix: "a/b/Day=!{timestamp:yyyyMMdd}/static/hour=!{timestamp:H}/", projection: true},
		"none":              {prefix: "data/"},
	} {
		t.Run(name, func(t *testing.T) {
			of := table(t, test.prefix)
			of.JSON, of.Projection = test.json, test.projection
			got, err := of.DDL()
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".sql")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestWhatMakesNoTable(t *testing.T) {
	for prefix, want := range map[string]string{
		"data/":                                         "no partition to project",
		"data/dt=!{timestamp:yyyy-dd}/":                 "cannot count the values",
		"data/m=!{timestamp:MMM}/":                      "cannot count the values",
		"data/y=!{timestamp:yy}/":                       "cannot count the values",
		"data/d=!{timestamp:EEE}/":                      "cannot count the values",
		"data/n=!{timestamp:dd}/":                       "is called as a column is",
		"data/!{timestamp:yyyy/MM}/!{timestamp:yyyy}/":  "give the partition column year",
		"data/dt=!{timestamp:yyyy}/dt=!{timestamp:MM}/": "give the partition column dt",
	} {
		of := table(t, prefix)
		of.Projection = true
		if _, err := of.DDL(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v; want %q", prefix, err, want)
		}
	}
}
