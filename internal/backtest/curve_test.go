package backtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/anomaly"
)

// Of many values no peak is lost, nor a flag; and it does not matter in which order they came, or in how many parts.
func TestCurveKeepsPeaks(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const n = 200_000
	at := func(i int64) int64 { return i*500 - 1e9 }
	points := make([]Point, n)
	for i := range points {
		points[i] = Point{Value: random.NormFloat64(), Score: random.Float64() / 2}
	}
	points[777] = Point{Value: 100, Score: 0.9, Flagged: true}
	points[150_000] = Point{Value: -50, Score: 0.95, Flagged: true}
	points[9] = Point{Value: 30, Score: 0.1}
	whole, backwards, parts := NewCurve(), NewCurve(), []*Curve{NewCurve(), NewCurve()}
	for i := range int64(n) {
		whole.Add(at(i), points[i])
		backwards.Add(at(n-1-i), points[n-1-i])
		parts[i%2].Add(at(i), points[i])
	}
	parts[0].join(parts[1])
	for name, c := range map[string]*Curve{"whole": whole, "backwards": backwards, "in parts": parts[0]} {
		if len(c.bins) > mostBins || len(c.bins) < mostBins/4 {
			t.Errorf("%s: %d bins; want at most %d and at least a quarter of that", name, len(c.bins), mostBins)
		}
		for _, most := range []int{mostBins, 100} {
			bins := c.Bins(most)
			low, high, flags := math.Inf(1), math.Inf(-1), 0
			for i, b := range bins {
				low, high = min(low, b.Low), max(high, b.High)
				if b.Strangest.Flagged {
					flags++
				}
				if i > 0 && b.At <= bins[i-1].At {
					t.Fatalf("%s: bin %d is not after the one before", name, i)
				}
			}
			if len(bins) > most || low != -50 || high != 100 || flags != 2 {
				t.Errorf("%s: %d bins from %v to %v, %d flags; want %d at most, from -50 to 100, 2 flags", name, len(bins), low, high, flags, most)
			}
		}
		if !slices.Equal(whole.bins, c.bins) {
			t.Errorf("%s there are other bins", name)
		}
	}
}

// Where all fit, none is thinned out; what is no number is passed over, and a clock that went wrong leaves the rest readable.
func TestCurveOfFew(t *testing.T) {
	c := NewCurve()
	for i := range int64(10) {
		c.Add(i*i*1000, Point{Value: float64(i)})
	}
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64} {
		c.Add(5, Point{Value: x})
	}
	c.Add(16_000, Point{Value: 4, Score: 1, Band: true, Upper: math.Inf(1)})
	if bins := c.Bins(10); len(bins) != 10 || bins[9].High != 9 || bins[9].At != 81_000 || bins[4].Strangest.Band || bins[4].Strangest.Score != 1 {
		t.Errorf("the bins are %+v", bins)
	}
	c.Add(math.MaxInt64, Point{Value: 1})
	c.Add(math.MinInt64, Point{})
	if bins := c.Bins(100); len(bins) != 12 || time.UnixMilli(bins[0].At).UTC().Year() != 1 || time.UnixMilli(bins[11].At).UTC().Year() != 9999 {
		t.Errorf("the bins are %+v", bins)
	}
}

// However many keys there are, the bounds hold, and that which is flagged most stays, with what came before.
func TestCurvesOfManyKeys(t *testing.T) {
	shards := []*curves{newCurves(anomaly.Settings{Kind: anomaly.KindValue}), newCurves(anomaly.Settings{Kind: anomaly.KindValue})}
	for i := range int64(300_000) {
		c := shards[i%2]
		switch {
		case i%100 < 20:
			c.add(fmt.Append(nil, "busy ", i%100), i*1000, Point{Value: 1})
		case i%100 < 22:
			c.add([]byte("culprit"), i*1000, Point{Value: 7, Flagged: i > 250_000})
		default:
			c.add(fmt.Append(nil, "rare ", i), i*1000, Point{Value: 1})
		}
	}
	shards[0].join(shards[1])
	bins := 0
	for _, k := range shards[0].known {
		bins += len(k.bins)
	}
	if c := shards[0]; len(c.known) > mostCurves || bins > mostInAll || bins != c.bins {
		t.Errorf("%d keys with %d bins (%d by count); want at most %d with %d", len(c.known), bins, c.bins, mostCurves, mostInAll)
	}
	o := Outcome{curves: shards[0]}
	key, c := o.Curve()
	if all := c.Bins(mostBins); key != "culprit" || all[0].At > 100_000_000 || all[0].Low != 7 || all[0].High != 7 {
		t.Errorf("%s is shown, from %+v", key, all[0])
	}
}

// Where keys are judged by each other, one curve shows the strangest of them at each time, whichever came first.
func TestCurveOfTheStrangest(t *testing.T) {
	s := newCurves(anomaly.Settings{Kind: anomaly.KindRate, Baseline: anomaly.Population})
	for i := range int64(2 * mostBins) { // bins are two seconds wide then
		s.add(fmt.Append(nil, "key ", i), 1000*i, Point{Value: 1000, Score: 0.1})
		s.add([]byte("other"), 1000*i, Point{Value: 7, Score: 0.8, Band: true, Upper: 4})
		s.add([]byte("another"), 1000*i, Point{Value: 2, Score: 0.3})
	}
	o := Outcome{curves: s}
	key, c := o.Curve()
	if bins := c.Bins(mostBins); key != "" || len(bins) > mostBins || len(bins) < mostBins/4 || bins[9].Low != 7 || bins[9].High != 7 || bins[9].Strangest.Upper != 4 {
		t.Errorf("%q, %d bins, %+v", key, len(bins), bins[9])
	}
}

// BenchmarkCurve is the cost of a row.
func BenchmarkCurve(b *testing.B) {
	c, keys := newCurves(anomaly.Settings{Kind: anomaly.KindValue}), make([][]byte, 50_000)
	for i := range keys {
		keys[i] = fmt.Append(nil, "key ", i)
	}
	for i := range b.N {
		key := keys[i%97]
		if i%2 == 0 {
			key = keys[i*7919%len(keys)]
		}
		c.add(key, int64(i)*10, Point{Value: float64(i % 1000), Score: float64(i%77) / 100})
	}
}
