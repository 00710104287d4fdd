package check

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkExact checks two minutes of 10,100 records a second.
func BenchmarkExact(b *testing.B) {
	const count, perFile = 1_212_000, 101_000
	dir := b.TempDir()
	ledger := &Ledger{}
	for first := 0; first < count; first += perFile {
		rows := make([]sample, perFile)
		for i := range rows {
			rows[i] = sampleRow(0, first+i)
			v := rows[i].values
			v[6], v[8] = noon, fmt.Sprintf("4957%052d", first+i)
			must(b, ledger.Add(NewEntry(v[7].(string), v[8].(string), 0, rows[i].key, []byte(rows[i].payload))))
		}
		path := filepath.Join(dir, folder, fmt.Sprintf("orders-000000000000-e1-c%d-0.parquet", first/perFile))
		must(b, os.MkdirAll(filepath.Dir(path), 0o755))
		file, err := os.Create(path)
		must(b, err)
		writeParquet(b, file, rows)
	}
	output := Output{Dir: dir, Stream: "orders", Prefix: prefix, ErrorPrefix: errorPrefix}
	duck := duckDB(b)
	for b.Loop() {
		start := time.Now()
		if _, err := output.Exact(ledger, duck); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(start).Seconds(), "s/exact")
		start = time.Now()
		if rows, err := output.SameInBoth(duck, Arrow); err != nil || rows != count {
			b.Fatal(rows, err)
		}
		b.ReportMetric(time.Since(start).Seconds(), "s/same")
	}
}
