package check

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

var schema = arrow.NewSchema([]arrow.Field{
	{Name: "name", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "amount", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "price", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
	{Name: "paid", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	{Name: "at", Type: &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"}, Nullable: true},
	{Name: "rescued", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "ingest_time", Type: &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"}},
	{Name: "ingest_shard", Type: arrow.BinaryTypes.String},
	{Name: "ingest_seq", Type: arrow.BinaryTypes.String},
	{Name: "ingest_sub", Type: arrow.PrimitiveTypes.Int32},
	{Name: "anomaly", Type: arrow.FixedWidthTypes.Boolean},
}, nil)

// sample is a row, and the record that it came from.
type sample struct {
	values  []any
	payload string
	key     string
}

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// sampleRow makes the n-th record of a shard, as a row.
func sampleRow(shard, n int) sample {
	at := noon.Add(time.Duration(n) * time.Second)
	price := float64(n)/8 + .1
	key := fmt.Sprintf("key-%d", n%3)
	return sample{
		values: []any{fmt.Sprintf("näme %d", n), int64(n), price, n%2 == 0, at, nil,
			at.Add(time.Millisecond), shardID(shard), fmt.Sprintf("%d%052d", 4957+n, shard), int64(0), false},
		payload: fmt.Sprintf("{\"Name\": \"n\\u00e4me %d\", \"amount\": %d,\n \"price\": %v, \"paid\": %t, \"at\": %q}\n",
			n, n, price, n%2 == 0, at.Format(time.RFC3339)),
		key: key,
	}
}

func shardID(n int) string { return fmt.Sprintf("shardId-%012d", n) }

const (
	prefix      = "data/dt=!{timestamp:yyyy-MM-dd}/hour=!{timestamp:HH}/"
	errorPrefix = "errors/!{firehose:error-output-type}/dt=!{timestamp:yyyy-MM-dd}/"
	folder      = "data/dt=2026-03-04/hour=12/"
	badFolder   = "errors/processing-failed/dt=2026-03-04/"
)

// bucket is what lies in a test's bucket, for a test to spoil before it is written.
type bucket struct {
	rows    map[string][]sample // by key
	rejects map[string][]Reject
	other   []string
	ledger  []Entry
}

// goodBucket has two shards with three commits of ten records each, one commit with a reject, and an aggregate of two.
func goodBucket() *bucket {
	b := &bucket{rows: map[string][]sample{}, rejects: map[string][]Reject{}}
	for n := range 30 {
		for shard := range 2 {
			s := sampleRow(shard, n)
			key := fmt.Sprintf("%sorders-%012d-e%d-c%d-0.parquet", folder, shard, 1+n/20, 1+n/10)
			b.rows[key] = append(b.rows[key], s)
			if shard == 0 {
				s.key = "" // one shard's keys are known: the order of the other's is free
			}
			b.acknowledge(s)
		}
	}
	first := folder + "orders-000000000001-e2-c3-0.parquet"
	for sub := range 2 {
		s := sampleRow(1, 30)
		s.values[9], s.key = int64(sub), ""
		b.rows[first] = append(b.rows[first], s)
		b.acknowledge(s)
	}
	bad := NewEntry(shardID(1), fmt.Sprintf("%d%052d", 4957+31, 1), 0, "", []byte("no JSON\xff"))
	b.ledger = append(b.ledger, bad)
	b.rejects[badFolder+"orders-000000000001-e2-c3-0.json.gz"] = []Reject{{Arrival: noon.UnixMilli(), Code: "json",
		Message: "no object", Raw: bad.Data, Shard: bad.Shard, Seq: bad.Seq}}
	b.other = []string{".sgwtmp/multipart/x", "_sluice/snapshot"}
	return b
}

func (b *bucket) acknowledge(s sample) {
	v := s.values
	b.ledger = append(b.ledger, NewEntry(v[7].(string), v[8].(string), int32(v[9].(int64)), s.key, []byte(s.payload)))
}

// write makes the files, and reads the ledger back.
func (b *bucket) write(t *testing.T) (Output, *Ledger) {
	t.Helper()
	dir := t.TempDir()
	create := func(key string) *os.File {
		path := filepath.Join(dir, filepath.FromSlash(key))
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		file, err := os.Create(path)
		must(t, err)
		return file
	}
	for key, rows := range b.rows {
		file := create(key)
		writeParquet(t, file, rows)
	}
	for key, list := range b.rejects {
		file := create(key)
		text := gzip.NewWriter(file)
		for _, r := range list {
			must(t, json.NewEncoder(text).Encode(r))
		}
		must(t, text.Close())
		must(t, file.Close())
	}
	for _, key := range b.other {
		must(t, create(key).Close())
	}
	ledger := filepath.Join(t.TempDir(), "ledger.jsonl")
	file, err := os.Create(ledger)
	must(t, err)
	for _, e := range b.ledger {
		must(t, json.NewEncoder(file).Encode(e))
	}
	must(t, file.Close())
	read, err := ReadLedger(ledger)
	must(t, err)
	return Output{Dir: dir, Stream: "orders", Prefix: prefix, ErrorPrefix: errorPrefix, StatePrefix: "_sluice/"}, read
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// writeParquet writes rows, and closes the file.
func writeParquet(t testing.TB, file *os.File, rows []sample) {
	t.Helper()
	writer, err := pqarrow.NewFileWriter(schema, file, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps())
	must(t, err)
	builder := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer builder.Release()
	for _, row := range rows {
		for i, v := range row.values {
			switch b := builder.Field(i).(type) {
			case *array.StringBuilder:
				if v == nil {
					b.AppendNull()
				} else {
					b.Append(v.(string))
				}
			case *array.Int64Builder:
				b.Append(v.(int64))
			case *array.Int32Builder:
				b.Append(int32(v.(int64)))
			case *array.Float64Builder:
				b.Append(v.(float64))
			case *array.BooleanBuilder:
				b.Append(v.(bool))
			case *array.TimestampBuilder:
				b.Append(arrow.Timestamp(v.(time.Time).UnixMilli()))
			}
		}
	}
	batch := builder.NewRecordBatch()
	defer batch.Release()
	must(t, writer.Write(batch))
	must(t, writer.Close())
}

func duckDB(t testing.TB) Rows {
	t.Helper()
	db, err := OpenDuckDB()
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return DuckDB(db)
}

func TestExactWhenAllIsRight(t *testing.T) {
	output, ledger := goodBucket().write(t)
	duck := duckDB(t)
	for name, read := range map[string]Rows{"DuckDB": duck, "Arrow": Arrow} {
		report, err := output.Exact(ledger, read)
		want := Report{Acknowledged: 63, Rows: 62, Rejects: 1, Objects: 7, Commits: 6}
		if err != nil || report != want {
			t.Errorf("%s: %+v, %v; want %+v", name, report, err, want)
		}
	}
	if rows, err := output.SameInBoth(duck, Arrow); err != nil || rows != 62 {
		t.Errorf("%d rows, %v; want 62", rows, err)
	}
}

// TestPlantedFaults spoils one thing each: a check that lets one pass is no check.
func TestPlantedFaults(t *testing.T) {
	const key = folder + "orders-000000000001-e1-c2-0.parquet"
	const next = folder + "orders-000000000001-e2-c3-0.parquet"
	const rejected = badFolder + "orders-000000000001-e2-c3-0.json.gz"
	move := func(to string) func(*bucket) {
		return func(b *bucket) { b.rows[to] = b.rows[key]; delete(b.rows, key) }
	}
	value := func(column int, v any) func(*bucket) {
		return func(b *bucket) { b.rows[key][4].values[column] = v }
	}
	faults := []struct {
		name  string
		plant func(*bucket)
		want  string
	}{
		{"a row is missing", func(b *bucket) { b.rows[key] = b.rows[key][:9] }, "missing"},
		{"an object is missing", func(b *bucket) { delete(b.rows, key) }, "missing"},
		{"a row twice in an object", func(b *bucket) { b.rows[key] = append(b.rows[key][:5:5], b.rows[key][4:]...) }, "twice"},
		{"a row twice in two objects", func(b *bucket) { b.rows[next] = append(b.rows[key][9:10:10], b.rows[next]...) }, "twice"},
		{"an unacknowledged row twice", func(b *bucket) {
			s := sampleRow(1, 40)
			b.rows[next] = append(b.rows[next], s, s)
		}, "twice"},
		{"a row that is a reject too", func(b *bucket) {
			v := b.rows[next][3].values
			b.rejects[rejected] = append(b.rejects[rejected], Reject{Arrival: noon.UnixMilli(), Code: "x", Message: "y",
				Shard: v[7].(string), Seq: v[8].(string), Raw: []byte(b.rows[next][3].payload)})
		}, "twice"},
		{"another string", value(0, "name 14"), "column name"},
		{"a null", value(0, nil), "column name is null"},
		{"another integer", value(1, int64(15)), "column amount"},
		{"another last bit of a double", value(2, 1.8500000000000003), "column price"},
		{"another boolean", value(3, false), "column paid"},
		{"another timestamp", value(4, noon.Add(14001*time.Millisecond)), "column at"},
		{"something rescued", value(5, `{"amount":"14"}`), "needs no rescue|values must be rescued"},
		{"nothing rescued", func(b *bucket) {
			b.ledger[29] = NewEntry(b.ledger[29].Shard, b.ledger[29].Seq, 0, "",
				[]byte(strings.Replace(string(b.ledger[29].Data), "}", `, "more": 1}`, 1)))
		}, "values must be rescued"},
		{"another partition", move("data/dt=2026-03-04/hour=13/orders-000000000001-e1-c2-0.parquet"), "belongs to"},
		{"another shard's object", move(folder + "orders-000000000002-e1-c2-0.parquet"), "holds a record of"},
		{"a foreign object", func(b *bucket) { b.other = append(b.other, folder+"_SUCCESS") }, "no object"},
		{"another stream's object", move(folder + "sales-000000000001-e1-c2-0.parquet"), "no object"},
		{"rows out of order", func(b *bucket) { r := b.rows[key]; r[3], r[4] = r[4], r[3] }, "not after the row before"},
		{"commits out of order", func(b *bucket) {
			first := folder + "orders-000000000001-e1-c1-0.parquet"
			b.rows[key], b.rows[first] = b.rows[first], b.rows[key]
		}, "not after the commit before"},
		{"two owners commit the same number", func(b *bucket) {
			b.rows[folder+"orders-000000000001-e2-c2-0.parquet"] = b.rows[next]
			delete(b.rows, next)
		}, "comes after commit"},
		{"a Kinesis record in two commits", func(b *bucket) {
			b.rows[folder+"orders-000000000001-e2-c4-0.parquet"] = b.rows[next][11:]
			b.rows[next] = b.rows[next][:11]
			delete(b.rejects, rejected)
		}, "divided"},
		{"a key's records crossed", func(b *bucket) { b.ledger[1], b.ledger[7] = b.ledger[7], b.ledger[1] }, "does not follow"},
		{"a reject of a record", func(b *bucket) {
			s := b.rows[next][11]
			b.rows[next] = b.rows[next][:11]
			b.rejects[rejected] = append(b.rejects[rejected], Reject{Arrival: noon.UnixMilli(), Code: "x", Message: "y", Sub: 1,
				Shard: s.values[7].(string), Seq: s.values[8].(string), Raw: []byte(s.payload)})
		}, "rejects a record"},
		{"other bytes rejected", func(b *bucket) { b.rejects[rejected][0].Raw = []byte("no JSON") }, "other bytes"},
		{"a reject without a reason", func(b *bucket) { b.rejects[rejected][0].Code = "" }, "without code"},
		{"a reject in another partition", func(b *bucket) { b.rejects[rejected][0].Arrival -= 86_400_000 }, "belongs to"},
		{"a row of what is no record", func(b *bucket) {
			e := b.ledger[29]
			b.ledger[29] = NewEntry(e.Shard, e.Seq, 0, "", []byte(`[1]`))
		}, "no record"},
	}
	duck := duckDB(t)
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			b := goodBucket()
			fault.plant(b)
			output, ledger := b.write(t)
			_, err := output.Exact(ledger, duck)
			if err == nil {
				t.Fatal("not found")
			}
			found := false
			for _, want := range strings.Split(fault.want, "|") {
				found = found || strings.Contains(err.Error(), want)
			}
			if !found {
				t.Errorf("found, but not as %q: %v", fault.want, err)
			}
		})
	}
}

func TestUnacknowledgedOnceIsRight(t *testing.T) {
	b := goodBucket()
	const key = folder + "orders-000000000001-e2-c3-0.parquet"
	b.rows[key] = append(b.rows[key], sampleRow(1, 40), sampleRow(1, 41))
	output, ledger := b.write(t)
	report, err := output.Exact(ledger, duckDB(t))
	if err != nil || report.Unacknowledged != 2 {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestReadersDiffer gives the two readers different objects.
func TestReadersDiffer(t *testing.T) {
	good, _ := goodBucket().write(t)
	const key = folder + "orders-000000000001-e1-c2-0.parquet"
	faults := map[string]func(*bucket){
		"a value":  func(b *bucket) { b.rows[key][9].values[2] = 1.0 },
		"an order": func(b *bucket) { r := b.rows[key]; r[0], r[1] = r[1], r[0] },
		"a row":    func(b *bucket) { b.rows[key] = b.rows[key][:9] },
	}
	duck := duckDB(t)
	for name, plant := range faults {
		b := goodBucket()
		plant(b)
		bad, _ := b.write(t)
		other := strings.NewReplacer(good.Dir, bad.Dir)
		for _, readers := range [][2]Rows{{duck, Arrow}, {Arrow, duck}} {
			second := readers[1]
			_, err := good.SameInBoth(readers[0], func(path string) iter.Seq2[Row, error] { return second(other.Replace(path)) })
			if err == nil {
				t.Errorf("%s: not found", name)
			}
		}
	}
}

func TestBrokenFile(t *testing.T) {
	b := goodBucket()
	output, ledger := b.write(t)
	path := filepath.Join(output.Dir, folder, "orders-000000000001-e1-c2-0.parquet")
	must(t, os.Truncate(path, 700))
	for name, read := range map[string]Rows{"DuckDB": duckDB(t), "Arrow": Arrow} {
		if _, err := output.Exact(ledger, read); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReadLedger(t *testing.T) {
	sum := func(text string) string { s := sha256.Sum256([]byte(text)); return hex.EncodeToString(s[:]) }
	line := func(seq, data, hash string) string {
		return fmt.Sprintf("{\"shard\":\"shardId-000000000000\",\"seq\":%q,\"sha256\":%q,\"data\":%s}\n", seq, hash, data)
	}
	cases := []struct {
		name, text string
		entries    int
		torn       int
		fault      string
	}{
		{"base64", line("49", `"e30K"`, sum("{}\n")), 1, 0, ""},
		{"text", line("49", `"{}\n"`, sum("{}\n")), 1, 0, ""},
		{"text that could be base64", line("49", `"abcd"`, sum("abcd")), 1, 0, ""},
		{"JSON", line("49", `{"a": 1}`, sum(`{"a": 1}`)), 1, 0, ""},
		{"a torn last line", line("49", `"{}"`, sum("{}")) + `{"shard":"sha`, 1, 1, ""},
		{"a torn line within", `{"shard":"sha` + "\n" + line("49", `"{}"`, sum("{}")), 1, 1, ""},
		{"another hash", line("49", `"{}"`, sum("{} ")), 0, 0, "sha256"},
		{"twice", line("49", `"{}"`, sum("{}")) + line("49", `"{}"`, sum("{}")), 0, 0, "twice"},
		{"no number", line("49e1", `"{}"`, sum("{}")), 0, 0, "sequence number"},
		{"leading zero", line("049", `"{}"`, sum("{}")), 0, 0, "sequence number"},
	}
	for _, c := range cases {
		path := filepath.Join(t.TempDir(), "ledger.jsonl")
		must(t, os.WriteFile(path, []byte(c.text), 0o600))
		ledger, err := ReadLedger(path)
		switch {
		case c.fault != "":
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%s: %v; want %s", c.name, err, c.fault)
			}
		case err != nil:
			t.Errorf("%s: %v", c.name, err)
		case ledger.Len() != c.entries || ledger.Torn != c.torn:
			t.Errorf("%s: %d entries, %d torn", c.name, ledger.Len(), ledger.Torn)
		}
	}
}

func TestSequence(t *testing.T) {
	ordered := []string{"0", "9", "10", "18446744073709551615", "18446744073709551616",
		"49590338271490256608559692538361571095921575989136588898", "49590338271490256608559692538361571095921575989136588899"}
	for i := range ordered {
		for j := range ordered {
			a, err := parseSequence(ordered[i])
			must(t, err)
			b, err := parseSequence(ordered[j])
			must(t, err)
			if got, want := a.compare(b), min(1, max(-1, i-j)); got != want {
				t.Errorf("%s against %s: %d, want %d", ordered[i], ordered[j], got, want)
			}
		}
	}
}
