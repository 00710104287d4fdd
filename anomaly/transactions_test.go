package anomaly_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/internal/kdg"
)

// engine is a detector of addresses, with its defaults, and a table of one row to show it addresses in.
type engine struct {
	*anomaly.Engine
	row *columns.Table
}

func newEngine(t testing.TB, settings ...anomaly.Settings) *engine {
	t.Helper()
	e, err := anomaly.NewEngine(settings)
	if err != nil {
		t.Fatal(err)
	}
	fields := []columns.Field{{Name: "sourceip", Type: columns.String}}
	if err := e.Bind(fields); err != nil {
		t.Fatal(err)
	}
	return &engine{e, columns.NewTable(fields)}
}

func (e *engine) score(address []byte, at time.Time) *anomaly.RowVerdict {
	e.row.Truncate(0)
	e.row.Columns[0].AppendText(address)
	e.row.EndRow()
	return e.Score(e.row, 0, at.UnixMilli())
}

var bySource = anomaly.Settings{Name: "source_rate", Kind: "rate", Key: []string{"sourceip"}}

// labSources are the lab's ordinary transactions, 100 a second, and one a second from the abnormal address.
func labSources(t *testing.T) []kdg.Source {
	t.Helper()
	var sources []kdg.Source
	for _, s := range []struct {
		text string
		rate float64
	}{{kdg.TransactionNormal, 100}, {kdg.TransactionAbnormal, 1}} {
		template, err := kdg.Parse("transaction.kdg", s.text)
		if err != nil {
			t.Fatal(err)
		}
		sources = append(sources, kdg.Source{Template: template, Rate: kdg.Rate{Mean: s.rate}})
	}
	return sources
}

// TestTransactions feeds ten minutes of the lab's traffic, 100 ordinary transactions a second and one from the abnormal
// address, in simulated time: through one shard, and spread at random over two, each with its own detector.
func TestTransactions(t *testing.T) {
	sources := labSources(t)
	for _, shards := range []int{1, 2} {
		for seed := range uint64(10) {
			start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(seed) * 7 * time.Second)
			stream := kdg.NewStream(sources, seed, start)
			random := rand.New(rand.NewPCG(seed, 0))
			var engines []*engine
			for range shards {
				engines = append(engines, newEngine(t, bySource))
			}
			var came, flagged [2]int // ordinary, abnormal
			var record []byte
			for {
				var source int
				var at time.Time
				if record, source, at = stream.Next(record[:0]); at.Sub(start) >= 10*time.Minute {
					break
				}
				_, address, _ := bytes.Cut(record, []byte(`"sourceIp" : "`))
				address, _, ok := bytes.Cut(address, []byte(`"`))
				if !ok {
					t.Fatalf("no address in %s", record)
				}
				came[source]++
				if len(engines[random.IntN(shards)].score(address, at).Flags) > 0 {
					flagged[source]++
				}
			}
			t.Logf("%d shards, seed %d: flagged %d of %d abnormal and %d of %d ordinary transactions", shards, seed, flagged[1], came[1], flagged[0], came[0])
			if flagged[1]*100 < came[1]*95 || flagged[0]*10_000 > came[0] || came[1] != 600 || came[0] != 60_000 {
				t.Errorf("want at least 95%% of the abnormal ones, and at most 1 in 10,000 of the others")
			}
		}
	}
}

// A detector that is interrupted anywhere, saved and restored, says what it would have said.
func TestSnapshotContinues(t *testing.T) {
	for _, baseline := range []string{anomaly.Population, anomaly.Self, anomaly.Both} {
		settings := bySource
		settings.Baseline, settings.Window, settings.MaxKeys = baseline, 20*time.Second, 300
		whole, parts := newEngine(t, settings), newEngine(t, settings)
		random := rand.New(rand.NewPCG(1, 2))
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		verdicts := 0
		for i := range 40_000 {
			at = at.Add(time.Duration(random.IntN(10)) * time.Millisecond)
			address := fmt.Appendf(nil, "10.0.0.%d", random.IntN(400))
			if i%50 == 0 && i > 20_000 {
				address = []byte("burst")
			}
			want := fmt.Sprintf("%+v %s %s", whole.score(address, at).Verdict, whole.score(address, at).Names, whole.score(address, at).Reason)
			got := fmt.Sprintf("%+v %s %s", parts.score(address, at).Verdict, parts.score(address, at).Names, parts.score(address, at).Reason)
			if got != want {
				t.Fatalf("%s, record %d: %s; without the interruptions %s", baseline, i, got, want)
			}
			if whole.score(address, at).Scored {
				verdicts++
			}
			parts.score(address, at)
			if random.IntN(2000) == 0 {
				saved := parts.Snapshot(nil)
				parts = newEngine(t, settings)
				if err := parts.Restore(saved); err != nil {
					t.Fatal(err)
				}
				if again := parts.Snapshot(nil); !bytes.Equal(again, saved) {
					t.Fatalf("%s: %d bytes come back as %d others", baseline, len(saved), len(again))
				}
			}
		}
		if !bytes.Equal(whole.Snapshot(nil), parts.Snapshot(nil)) || verdicts == 0 {
			t.Errorf("%s: the interrupted detector ends with another state", baseline)
		}
	}
}

// Thresholds change what is flagged, and not what was learned; another window takes over what falls into it.
func TestSettingsChange(t *testing.T) {
	before := newEngine(t, bySource)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i := range 500 {
		before.score(fmt.Appendf(nil, "10.0.%d.%d", i/250, i%250), at)
	}
	saved := before.Snapshot(nil)
	strict, one := 1e-9, int64(1)
	settings := bySource
	settings.Threshold, settings.MinCount = &strict, &one
	after := newEngine(t, settings)
	if err := after.Restore(saved); err != nil {
		t.Fatal(err)
	}
	if got := after.score([]byte("10.0.0.1"), at); got.Samples != before.score([]byte("10.0.0.1"), at).Samples || got.Warming {
		t.Errorf("with another threshold: %+v", got.Verdict)
	}
	settings.Window = time.Minute
	other := newEngine(t, settings)
	if err := other.Restore(saved); err != nil {
		t.Fatal(err)
	}
	if got := other.score([]byte("10.0.0.1"), at); got.Count != 2 || got.Samples != 500 || got.Warming {
		t.Errorf("with another window: %+v", got.Verdict)
	}
	if got := other.score([]byte("10.0.0.1"), at.Add(time.Minute)); got.Count != 1 {
		t.Errorf("a minute later: %+v", got.Verdict)
	}
	for n := range saved {
		if err := newEngine(t, bySource).Restore(saved[:n]); err == nil && n != len("sluice-anomaly\x01") {
			t.Fatalf("a snapshot cut at %d of %d bytes is taken for whole", n, len(saved))
		}
	}
}

// Other thresholds and minimal counts are those of an engine that was made with them and knows the same; whatever else
// differs is refused, and changes nothing.
func TestTune(t *testing.T) {
	rate := anomaly.Settings{Name: "rate", Kind: anomaly.KindRate, Key: []string{"key"}}
	settings := []anomaly.Settings{
		rate,
		{Name: "distinct", Kind: anomaly.KindDistinct, Key: []string{"key"}, Metric: "x"},
		{Name: "value", Kind: anomaly.KindValue, Metric: "x"},
		{Name: "series", Kind: anomaly.KindSeries, Metric: "mean(x)", Window: 10 * time.Second},
		{Name: "rule", Kind: anomaly.KindRule, Expression: "x < 1000"},
	}
	fields := []columns.Field{{Name: "key", Type: columns.String}, {Name: "x", Type: columns.Double}}
	table := columns.NewTable(fields)
	made := func(settings []anomaly.Settings) *anomaly.Engine {
		e, err := anomaly.NewEngine(settings)
		if err == nil {
			err = e.Bind(fields)
		}
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	random := rand.New(rand.NewPCG(11, 12))
	tuned := made(settings)
	at := noon.UnixMilli()
	type seen struct {
		key string
		x   float64
		at  int64
	}
	next := func() seen {
		at += 50
		x := random.NormFloat64()
		if random.IntN(50) == 0 {
			x *= 10
		}
		return seen{fmt.Sprint("key ", random.IntN(40)*random.IntN(40)/40), x, at}
	}
	for range 20_000 {
		r := next()
		showRow(tuned, table, r.key, r.x, r.at)
	}
	low, few := 0.05, int64(12)
	other := slices.Clone(settings)
	for i := range other {
		other[i].Threshold, other[i].MinCount = &low, &few
	}
	restarted, untouched := made(other), made(settings)
	for _, e := range []*anomaly.Engine{restarted, untouched} {
		if err := e.Restore(tuned.Snapshot(nil)); err != nil {
			t.Fatal(err)
		}
	}
	wrong := slices.Clone(other)
	wrong[0].Window = time.Minute
	if err := tuned.Tune(wrong); err == nil || !strings.Contains(err.Error(), "rate") {
		t.Errorf("another window: %v", err)
	}
	zero := 0.0
	wrong[0] = rate
	wrong[0].Threshold = &zero
	if err := tuned.Tune(wrong); err == nil || tuned.Tune(other[1:]) == nil {
		t.Errorf("a threshold of 0, or a detector less: %v", err)
	}
	if err := tuned.Tune(other); err != nil {
		t.Fatal(err)
	}
	var flags [2]int
	for range 5_000 {
		r := next()
		got := showRow(tuned, table, r.key, r.x, r.at)
		if want := showRow(restarted, table, r.key, r.x, r.at); fmt.Sprint(*got) != fmt.Sprint(*want) {
			t.Fatalf("%+v; with a restart %+v", *got, *want)
		}
		flags[0] += len(got.Flags)
		flags[1] += len(showRow(untouched, table, r.key, r.x, r.at).Flags)
	}
	if flags[0] <= flags[1] {
		t.Errorf("%d flags with low thresholds, %d with the defaults", flags[0], flags[1])
	}
}

// everyKind is an engine with a detector of each kind, and a table of one row for it.
func everyKind(t testing.TB) (*anomaly.Engine, *columns.Table) {
	t.Helper()
	return kinds(t, 5)
}

// kinds makes an engine with the first of all kinds of detectors.
func kinds(t testing.TB, n int) (*anomaly.Engine, *columns.Table) {
	t.Helper()
	e, err := anomaly.NewEngine([]anomaly.Settings{
		{Name: "rate", Kind: "rate", Key: []string{"key"}, Baseline: anomaly.Both, Window: time.Second},
		{Name: "distinct", Kind: "distinct", Key: []string{"key"}, Metric: "x", Window: time.Second},
		{Name: "value", Kind: "value", Key: []string{"key"}, Metric: "x"},
		{Name: "series", Kind: "series", Metric: "ratio(key=a,key=b)", Window: time.Second},
		{Name: "rule", Kind: "rule", Expression: "x < 1000"},
	}[:n])
	if err != nil {
		t.Fatal(err)
	}
	table := columns.NewTable([]columns.Field{{Name: "key", Type: columns.String}, {Name: "x", Type: columns.Double}})
	if err := e.Bind([]columns.Field{table.Columns[0].Field, table.Columns[1].Field}); err != nil {
		t.Fatal(err)
	}
	return e, table
}

func showRow(e *anomaly.Engine, table *columns.Table, key string, x float64, at int64) *anomaly.RowVerdict {
	table.Truncate(0)
	table.Columns[0].AppendString(key)
	table.Columns[1].AppendDouble(x)
	table.EndRow()
	return e.Score(table, 0, at)
}

// Whatever is interrupted goes on, of every kind; and a state of one kind is none of another.
func TestEveryKindContinues(t *testing.T) {
	whole, table := everyKind(t)
	parts, _ := everyKind(t)
	random := rand.New(rand.NewPCG(1, 3))
	flags := 0
	for i := range 30_000 {
		key, x, at := string(rune('a'+random.IntN(20))), random.NormFloat64()*float64(random.IntN(3)), noon.UnixMilli()+int64(i)*7
		if random.IntN(500) == 0 {
			x *= 500
		}
		v := showRow(whole, table, key, x, at)
		flags += len(v.Flags)
		want := fmt.Sprintf("%+v %s %s", v.Verdict, v.Names, v.Reason)
		v = showRow(parts, table, key, x, at)
		if got := fmt.Sprintf("%+v %s %s", v.Verdict, v.Names, v.Reason); got != want {
			t.Fatalf("record %d: %s; without the interruptions %s", i, got, want)
		}
		if random.IntN(1500) == 0 {
			saved := parts.Snapshot(nil)
			parts, _ = everyKind(t)
			if err := parts.Restore(saved); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !bytes.Equal(whole.Snapshot(nil), parts.Snapshot(nil)) || flags == 0 {
		t.Errorf("the interrupted detectors end with another state, or nothing was flagged (%d)", flags)
	}
	for _, kind := range []string{"rate", "distinct", "value", "series"} {
		for _, other := range []string{"rate", "distinct", "value", "series"} {
			settings := map[string]anomaly.Settings{
				"rate": {Key: []string{"key"}}, "distinct": {Key: []string{"key"}, Metric: "x"}, "value": {Metric: "x"}, "series": {Metric: "count"},
			}
			from, to := settings[kind], settings[other]
			from.Name, from.Kind, to.Name, to.Kind = "d", kind, "d", other
			a, errA := anomaly.NewEngine([]anomaly.Settings{from})
			b, errB := anomaly.NewEngine([]anomaly.Settings{to})
			if errA != nil || errB != nil {
				t.Fatal(errA, errB)
			}
			if err := b.Restore(a.Snapshot(nil)); (err == nil) != (kind == other) {
				t.Errorf("a state of %s restored for %s: %v", kind, other, err)
			}
		}
	}
}

func FuzzRestore(f *testing.F) {
	e, table := everyKind(f)
	e.Follow("shard", 0)
	for i := range int64(3000) {
		showRow(e, table, string(rune('a'+i%20)), float64(i%50), noon.UnixMilli()+i*10)
	}
	f.Add(e.Snapshot(nil))
	f.Fuzz(func(t *testing.T, snapshot []byte) {
		e, table := kinds(t, 4) // a rule takes long to compile, and has a count alone
		e.Follow("shard", 0)
		_ = e.Restore(snapshot) // whatever it says, the detectors go on
		_ = e.Merge(snapshot)
		for i := range int64(5) {
			showRow(e, table, "a", float64(i%7), noon.UnixMilli()+i*100_000_000)
			showRow(e, table, "b", float64(i%7), noon.UnixMilli()+i)
		}
		e.Settle()
		_ = e.Snapshot(nil)
	})
}
