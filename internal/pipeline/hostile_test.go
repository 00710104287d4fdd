package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/sluice-etl/sluice/anomaly"
)

// byKey is a detector of a column's values.
func byKey(maxKeys int) func(*Config, *fakeShard) {
	return func(c *Config, _ *fakeShard) {
		c.Detectors = []anomaly.Settings{{Name: "source", Kind: "rate", Key: []string{"ip"}, MaxKeys: maxKeys}}
	}
}

// The largest records that Kinesis takes are rows, or rejects with all of their bytes.
func TestRecordsOfTenMegabytes(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long with the race detector, and has no goroutines of its own")
	}
	const size = 10 << 20
	fill := func(begin, with, end string) string {
		return begin + strings.Repeat(with, (size-len(begin)-len(end))/len(with)) + end
	}
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	if _, err := zip.Write(make([]byte, 100<<20)); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	keys := make([]string, 1_000_000)
	for i := range keys {
		keys[i] = fmt.Sprintf(`"%d":1`, i)
	}
	for name, test := range map[string]struct {
		data          string
		rows, rejects int
	}{
		"one text":               {fill(`{"a":"`, "x", `"}`), 1, 0},
		"one number":             {fill(`{"a":`, "7", `}`), 1, 0},
		"a thousand objects":     {strings.Repeat(`{"a":"`+strings.Repeat("x", 9_000)+"\"}\n", 1000), 1000, 0},
		"no newline, and no end": {fill(`{"a":"`, "x", ``), 0, 1},
		"nonsense":               {fill("", "nonsense_", ""), 0, 1},
		"one depth":              {fill("", `{"a":`, ""), 0, 1},
		"100,000 levels":         {strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000), 0, 1},
		"a million keys":         {"{" + strings.Join(keys, ",") + "}", 0, 1},
		"a million times a key":  {"{" + strings.Repeat(`"a":1,`, 999_999) + `"a":1}`, 0, 1},
		"nothing":                {"", 0, 1},
		"zero bytes":             {strings.Repeat("\x00", size), 0, 1},
		// Nothing that comes is ever decompressed: this is no JSON, and that is all.
		"100 MB of zeros, compressed": {bomb.String(), 0, 1 + strings.Count(bomb.String(), "\n")},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.give(l.record(`{"a":"before"}`), l.record(test.data), l.record(`{"a":"after"}`))
			l.stop()
			rows, rejects := read(t, l.shard.batches)
			if len(rows) != test.rows+2 || len(rejects) != test.rejects {
				t.Fatalf("%d rows and %d rejects; want %d and %d", len(rows), len(rejects), test.rows+2, test.rejects)
			}
			if test.rejects == 1 && string(rejects[0].RawData) != test.data {
				t.Errorf("the reject has %d bytes; want the %d that came", len(rejects[0].RawData), len(test.data))
			}
			if l.counts.buffered != 0 {
				t.Errorf("%d bytes are still counted as buffered", l.counts.buffered)
			}
		})
	}
}

// lines counts what is logged.
type lines struct {
	slog.Handler
	n *atomic.Int32
}

func (l lines) Enabled(context.Context, slog.Level) bool  { return true }
func (l lines) Handle(context.Context, slog.Record) error { l.n.Add(1); return nil }
func (l lines) WithAttrs([]slog.Attr) slog.Handler        { return l }
func (l lines) WithGroup(string) slog.Handler             { return l }
func logTo(n *atomic.Int32) func(c *Config, _ *fakeShard) {
	return func(c *Config, _ *fakeShard) { c.Log = slog.New(lines{n: n}) }
}

// Where nothing that comes is a record, the log does not grow with it, and the rejects of a batch are one object.
func TestNothingButBadRecords(t *testing.T) {
	var logged atomic.Int32
	l := newLab(t, logTo(&logged))
	const fetches, each = 100, 1000
	for range fetches {
		var all []string
		for i := range each {
			all = append(all, fmt.Sprintf("bad %d", i))
		}
		l.give(l.record(strings.Join(all, "\n")))
	}
	l.stop()
	rows, rejects := read(t, l.shard.batches)
	if len(rows) != 0 || len(rejects) != fetches*each {
		t.Errorf("%d rows and %d rejects; want none and %d", len(rows), len(rejects), fetches*each)
	}
	files := 0
	for _, b := range l.shard.batches {
		files += len(b.Files)
	}
	if files > len(l.shard.batches) || files > fetches {
		t.Errorf("%d files in %d batches", files, len(l.shard.batches))
	}
	if n := logged.Load(); n > 10 {
		t.Errorf("%d lines are logged", n)
	}
}

// Numbers at the edge of their types keep all digits, in their column or in what is rescued, and no score is anything but a
// number from 0 to 1.
func TestNumbersAtTheEdge(t *testing.T) {
	l := newLab(t, byKey(1000))
	l.give(l.record(`{"ip":1,"n":1,"x":0.5}`))
	for range 30 {
		l.give(l.record(`{"ip":9223372036854775807,"n":9007199254740993,"x":-0}`))
	}
	numbers := []string{"9223372036854775808", "-9223372036854775809", "9007199254740993", "-0", "1e400", "-1e400", "5e-324", "1e-400", "0.1234567890123456789", "18446744073709551616"}
	for _, n := range numbers {
		l.give(l.record(fmt.Sprintf(`{"ip":%s,"n":%s,"x":%s}`, n, n, n)))
	}
	for _, n := range []string{"NaN", "Infinity", "-Infinity", "+1", "0x10", "1.", ".5", "01"} {
		l.give(l.record(fmt.Sprintf(`{"ip":%s}`, n)))
	}
	l.stop()
	rows, rejects := read(t, l.shard.batches)
	if len(rows) != 31+len(numbers) || len(rejects) != 8 {
		t.Fatalf("%d rows and %d rejects; want %d and 8", len(rows), len(rejects), 31+len(numbers))
	}
	for i, r := range rows {
		if score, ok := r["anomaly_score"].(float64); ok && !(score >= 0 && score <= 1) {
			t.Errorf("row %d has the score %v", i, score)
		}
		if x, ok := r["x"].(float64); ok && (math.IsNaN(x) || math.IsInf(x, 0)) {
			t.Errorf("row %d has the value %v", i, x)
		}
	}
	for i, n := range numbers {
		r := rows[31+i]
		if got := fmt.Sprint(r["n"]); got != n && !strings.Contains(fmt.Sprint(r["rescued"]), `"n":"`+n+`"`) && !(n == "-0" && got == "0") {
			t.Errorf("%s: the column has %v, rescued is %v", n, r["n"], r["rescued"])
		}
	}
}

// Without a usable snapshot the data goes on, and the detectors begin anew.
func TestASnapshotThatCannotBeUsed(t *testing.T) {
	first := newLab(t, byKey(1000))
	for range 100 {
		first.give(first.record(`{"ip":"10.0.0.1"}`))
	}
	first.stop()
	good := first.shard.batches[0].State
	version := bytes.Clone(good)
	version[len("sluice-anomaly")]++
	for name, test := range map[string]struct {
		states [][]byte
		lost   error
		counts int
	}{
		"good":            {[][]byte{good}, nil, 0},
		"missing":         {nil, errors.New("missing"), 1},
		"empty":           {[][]byte{{}}, nil, 1},
		"cut off":         {[][]byte{good[:len(good)/2]}, nil, 1},
		"another version": {[][]byte{version}, nil, 1},
		"of two parents":  {[][]byte{good, good}, nil, 0},
		"one of two":      {[][]byte{version, good}, nil, 1},
		"another window":  {[][]byte{ofOther(t, anomaly.Settings{Kind: "rate", Window: time.Second})}, nil, 0},
		"another kind":    {[][]byte{ofOther(t, anomaly.Settings{Kind: "distinct", Metric: "ip"})}, nil, 1},
		"no snapshot":     {[][]byte{[]byte("{}")}, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var logged atomic.Int32
			l := newLab(t, byKey(1000), logTo(&logged), func(_ *Config, s *fakeShard) { s.states, s.lost = test.states, test.lost })
			l.give(l.record(`{"ip":"10.0.0.1"}`))
			l.stop()
			if rows, _ := read(t, l.shard.batches); len(rows) != 1 {
				t.Errorf("%d rows; want 1", len(rows))
			}
			// One line tells of the schema.
			if l.counts.snapshots != test.counts || int(logged.Load()) != test.counts+1 {
				t.Errorf("%d snapshots are counted as lost, %d lines logged; want %d of the first", l.counts.snapshots, logged.Load(), test.counts)
			}
		})
	}
}

// ofOther is what a detector has learned that was set otherwise.
func ofOther(t *testing.T, settings anomaly.Settings) []byte {
	t.Helper()
	settings.Name, settings.Key = "source", []string{"ip"}
	e, err := anomaly.NewEngine([]anomaly.Settings{settings})
	if err != nil {
		t.Fatal(err)
	}
	return e.Snapshot(nil)
}
