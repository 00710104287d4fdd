package anomaly_test

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/internal/kdg"
)

// The tests of this file measure what docs/anomalies.md says: go test ./anomaly -run Figures -v.

// measures skips a test where time is short: with the race detector, say, which finds nothing in a package without a goroutine.
func measures(t *testing.T) {
	if testing.Short() {
		t.Skip("measures for seconds; runs without -short, as the README's test command does")
	}
}

// zipf draws ranks from 0 of which the r-th has the weight (r+1)^-s, by the inverse of the distribution.
type zipf []float64

func newZipf(n int, s float64) zipf {
	z := make(zipf, n)
	sum := 0.0
	for r := range z {
		sum += math.Pow(float64(r+1), -s)
		z[r] = sum
	}
	return z
}

func (z zipf) draw(random *rand.Rand) int {
	return sort.SearchFloat64s(z, random.Float64()*z[len(z)-1])
}

// Addresses of which some are always busy, drawn from Zipf(1.1) over 10,000, 100 a second for ten minutes; after five an address that was not
// there before comes once a second.
func TestFiguresZipf(t *testing.T) {
	measures(t)
	addresses := newZipf(10_000, 1.1)
	settings := anomaly.Settings{Name: "d", Kind: "rate", Key: []string{"sourceip"}, Window: 30 * time.Second, Baseline: anomaly.Self}
	came, flagged := [2]int{}, [2]int{}
	for seed := range uint64(10) {
		e := newEngine(t, settings)
		random := rand.New(rand.NewPCG(seed, 5))
		for i := range 60_000 {
			at := noon.Add(time.Duration(i) * 10 * time.Millisecond)
			came[0]++
			if len(e.score(fmt.Appendf(nil, "10.0.0.%d", addresses.draw(random)), at).Flags) > 0 {
				flagged[0]++
			}
			if i >= 30_000 && i%100 == 0 {
				came[1]++
				if len(e.score([]byte("221.233.116.256"), at).Flags) > 0 {
					flagged[1]++
				}
			}
		}
	}
	measured(t, "Zipf", came, flagged, 0.90, 2)
}

// measured tells recall and false flags, and holds them against the goals.
func measured(t *testing.T, what string, came, flagged [2]int, recall, per10000 float64) {
	t.Helper()
	found := float64(flagged[1]) / float64(came[1])
	wrong := float64(flagged[0]) / float64(came[0]) * 10_000
	t.Logf("%s: recall %.4f, %.3f flags per 10,000 ordinary records", what, found, wrong)
	if found < recall || wrong > per10000 {
		t.Errorf("want a recall of %v, and at most %v flags", recall, per10000)
	}
}

// The lab's traffic over eight shards with random partition keys: each shard has a detector of its own.
func TestFiguresShards(t *testing.T) {
	measures(t)
	for _, shards := range []int{1, 8} {
		came, flagged := [2]int{}, [2]int{}
		for seed := range uint64(10) {
			var engines []*engine
			for range shards {
				engines = append(engines, newEngine(t, bySource))
			}
			random := rand.New(rand.NewPCG(seed, 8))
			transactions(t, seed, func(abnormal int, address, _ string, at time.Time) {
				came[abnormal]++
				if len(engines[random.IntN(shards)].score([]byte(address), at).Flags) > 0 {
					flagged[abnormal]++
				}
			})
		}
		goal := map[int]float64{1: 0.95, 8: 0.90}[shards]
		measured(t, fmt.Sprintf("%d shards", shards), came, flagged, goal, map[int]float64{1: 1, 8: 2}[shards])
	}
}

// transactions gives ten minutes of the lab's.
func transactions(t *testing.T, seed uint64, f func(abnormal int, address, customer string, at time.Time)) {
	sources := labSources(t)
	field := func(record, name string) string {
		_, after, _ := strings.Cut(record, `"`+name+`"`)
		return strings.SplitN(after, `"`, 3)[1]
	}
	stream := kdg.NewStream(sources, seed, noon)
	var record []byte
	for {
		var source int
		var at time.Time
		if record, source, at = stream.Next(record[:0]); at.Sub(noon) >= 10*time.Minute {
			return
		}
		f(source, field(string(record), "sourceIp"), field(string(record), "customerId"), at)
	}
}

// The customers of the abnormal address.
func TestFiguresDistinct(t *testing.T) {
	measures(t)
	for seed := range uint64(10) {
		e, err := anomaly.NewEngine([]anomaly.Settings{{Name: "d", Kind: "distinct", Key: []string{"ip"}, Metric: "customer"}})
		if err != nil {
			t.Fatal(err)
		}
		table := columns.NewTable([]columns.Field{{Name: "ip", Type: columns.String}, {Name: "customer", Type: columns.String}})
		if err := e.Bind([]columns.Field{table.Columns[0].Field, table.Columns[1].Field}); err != nil {
			t.Fatal(err)
		}
		found, others := time.Duration(-1), 0
		transactions(t, seed, func(abnormal int, address, customer string, at time.Time) {
			table.Truncate(0)
			table.Columns[0].AppendString(address)
			table.Columns[1].AppendString(customer)
			table.EndRow()
			if len(e.Score(table, 0, at.UnixMilli()).Flags) == 0 {
				return
			}
			if abnormal == 0 {
				others++
			} else if found < 0 {
				found = at.Sub(noon)
			}
		})
		t.Logf("seed %d: found after %v, and %d records of other addresses flagged", seed, found, others)
		if found < 0 || found > time.Minute || others > 0 {
			t.Error("want it within a minute, and no other")
		}
	}
}

// Clicks and impressions, one of each a second and a few milliseconds late now and then; a quiet day, then twenty seconds of
// as many clicks again.
func TestFiguresClicks(t *testing.T) {
	measures(t)
	for seed := range uint64(5) {
		e, err := anomaly.NewEngine([]anomaly.Settings{{
			Name: "d", Kind: "series", Metric: "ratio(browseraction=Click,browseraction=Impression)", Window: 10 * time.Second,
		}})
		if err != nil {
			t.Fatal(err)
		}
		table := columns.NewTable([]columns.Field{{Name: "browseraction", Type: columns.String}})
		if err := e.Bind([]columns.Field{table.Columns[0].Field}); err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(seed, 9))
		quiet, alerts, first := 0, 0, time.Duration(0)
		const day = 24 * time.Hour
		var due [2]time.Time // of the next click and impression
		jitter := func(at time.Time) time.Time {
			return at.Add(time.Duration(random.ExpFloat64() * float64(50*time.Millisecond)))
		}
		show := func(action string, at time.Time) {
			table.Truncate(0)
			table.Columns[0].AppendString(action)
			table.EndRow()
			v := e.Score(table, 0, at.UnixMilli())
			if len(v.Flags) == 0 {
				return
			}
			t.Logf("%v: %s", at.Sub(noon), v.Reason)
			if since := at.Sub(noon) - day; since < 0 {
				quiet++
			} else if alerts++; alerts == 1 {
				first = since
			}
		}
		for second := range int((day + 10*time.Minute) / time.Second) {
			at := noon.Add(time.Duration(second) * time.Second)
			due[0], due[1] = jitter(at), jitter(at.Add(300*time.Millisecond))
			if due[1].Before(due[0]) {
				show("Impression", due[1])
				show("Click", due[0])
			} else {
				show("Click", due[0])
				show("Impression", due[1])
			}
			if since := at.Sub(noon) - day; since >= 0 && since < 20*time.Second {
				show("Click", at.Add(900*time.Millisecond))
			}
		}
		t.Logf("seed %d: %d alerts in a quiet day, then %d, the first after %v", seed, quiet, alerts, first)
		if quiet > 0 || alerts != 1 || first > 20*time.Second {
			t.Error("want none, and then one within twenty seconds")
		}
	}
}

// order is a transaction of an item: so many units at a price.
type order struct {
	item         int
	units        float64
	price, total float64
}

// wrongs are what can be wrong with an order.
var wrongs = []struct {
	name string
	do   func(o *order, random *rand.Rand)
}{
	{"price ten times", func(o *order, _ *rand.Rand) { o.price *= 10; o.total *= 10 }},
	{"price a tenth", func(o *order, _ *rand.Rand) { o.price /= 10; o.total /= 10 }},
	{"price in cents", func(o *order, _ *rand.Rand) { o.price *= 100; o.total *= 100 }},
	{"price of zero", func(o *order, _ *rand.Rand) { o.price, o.total = 0, 0 }},
	{"negative price", func(o *order, _ *rand.Rand) { o.price, o.total = -o.price, -o.total }},
	{"negative units", func(o *order, _ *rand.Rand) { o.units, o.total = -o.units, -o.total }},
	{"units a hundred times", func(o *order, _ *rand.Rand) { o.units *= 100; o.total *= 100 }},
	{"total of another order", func(o *order, random *rand.Rand) { o.total = math.Round(o.total*(1.5+random.Float64())*100) / 100 }},
	{"total off by one", func(o *order, _ *rand.Rand) { o.total++ }},
	{"sign of the total", func(o *order, _ *rand.Rand) { o.total = -o.total }},
	{"price twice", func(o *order, _ *rand.Rand) { o.price *= 2; o.total *= 2 }},
}

// Orders of 20 items, 10,000 in a run, of which one in fifty is wrong in one of eleven ways.
func TestFiguresWrongAmounts(t *testing.T) {
	measures(t)
	settings := []anomaly.Settings{
		{Name: "price", Kind: "value", Key: []string{"item"}, Metric: "price"},
		{Name: "units", Kind: "value", Key: []string{"item"}, Metric: "units"},
		{Name: "sum", Kind: "rule", Expression: "abs(total - units * price) < 0.01"},
		{Name: "positive", Kind: "rule", Expression: "units > 0 && price > 0 && total > 0"},
	}
	came, flagged, missed := [2]int{}, [2]int{}, map[string]int{}
	for seed := range uint64(5) {
		e, err := anomaly.NewEngine(settings)
		if err != nil {
			t.Fatal(err)
		}
		table := columns.NewTable([]columns.Field{
			{Name: "item", Type: columns.Int64}, {Name: "units", Type: columns.Int64}, {Name: "price", Type: columns.Double}, {Name: "total", Type: columns.Double},
		})
		var fields []columns.Field
		for i := range table.Columns {
			fields = append(fields, table.Columns[i].Field)
		}
		if err := e.Bind(fields); err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(seed, 11))
		usual := make([]float64, 20)
		for i := range usual {
			usual[i] = math.Exp(1 + 4*random.Float64())
		}
		for i := range 10_000 {
			o := order{item: random.IntN(len(usual)), units: float64(1 + random.IntN(10))}
			o.price = math.Round(usual[o.item]*(1+0.05*random.NormFloat64())*100) / 100
			o.total = math.Round(o.units*o.price*100) / 100
			abnormal, kind := 0, ""
			if random.IntN(50) == 0 {
				w := wrongs[random.IntN(len(wrongs))]
				w.do(&o, random)
				abnormal, kind = 1, w.name
			}
			table.Truncate(0)
			table.Columns[0].AppendInt(int64(o.item))
			table.Columns[1].AppendInt(int64(o.units))
			table.Columns[2].AppendDouble(o.price)
			table.Columns[3].AppendDouble(o.total)
			table.EndRow()
			came[abnormal]++
			if len(e.Score(table, 0, noon.Add(time.Duration(i)*time.Second).UnixMilli()).Flags) > 0 {
				flagged[abnormal]++
			} else if abnormal == 1 {
				missed[kind]++
			}
		}
	}
	recall := float64(flagged[1]) / float64(came[1])
	precision := float64(flagged[1]) / float64(flagged[0]+flagged[1])
	t.Logf("recall %.4f at a precision of %.4f (%d wrong orders; missed: %v)", recall, precision, came[1], missed)
	if recall < 0.95 || precision < 0.99 {
		t.Error("want a recall of 0.95 at a precision of 0.99")
	}
}

// The same input gives the same state on every machine: this is what it is on one.
func TestSameOnEveryMachine(t *testing.T) {
	e, err := anomaly.NewEngine([]anomaly.Settings{
		{Name: "rate", Kind: "rate", Key: []string{"key"}, Baseline: anomaly.Both, Window: 10 * time.Second},
		{Name: "distinct", Kind: "distinct", Key: []string{"key"}, Metric: "x", Baseline: anomaly.Both, Window: 10 * time.Second},
		{Name: "value", Kind: "value", Key: []string{"key"}, Metric: "x"},
		{Name: "series", Kind: "series", Key: []string{"key"}, Metric: "mean(x)", Window: 10 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	table := columns.NewTable([]columns.Field{{Name: "key", Type: columns.String}, {Name: "x", Type: columns.Double}})
	if err := e.Bind([]columns.Field{table.Columns[0].Field, table.Columns[1].Field}); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	verdicts := fnv.New64a()
	for i := range 50_000 {
		table.Truncate(0)
		table.Columns[0].AppendText(fmt.Appendf(nil, "%d", random.IntN(50)))
		table.Columns[1].AppendDouble(float64(random.IntN(1000)) * random.Float64() / 7)
		table.EndRow()
		v := e.Score(table, 0, noon.UnixMilli()+int64(i)*10)
		o := v.Verdict
		fmt.Fprintln(verdicts, o.Score, o.Abnormal, o.Warming, o.Count, o.Value, o.Expected, o.Lower, o.Upper, o.Samples, o.Own, o.View, o.Bandless, string(v.Names), string(v.Reason))
	}
	state := fnv.New64a()
	state.Write(e.Snapshot(nil))
	if got := fmt.Sprintf("%x %x", verdicts.Sum64(), state.Sum64()); got != "3af82ead49eeed7c e232ac12f5c2b779" {
		t.Errorf("verdicts and state have the hashes %s", got)
	}
}

func benchmarkKind(b *testing.B, s anomaly.Settings) {
	s.Name, s.Key = "d", []string{"key"}
	e, err := anomaly.NewEngine([]anomaly.Settings{s})
	if err != nil {
		b.Fatal(err)
	}
	const rows = 10_000
	table := columns.NewTable([]columns.Field{{Name: "key", Type: columns.String}, {Name: "x", Type: columns.Double}})
	if err := e.Bind([]columns.Field{table.Columns[0].Field, table.Columns[1].Field}); err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	for i := range rows { // all keys come as often
		table.Columns[0].AppendText(fmt.Appendf(nil, "10.0.0.%d", i*7919%1000))
		table.Columns[1].AppendDouble(100 + 10*random.NormFloat64())
		table.EndRow()
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		e.Score(table, i%rows, noon.UnixMilli()+int64(i))
		i++
	}
}

// The cost of a record, among a thousand keys and a thousand records a second.
func BenchmarkKinds(b *testing.B) {
	for _, s := range []anomaly.Settings{
		{Kind: "rate"}, {Kind: "rate", Baseline: anomaly.Both}, {Kind: "distinct", Metric: "x"}, {Kind: "value", Metric: "x"},
		{Kind: "series", Metric: "mean(x)", Window: 10 * time.Second}, {Kind: "series", Metric: "count", Window: time.Minute}, {Kind: "rule", Expression: "x > 0"},
	} {
		b.Run(strings.TrimSpace(s.Kind+" "+s.Metric+s.Baseline), func(b *testing.B) { benchmarkKind(b, s) })
	}
}
