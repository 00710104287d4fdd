package e2e

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/check"
	"github.com/sluice-etl/sluice/internal/e2e/process"
	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// places are records with a column that the old schema lacks.
func places(from, n int) []world.Record {
	records := make([]world.Record, n)
	for i := range records {
		records[i] = recordOf(fmt.Sprint("key-", i), fmt.Sprintf(`{"id":%d,"name":"n%d","City":"c%d"}`, from+i, i%7, i%3))
	}
	return records
}

// declare writes a file for SLUICE_SCHEMA.
func declare(t *testing.T, fields string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "schema.json")
	if err := os.WriteFile(file, []byte(`{"fields":[`+fields+`]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return "SLUICE_SCHEMA=" + file
}

const oldColumns = `{"name":"id","type":"int64"},{"name":"name"}`

// TestAColumnIsAddedSideBySide starts a worker with a column more beside one that runs, and lets both write: the old one
// writes the old columns until it learns of the new one. All files are one table.
func TestAColumnIsAddedSideBySide(t *testing.T) {
	t.Parallel()
	y := newYard(t, 2)
	older := y.run(t, "older", declare(t, oldColumns))
	put(t, y.producer, places(0, 500))
	y.all(t, older)
	newer := y.run(t, "newer", declare(t, oldColumns+`,{"name":"city","source":"City"}`))
	running := []*process.Process{older.Process, newer.Process}

	db, err := check.OpenDuckDB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	files := filepath.Join(y.Bucket, "data", "*", "*.parquet")
	sent, mixed := 500, false
	eventually(t, 2*time.Minute, "both workers write the new column", running, func() bool {
		put(t, y.producer, places(sent, 100))
		sent += 100
		// Files of one second, of which one has the column and another has not, were written side by side.
		mixed = mixed || ask(t, db, `SELECT count(*) FROM (SELECT date_trunc('second', ingest_time) AS s FROM read_parquet(?, union_by_name = true, filename = true)
			GROUP BY s HAVING count(DISTINCT ingest_shard) = 2 AND bool_or(city IS NULL) AND bool_or(city IS NOT NULL))`, files) > 0
		return ask(t, db, `SELECT count(DISTINCT ingest_shard) FROM read_parquet(?, union_by_name = true) WHERE city IS NOT NULL`, files) == 2
	})
	y.all(t, newer)
	terminate(t, older.Process)
	y.stop(t, newer)
	if !mixed {
		t.Error("no two workers wrote the old and the new columns at the same time: the test shows nothing")
	}
	oneTable(t, db, files, sent)
}

// TestAKeyBecomesAColumn lets a worker find a column that the first records lack.
func TestAKeyBecomesAColumn(t *testing.T) {
	t.Parallel()
	y := newYard(t, 2)
	glue, settings := newGlue(t)
	r := y.run(t, "one", settings...)
	var before []world.Record
	for i := range 300 {
		before = append(before, recordOf(fmt.Sprint("key-", i), fmt.Sprintf(`{"id":%d,"name":"n%d"}`, i, i%7)))
	}
	put(t, y.producer, before)
	y.all(t, r)
	eventually(t, time.Minute, "the catalog has the table", []*process.Process{r.Process}, func() bool { return glue.Calls("CreateTable") > 0 })
	db, err := check.OpenDuckDB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	files := filepath.Join(y.Bucket, "data", "*", "*.parquet")
	sent := 0
	eventually(t, time.Minute, "the column is there", []*process.Process{r.Process}, func() bool {
		put(t, y.producer, places(300+sent, 100))
		sent += 100
		return ask(t, db, `SELECT count(*) FROM (DESCRIBE SELECT * FROM read_parquet(?, union_by_name = true)) WHERE column_name = 'city'`, files) == 1
	})
	y.all(t, r)
	y.stop(t, r)
	oneTable(t, db, files, sent)
	columns, err := glue.Columns(t.Context(), "lake", "rows")
	if err != nil || !slices.Contains(columns, "city string") {
		t.Errorf("the catalog's columns are %q, %v; want the new one, too", columns, err)
	}
}

// TestDeclaredColumns declares decimals and a required column, of records some of which do not fit, and checks all of them.
func TestDeclaredColumns(t *testing.T) {
	t.Parallel()
	y := newYard(t, 2)
	r := y.run(t, "one", declare(t, `{"name":"id","type":"int64","required":true},{"name":"small","type":"decimal(7,2)"},{"name":"large","type":"decimal(18,6)"},{"name":"name"}`))
	var records []world.Record
	for i := range 400 {
		text := fmt.Sprintf(`{"id":%d,"small":"%d.%02d","large":%d.%06d,"name":"n"}`, i, i*7-1000, i%100, i*1_000_003, i)
		switch i % 10 {
		case 7:
			text = fmt.Sprintf(`{"id":%d,"small":1.005,"large":1e15}`, i)
		case 8:
			text = fmt.Sprintf(`{"small":1,"name":"%d"}`, i)
		}
		one := recordOf(fmt.Sprint("key-", i), text)
		one.Rejected = i%10 == 8
		records = append(records, one)
	}
	put(t, y.producer, records)
	y.all(t, r)
	terminate(t, r.Process)
	o := output(y.World)
	o.Unfit = func(line []byte) bool { return !bytes.Contains(line, []byte(`"id":`)) }
	if report := exact(t, o, y.ledger); report.Rejects != 40 || report.Rows != 360 {
		t.Errorf("%+v; want 360 rows and 40 rejects", report)
	}
	db, err := check.OpenDuckDB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	cents := 0
	for i := range 400 {
		if i%10 != 7 && i%10 != 8 {
			whole := i*7 - 1000
			if cents += whole * 100; whole < 0 {
				cents -= i % 100
			} else {
				cents += i % 100
			}
		}
	}
	files := filepath.Join(y.Bucket, "data", "*", "*.parquet")
	if n := ask(t, db, `SELECT CAST(100 * sum(small) AS BIGINT) FROM read_parquet(?) WHERE typeof(small) = 'DECIMAL(7,2)' AND typeof(large) = 'DECIMAL(18,6)'`, files); n != cents {
		t.Errorf("the sum is %d cents; want %d", n, cents)
	}
	rejects := filepath.Join(y.Bucket, "errors", "format-conversion-failed", "*", "*.json.gz")
	if n := ask(t, db, `SELECT count(*) FROM read_json(?) WHERE errorCode = 'missing_value'`, rejects); n != 40 {
		t.Errorf("%d records are rejected as not fitting the schema; want 40", n)
	}
}

// TestPublicRecords puts the earthquakes of transform/testdata/public through the service, as JSON, and holds the table against
// what DuckDB reads of the same file.
func TestPublicRecords(t *testing.T) {
	t.Parallel()
	file, err := filepath.Abs("../../transform/testdata/public/earthquakes.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	y := newYard(t, 1)
	r := y.run(t, "one", declare(t, `{"name":"id","required":true},{"name":"mag","type":"double","source":"properties.mag"},
		{"name":"sig","type":"decimal(5,1)","source":"properties.sig"},{"name":"happened","type":"timestamp","format":"epoch_ms","source":"properties.time"},
		{"name":"place","source":"properties.place"},{"name":"coordinates","source":"geometry.coordinates"}`), "SLUICE_NESTED=flatten")
	var records []world.Record
	for i, line := range bytes.Split(bytes.TrimSpace(text), []byte("\n")) {
		records = append(records, recordOf(fmt.Sprint("key-", i), string(line)))
	}
	put(t, y.producer, records)
	y.all(t, r)
	terminate(t, r.Process)
	db, err := check.OpenDuckDB()
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	compare := strings.Replace(`SELECT count(*) FROM (SELECT id, mag, CAST(sig AS BIGINT), epoch_ms(happened), place, CAST(json_extract_string(coordinates, '$[2]') AS DOUBLE) FROM read_parquet(?)
		INTERSECT SELECT id, properties.mag, properties.sig, properties.time, properties.place, geometry.coordinates[3] FROM read_json('FILE'))`, "FILE", file, 1)
	if n := ask(t, db, compare, filepath.Join(y.Bucket, "data", "*", "*.parquet")); n != len(records) {
		t.Errorf("%d rows are what DuckDB reads of the records; want %d", n, len(records))
	}
}

// oneTable checks that the files are one table, with their own columns and with those of the first file; in so many rows the
// city is in its column or rescued.
func oneTable(t *testing.T, db *sql.DB, files string, cities int) {
	t.Helper()
	for _, how := range []string{"true", "false"} {
		rows := ask(t, db, `SELECT count(*) FROM (SELECT DISTINCT * FROM read_parquet(?, union_by_name = `+how+`))`, files)
		if all := ask(t, db, `SELECT count(DISTINCT id) FROM read_parquet(?, union_by_name = `+how+`)`, files); rows != all || rows < cities {
			t.Errorf("union_by_name = %s: %d rows, and %d identifiers", how, rows, all)
		}
	}
	const told = `SELECT count(coalesce(city, json_extract_string(rescued, '$.City'))) FROM read_parquet(?, union_by_name = true)`
	if n := ask(t, db, told, files); n != cities {
		t.Errorf("%d rows tell the city; want %d", n, cities)
	}
	if n := ask(t, db, `SELECT count(city) FROM read_parquet(?, union_by_name = true)`, files); n <= 0 || n >= cities {
		t.Errorf("%d rows of %d have the city in its column; want some, not all", n, cities)
	}
}

// ask is a query whose answer is a number; it is -1 while it cannot be answered.
func ask(t *testing.T, db *sql.DB, query string, files string) (n int) {
	t.Helper()
	if err := db.QueryRow(query, files).Scan(&n); err != nil {
		t.Logf("%v", err)
		return -1
	}
	return n
}
