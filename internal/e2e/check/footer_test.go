package check

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFooters(t *testing.T) {
	output, _ := goodBucket().write(t)
	db, err := OpenDuckDB()
	must(t, err)
	t.Cleanup(func() { db.Close() })
	if err := output.Footers(db); err != nil {
		t.Error(err)
	}

	// A footer that says something else than the values: here, values that are taken for something else.
	const key = folder + "orders-000000000001-e1-c2-0.parquet"
	spoil := map[string]func([]summary, map[string]int){
		"column amount":  func(s []summary, at map[string]int) { s[at["amount"]].max = int64(1 << 40) },
		"column price":   func(s []summary, at map[string]int) { s[at["price"]].min = -1. },
		"column paid":    func(s []summary, at map[string]int) { s[at["paid"]].values-- },
		"column at":      func(s []summary, at map[string]int) { s[at["at"]].max = noon.Add(time.Hour) },
		"column name":    func(s []summary, at map[string]int) { s[at["name"]].max = "z" },
		"column anomaly": func(s []summary, at map[string]int) { s[at["anomaly"]].max = true },
	}
	for want, plant := range spoil {
		path := filepath.Join(output.Dir, key)
		columns, summaries, _, err := summarise(path)
		must(t, err)
		at := map[string]int{}
		for i, c := range columns {
			at[c.Name] = i
		}
		plant(summaries, at)
		var wrong differences
		must(t, footerStatistics(object{key: key, path: path}, columns, summaries, &wrong))
		if err := wrong.err("footers"); err == nil || !strings.Contains(err.Error(), want+":") {
			t.Errorf("%v; want %s", err, want)
		}
	}
}

// TestWalk visits rows that lie in two files of one commit.
func TestWalk(t *testing.T) {
	b := goodBucket()
	const key = folder + "orders-000000000001-e1-c2-0.parquet"
	even, odd := []sample(nil), []sample(nil)
	for i, s := range b.rows[key] {
		if i%2 == 0 {
			even = append(even, s)
		} else {
			odd = append(odd, s)
		}
	}
	b.rows[key], b.rows[folder+"orders-000000000001-e1-c2-1.parquet"] = even, odd
	output, _ := b.write(t)
	last, rows := map[int64]position{}, 0
	must(t, output.Walk(Arrow, func(shard int64, row Row) error {
		at, err := place(row)
		if before, ok := last[shard]; ok && at.compare(before) <= 0 {
			t.Errorf("shard %d: %v comes after %v", shard, at, before)
		}
		last[shard] = at
		rows++
		return err
	}))
	if rows != 62 || len(last) != 2 {
		t.Errorf("%d rows of %d shards; want 62 of 2", rows, len(last))
	}
}

// TestArrival puts a record when another one arrived.
func TestArrival(t *testing.T) {
	b := goodBucket()
	for i := range b.ledger {
		b.ledger[i].Put, b.ledger[i].Acked = noon.Add(-time.Minute).UnixMilli(), noon.Add(time.Minute).UnixMilli()
	}
	output, ledger := b.write(t)
	if _, err := output.Exact(ledger, duckDB(t)); err != nil {
		t.Error(err)
	}
	b.ledger[7].Put, b.ledger[7].Acked = 1, 2
	output, ledger = b.write(t)
	if _, err := output.Exact(ledger, duckDB(t)); err == nil || !strings.Contains(err.Error(), "1 differences") || !strings.Contains(err.Error(), "has arrived at") {
		t.Error(err)
	}
}
