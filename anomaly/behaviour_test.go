package anomaly_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/internal/columns"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// poisson draws a number by Knuth's method.
func poisson(random *rand.Rand, exponential func() float64, mean float64) (n int) {
	for sum := exponential(); sum < mean; sum += exponential() {
		n++
	}
	return n
}

// In a population of keys that come about 100 times in a window each, at random, hardly one is flagged in a hundred windows,
// and one that comes three times as often is.
func TestDensePopulation(t *testing.T) {
	settings := bySource
	settings.Window = 10 * time.Second
	e := newEngine(t, settings)
	random := rand.New(rand.NewPCG(3, 4))
	const windows, keys = 100, 300
	mistaken, offender := map[string]bool{}, 0
	for tick := range windows * 10 { // of a second, in which a key comes 10 times
		at := noon.Add(time.Duration(tick) * time.Second)
		for k := range keys {
			mean := 10.0
			if k == 0 && tick >= 500 {
				mean = 30
			}
			for range poisson(random, random.ExpFloat64, mean) {
				if len(e.score(fmt.Appendf(nil, "key %d", k), at).Flags) == 0 {
					continue
				}
				if k == 0 && tick >= 500 {
					offender++
				} else {
					mistaken[fmt.Sprint(tick/10, " ", k)] = true
				}
			}
		}
	}
	t.Logf("%d keys were flagged in %d windows of %d keys; the offender's rows %d times", len(mistaken), windows, keys, offender)
	if len(mistaken) > 2 || offender < 10_000 {
		t.Errorf("want at most 2 keys in %d windows, and most of the offender's 15,000 rows", windows)
	}
}

// A total rate that triples within an hour is no anomaly of any key.
func TestDailyRhythm(t *testing.T) {
	e := newEngine(t, bySource)
	random := rand.New(rand.NewPCG(5, 6))
	flagged := 0
	at := noon
	for at.Sub(noon) < time.Hour {
		rate := 20 + 40*at.Sub(noon).Hours()
		at = at.Add(time.Duration(random.ExpFloat64() / rate * float64(time.Second)))
		flagged += len(e.score(fmt.Appendf(nil, "key %d", random.IntN(500)), at).Flags)
	}
	if flagged > 0 {
		t.Errorf("%d rows are flagged", flagged)
	}
}

// Several abnormal keys do not hide each other, as long as they are few.
func TestOffendersDoNotHideEachOther(t *testing.T) {
	e := newEngine(t, bySource)
	found := map[string]bool{}
	for i := range 20_000 {
		at := noon.Add(time.Duration(i) * 10 * time.Millisecond)
		e.score(fmt.Appendf(nil, "once %d", i), at)
		if i%10 == 0 {
			key := fmt.Sprintf("offender %d", i/10%20)
			if len(e.score([]byte(key), at).Flags) > 0 {
				found[key] = true
			}
		}
	}
	if len(found) != 20 {
		t.Errorf("%d of 20 abnormal keys are found", len(found))
	}
}

// With the baseline self a key that always comes often is in order, and one that suddenly does is not.
func TestSelf(t *testing.T) {
	for baseline, want := range map[string]string{anomaly.Population: "busy jumper", anomaly.Self: "jumper", anomaly.Both: "jumper"} {
		settings := bySource
		settings.Window, settings.Baseline = 10*time.Second, baseline
		e := newEngine(t, settings)
		flagged := map[string]bool{}
		for second := range 600 {
			at := noon.Add(time.Duration(second) * time.Second)
			for k := range 100 {
				e.score(fmt.Appendf(nil, "quiet %d", k), at)
			}
			for range 100 {
				if len(e.score([]byte("busy"), at).Flags) > 0 {
					flagged["busy"] = true
				}
			}
			n := 1
			if second >= 500 {
				n = 50
			}
			for range n {
				if len(e.score([]byte("jumper"), at).Flags) > 0 {
					flagged["jumper"] = true
				}
			}
		}
		got := ""
		for _, key := range []string{"busy", "jumper"} {
			if flagged[key] {
				got += " " + key
			}
		}
		if strings.TrimSpace(got) != want {
			t.Errorf("%s flags%s; want %s", baseline, got, want)
		}
	}
}

// A flood of new keys makes room for itself, but not at the cost of those that come often.
func TestBoundedState(t *testing.T) {
	settings := bySource
	settings.MaxKeys = 100
	e := newEngine(t, settings)
	last := false
	for i := range 50_000 {
		at := noon.Add(time.Duration(i) * time.Millisecond)
		e.score(fmt.Appendf(nil, "flood %d", i), at)
		if i%20 == 0 {
			last = len(e.score([]byte("steady"), at).Flags) > 0
		}
	}
	if e.Keys(0) > 100 || e.Evictions(0) < 49_000 || !last {
		t.Errorf("%d keys, %d evictions; the steady key is flagged: %v", e.Keys(0), e.Evictions(0), last)
	}
}

func TestTime(t *testing.T) {
	e := newEngine(t, bySource)
	for i := range 50 {
		if v := e.score(fmt.Appendf(nil, "%d", i), noon); i < 9 && (!v.Warming || v.Abnormal) {
			t.Errorf("after %d keys: %+v", i+1, v.Verdict)
		}
	}
	count := func(at time.Time) uint32 { return e.score([]byte("key"), at).Count }
	for _, step := range []struct {
		at   time.Duration
		want uint32
	}{
		{0, 1}, {time.Minute, 2}, {0, 3}, {330 * time.Second, 2 /* the first ones are too old */}, {0, 3 /* judged, not counted */}, {330 * time.Second, 3},
		{24 * time.Hour, 1}, {0, 2}, {-100 * 365 * 24 * time.Hour, 2},
	} {
		if got := count(noon.Add(step.at)); got != step.want {
			t.Errorf("at %v the key counts %d; want %d", step.at, got, step.want)
		}
	}
	if e.Keys(0) != 1 {
		t.Errorf("%d keys are known a day later; want the one that came", e.Keys(0))
	}
}

// A shard that continues two others knows what both counted.
func TestMerge(t *testing.T) {
	left, right, whole := newEngine(t, bySource), newEngine(t, bySource), newEngine(t, bySource)
	for i := range 1000 {
		key, at := fmt.Appendf(nil, "%d", i%200), noon.Add(time.Duration(i)*100*time.Millisecond)
		whole.score(key, at)
		if i%3 == 0 {
			left.score(key, at)
		} else {
			right.score(key, at)
		}
	}
	merged := newEngine(t, bySource)
	if err := merged.Restore(left.Snapshot(nil)); err != nil {
		t.Fatal(err)
	}
	if err := merged.Merge(right.Snapshot(nil)); err != nil {
		t.Fatal(err)
	}
	at := noon.Add(100 * time.Second)
	for i := range 200 {
		key := fmt.Appendf(nil, "%d", i)
		if got, want := merged.score(key, at).Count, whole.score(key, at).Count; got != want {
			t.Errorf("key %s counts %d after the merge; want %d", key, got, want)
		}
	}
}

func TestColumnsAndKeys(t *testing.T) {
	settings := []anomaly.Settings{
		{Name: "pair", Kind: "rate", Key: []string{"a", "b"}},
		{Name: "one", Kind: "rate", Key: []string{"a"}},
	}
	e, err := anomaly.NewEngine(settings)
	if err != nil {
		t.Fatal(err)
	}
	own := []columns.Field{{Name: "a", Type: columns.String}, {Name: "b", Type: columns.Int64}}
	if err := e.Bind(own[:1]); err == nil || !strings.Contains(err.Error(), `"b"`) {
		t.Errorf("a missing key column: %v", err)
	}
	if err := e.Bind(own); err != nil {
		t.Fatal(err)
	}
	table := columns.NewTable(append(own, anomaly.Fields()...))
	add := func(a string, b int64, null bool) {
		table.Columns[0].AppendString(a)
		if null {
			table.Columns[1].AppendNull()
		} else {
			table.Columns[1].AppendInt(b)
		}
		e.Score(table, table.Rows(), noon.UnixMilli()).Append(table, 2)
		table.EndRow()
	}
	for i := range 100 {
		add(fmt.Sprint("a", i), int64(i), false)
	}
	for range 20 {
		add("x", 1, false)
		add("x", 2, true) // a null in the key: only the detector of a counts it
	}
	last := table.Rows() - 2
	anomalous, names, reason := table.Columns[2], table.Columns[4], table.Columns[5]
	if !anomalous.Bools[last] || string(names.TextAt(last)) != "pair,one" {
		t.Errorf("flagged %v by %s", anomalous.Bools[last], names.TextAt(last))
	}
	if got := string(reason.TextAt(last)); !strings.Contains(got, "a x, b 1 came 20 times in 5m0s") || !strings.Contains(got, "a x came 39 times") {
		t.Errorf("the reason is %q", got)
	}
	if got := string(names.TextAt(last + 1)); got != "one" {
		t.Errorf("the row without b is flagged by %s", got)
	}
	if first := 0; anomalous.Bools[first] || table.Columns[3].Valid[first] || !table.Columns[9].Valid[first] {
		t.Error("a row of the time of warming up has a score, or lacks the number of samples")
	}
}

func TestSettings(t *testing.T) {
	half, two, minus := 0.5, 2.0, int64(-1)
	for want, s := range map[string]anomaly.Settings{
		"":                {Name: "n", Kind: "rate", Key: []string{"k"}, Threshold: &half},
		"kind":            {Name: "n", Kind: "magic", Key: []string{"k"}},
		"without a key":   {Name: "n", Kind: "rate"},
		"threshold":       {Name: "n", Kind: "rate", Key: []string{"k"}, Threshold: &two},
		"negative":        {Name: "n", Kind: "rate", Key: []string{"k"}, MinCount: &minus},
		"baseline":        {Name: "n", Kind: "rate", Key: []string{"k"}, Baseline: "me"},
		"too short":       {Name: "n", Kind: "rate", Key: []string{"k"}, Window: time.Millisecond},
		"too few":         {Name: "n", Kind: "rate", Key: []string{"k"}, MaxKeys: 1},
		"the column":      {Name: "n", Kind: "value"},
		"no metric \"avg": {Name: "n", Kind: "series", Metric: "avg(x)"},
		"an expression":   {Name: "n", Kind: "rule"},
		"rule only":       {Name: "n", Kind: "rate", Key: []string{"k"}, Expression: "a > 1"},
		"unexpected":      {Name: "n", Kind: "rule", Expression: "a >"},
	} {
		_, err := anomaly.NewEngine([]anomaly.Settings{s})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; want %q", s, err, want)
		}
	}
}

// BenchmarkScore is a record of an address that is known, among 10,000.
func BenchmarkScore(b *testing.B) {
	e := newEngine(b, bySource)
	keys := make([][]byte, 10_000)
	for i := range keys {
		keys[i] = bytes.Clone(fmt.Appendf(nil, "10.0.%d.%d", i/100, i%100))
		e.score(keys[i], noon)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		e.score(keys[i*7919%len(keys)], noon.Add(time.Duration(i)*time.Millisecond))
		i++
	}
}
