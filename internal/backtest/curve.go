package backtest

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/sluice-etl/sluice/anomaly"
)

// Point is a value at a time, and what was found of it.
type Point struct {
	Value, Score float64
	Lower, Upper float64 // what is in order, where there is such a band
	Band         bool
	Flagged      bool
}

// pointOf is what a picture shows of a verdict. Of a rule that is its score.
func pointOf(kind string, v *anomaly.Verdict, flagged bool) Point {
	p := Point{Value: v.Value, Score: v.Score, Lower: v.Lower, Upper: v.Upper, Band: !v.Warming && !v.Bandless, Flagged: flagged}
	switch kind {
	case anomaly.KindRate, anomaly.KindDistinct:
		p.Value = float64(v.Count)
	case anomaly.KindRule:
		p.Value = v.Score
	}
	return p
}

// Curve is values by time, thinned out so that no peak is lost: where there are more times than it holds, the points of neighbouring times
// share a bin, which knows the least and the greatest value. It is not safe for concurrent use.
type Curve struct {
	width     int64 // of a bin, in milliseconds
	bins      []Bin // at most mostBins, in the order of their times
	strangest bool  // a bin shows no more than its strangest point
}

// Bin is what a Curve knows of some time.
type Bin struct {
	At        int64 // of the first point, in milliseconds since 1970
	Low, High float64
	Strangest Point // that with the highest score, a flagged one before others
}

const (
	mostBins   = 8 << 10 // of a curve
	mostCurves = 4 << 10 // of a detector,
	mostInAll  = 64 << 10
	mostValue  = 1e300 // what is greater is no value: sums and differences would not be numbers
)

// Times are those that calendars can write, from the year 1 to 9999; what is farther is taken to be there.
var (
	earliest = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	latest   = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC).UnixMilli()
)

// NewCurve makes an empty curve.
func NewCurve() *Curve { return &Curve{width: 1} }

// Add takes a point in, at a time in milliseconds since 1970; points come in any order, and what is no number is passed over. However many
// there are, a point takes the same time and no memory.
func (c *Curve) Add(at int64, p Point) {
	if !(math.Abs(p.Value) <= mostValue) {
		return
	}
	p.Band = p.Band && math.Abs(p.Lower) <= mostValue && math.Abs(p.Upper) <= mostValue
	c.take(Bin{min(max(at, earliest), latest), p.Value, p.Value, p})
}

// join takes in all that another curve knows.
func (c *Curve) join(other *Curve) {
	for other.width > c.width {
		c.widen()
	}
	for _, b := range other.bins {
		c.take(b)
	}
}

func (c *Curve) take(b Bin) {
	i, known := len(c.bins), false
	if i > 0 && c.place(&b) <= c.place(&c.bins[i-1]) {
		i, known = slices.BinarySearchFunc(c.bins, c.place(&b), func(other Bin, place int64) int { return cmp.Compare(c.place(&other), place) })
	}
	if known {
		c.bins[i].join(&b, c.strangest)
		return
	}
	c.bins = slices.Insert(c.bins, i, b)
	for len(c.bins) > mostBins {
		c.widen()
	}
}

// place is that of a bin among all that there may be.
func (c *Curve) place(b *Bin) int64 { return (b.At - earliest) / c.width }

// widen makes one bin of two.
func (c *Curve) widen() {
	c.width *= 2
	kept := c.bins[:min(1, len(c.bins))]
	for _, b := range c.bins[len(kept):] {
		if last := &kept[len(kept)-1]; c.place(&b) == c.place(last) {
			last.join(&b, c.strangest)
		} else {
			kept = append(kept, b)
		}
	}
	c.bins = kept
}

// join takes in another bin. The result does not depend on which of the two is taken in.
func (b *Bin) join(other *Bin, strangest bool) {
	b.At = min(b.At, other.At)
	b.Low, b.High = min(b.Low, other.Low), max(b.High, other.High)
	if other.Strangest.stranger(&b.Strangest) {
		b.Strangest = other.Strangest
	}
	if strangest {
		b.Low, b.High = b.Strangest.Value, b.Strangest.Value
	}
}

func (p *Point) stranger(than *Point) bool {
	if p.Flagged != than.Flagged {
		return p.Flagged
	}
	return cmp.Or(cmp.Compare(p.Score, than.Score), cmp.Compare(p.Value, than.Value), cmp.Compare(p.Upper, than.Upper), cmp.Compare(p.Lower, than.Lower)) > 0
}

// Bins are at most n bins in the order of their times, each of an equal part of the time that there is.
func (c *Curve) Bins(n int) []Bin {
	bins := slices.Clone(c.bins)
	if len(bins) <= n {
		return bins
	}
	from, kept, last := bins[0].At, bins[:1], 0
	share := float64(n) / float64(bins[len(bins)-1].At-from+1)
	for _, b := range bins[1:] {
		if part := int(float64(b.At-from) * share); part > last {
			last, kept = part, append(kept, b)
		} else {
			kept[len(kept)-1].join(&b, c.strangest)
		}
	}
	return kept
}

// curves are those of a detector's keys, or one of all, where keys are judged by each other. There are bounds on the keys and on the bins of all: beyond, the keys with the fewest flagged rows, and
// of these those with the fewest rows, are forgotten, and begin anew.
type curves struct {
	known  map[string]*keyCurve
	bins   int
	common bool
}

type keyCurve struct {
	Curve
	key         string
	flags, rows int64
}

// newCurves makes curves of a detector with complete settings.
func newCurves(of anomaly.Settings) *curves {
	counts := of.Kind == anomaly.KindRate || of.Kind == anomaly.KindDistinct
	return &curves{known: map[string]*keyCurve{}, common: counts && of.Baseline == anomaly.Population}
}

func (c *curves) add(key []byte, at int64, p Point) {
	if c.common {
		key = nil
	}
	k := c.known[string(key)]
	if k == nil {
		k = &keyCurve{Curve: *NewCurve(), key: string(key)}
		k.strangest = c.common
		c.known[k.key] = k
	}
	before := len(k.bins)
	k.Add(at, p)
	k.rows++
	if p.Flagged {
		k.flags++
	}
	c.bins += len(k.bins) - before
	c.trim()
}

// trim keeps the bounds.
func (c *curves) trim() {
	for len(c.known) > mostCurves || c.bins > mostInAll {
		all := c.ranked()
		for _, k := range all[(len(all)+1)/2:] {
			c.bins -= len(k.bins)
			delete(c.known, k.key)
		}
	}
}

// ranked are those with the most flagged rows first.
func (c *curves) ranked() []*keyCurve {
	return slices.SortedFunc(maps.Values(c.known), func(a, b *keyCurve) int {
		return cmp.Or(cmp.Compare(b.flags, a.flags), cmp.Compare(b.rows, a.rows), cmp.Compare(a.key, b.key))
	})
}

// join takes in the curves of another shard.
func (c *curves) join(other *curves) {
	for key, o := range other.known {
		k := c.known[key]
		if k == nil {
			c.known[key] = o
			c.bins += len(o.bins)
			continue
		}
		before := len(k.bins)
		k.Curve.join(&o.Curve)
		k.flags, k.rows = k.flags+o.flags, k.rows+o.rows
		c.bins += len(k.bins) - before
	}
	c.trim()
}

// Curve gives what there is to draw, and how its key is shown: the curve of the key that was flagged most, or where none was, came most. Where keys
// are judged by each other it is of all of them, at each time of the strangest, and the key is empty. The curve is empty if nothing was judged,
// or Config.Draw is nil.
func (o *Outcome) Curve() (key string, c *Curve) {
	if o.curves == nil || len(o.curves.known) == 0 {
		return "", NewCurve()
	}
	most := o.curves.ranked()[0]
	return plain(most.key), &most.Curve
}
