package anomaly

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// Defaults of the kind rate.
const (
	DefaultThreshold = 0.999
	DefaultMinCount  = 5
	DefaultMaxKeys   = 100_000
	DefaultWindow    = 5 * time.Minute
)

// The baselines of the kind rate.
const (
	Population = "population"
	Self       = "self"
	Both       = "both"
)

const (
	slots        = 10 // of a window, which moves on by one at a time
	minKeys      = 10 // fewer say nothing of what is usual
	minWindows   = 3  // so many windows of its own make a past
	refitEvery   = 64 // observations, at least, and an eighth of the keys
	tailShare    = 10 // the tail is at most a tenth of the keys,
	minTail      = 20 // and at least so many of them,
	minTailShare = 50 // and a fiftieth: see the package's comment
	evictAmong   = 8
)

// Rate is a detector of the kind rate; see the package's comment. It is not safe for concurrent use.
type Rate struct {
	threshold float64
	minCount  uint32
	maxKeys   int
	self      bool
	others    bool
	slotMs    int64
	window    time.Duration

	state
}

// state is what a snapshot holds.
type state struct {
	now       int64 // the newest slot, as a number since 1970; 0: nothing was seen
	entries   []entry
	hand      int // where the next entry to evict is looked for
	evictions uint64
	unfitted  int // observations since the fit
	fit       fit

	index  map[string]int32 // into entries
	counts histogram
}

// entry is a key: 72 bytes beside its name.
type entry struct {
	key     string
	counts  [slots]uint32 // a ring: the slot s is at s % slots
	total   uint32
	windows uint16  // past ones that mean and variance are learned from, up to 2^16-1
	mean    float32 // of past windows
	vari    float32
}

// fit is what the keys show.
type fit struct {
	keys    int     // that came in the window
	typical float64 // the median of their counts
	u       float64
	tail    float64 // T(u+1) + 1
	h       float64
}

// expected is E(n).
func (f *fit) expected(n float64) float64 {
	return f.tail * math.Exp2(-(n-f.u-1)/f.h)
}

// upper is the greatest count whose score is below the threshold.
func (f *fit) upper(threshold float64) float64 {
	limit := -math.Log(threshold) // the expected number of keys from which the score is below
	return math.Max(0, math.Ceil(f.u+1+f.h*math.Log2(f.tail/limit))-1)
}

// newRate makes a detector of validated settings.
func newRate(s Settings) *Rate {
	r := &Rate{
		threshold: *s.Threshold, minCount: uint32(min(*s.MinCount, math.MaxUint32)), maxKeys: s.MaxKeys, window: s.Window,
		slotMs: s.Window.Milliseconds() / slots, self: s.Baseline != Population, others: s.Baseline != Self,
	}
	r.index = map[string]int32{}
	return r
}

// Verdict is what a detector says of a record.
type Verdict struct {
	Score    float64 // in [0,1]
	Abnormal bool
	Warming  bool    // not enough was seen to judge; the score is 0
	Count    uint32  // of the key in the window, this record included
	Expected float64 // what the count usually is
	Lower    float64
	Upper    float64 // the greatest count that is in order
	Samples  int64   // what this is judged by: keys, or past windows of the key for the baseline self
}

// Observe counts a record of a key at a time, in milliseconds since 1970, and judges it. A record that is older than
// the window is judged but not counted.
func (r *Rate) Observe(key []byte, at int64) Verdict {
	slot := floorDiv(at, r.slotMs)
	if slot > r.now {
		r.advance(slot)
	}
	late := slot <= r.now-slots
	i, known := r.index[string(key)]
	if !known {
		if late {
			return Verdict{Warming: true, Count: 1}
		}
		i = r.insert(string(key))
	}
	e := &r.entries[i]
	n := e.total
	if late {
		n++ // as if it had come in the window
	} else if e.total < math.MaxUint32 {
		if e.total > 0 {
			r.counts[bucket(e.total)]--
		}
		e.counts[ring(slot)]++
		e.total++
		n = e.total
		r.counts[bucket(n)]++
		r.unfitted++
	}
	if r.unfitted >= refitEvery && r.unfitted >= len(r.entries)/8 {
		r.refit()
	}
	return r.judge(e, n)
}

// judge scores a key's count.
func (r *Rate) judge(e *entry, n uint32) Verdict {
	v := Verdict{Score: 1, Count: n}
	consider := func(f *fit, samples int64) {
		if score := math.Exp(-f.expected(float64(n))); score <= v.Score {
			v.Score, v.Expected, v.Upper, v.Samples = score, f.typical, f.upper(r.threshold), samples
		}
	}
	if r.others {
		if r.fit.keys < minKeys {
			return Verdict{Warming: true, Count: n, Samples: int64(r.fit.keys)}
		}
		consider(&r.fit, int64(r.fit.keys))
	}
	if r.self {
		if e.windows < minWindows {
			return Verdict{Warming: true, Count: n, Samples: int64(e.windows)}
		}
		own := r.past(e)
		consider(&own, int64(e.windows))
	}
	v.Upper = max(v.Upper, float64(r.minCount)-1)
	v.Abnormal = v.Score >= r.threshold && n >= r.minCount
	return v
}

// past is the fit of a key's own windows.
func (r *Rate) past(e *entry) fit {
	mean := float64(e.mean)
	deviation := math.Sqrt(max(float64(e.vari), mean, 1))
	return fit{typical: mean, u: mean + 1.28*deviation, tail: float64(len(r.entries))/tailShare + 1, h: 0.4 * deviation}
}

// insert adds a key, and evicts one where there is no room.
func (r *Rate) insert(key string) int32 {
	if len(r.entries) >= r.maxKeys {
		r.evict()
	}
	i := int32(len(r.entries))
	r.entries = append(r.entries, entry{key: key})
	r.index[key] = i
	return i
}

// evict drops the least frequent of the next few keys: one that comes often is worth more than one that came once.
func (r *Rate) evict() {
	least := r.hand % len(r.entries)
	for k := range min(evictAmong, len(r.entries)) {
		if i := (r.hand + k) % len(r.entries); r.entries[i].total < r.entries[least].total {
			least = i
		}
	}
	r.hand = (r.hand + evictAmong) % len(r.entries)
	r.remove(least)
	r.evictions++
}

// remove takes an entry out; the last one takes its place.
func (r *Rate) remove(i int) {
	e := &r.entries[i]
	if e.total > 0 {
		r.counts[bucket(e.total)]--
	}
	delete(r.index, e.key)
	last := len(r.entries) - 1
	if i != last {
		*e = r.entries[last]
		r.index[e.key] = int32(i)
	}
	r.entries[last] = entry{}
	r.entries = r.entries[:last]
}

// advance moves the window on to a slot: what falls out of it is forgotten, and whoever came is learned from.
func (r *Rate) advance(slot int64) {
	steps := slot - r.now
	if r.now == 0 {
		steps = 0
	}
	for s := range min(steps, slots) {
		cleared := r.now + 1 + s
		for i := range r.entries {
			e := &r.entries[i]
			if r.self && cleared%slots == 0 {
				r.learn(e) // windows that do not overlap
			}
			e.total -= e.counts[ring(cleared)]
			e.counts[ring(cleared)] = 0
		}
	}
	r.now = slot
	if steps == 0 {
		return
	}
	clear(r.counts[:])
	for i := 0; i < len(r.entries); {
		e := &r.entries[i]
		if e.total == 0 && (!r.self || e.mean < 0.05) { // nothing is known of it that a new key would not have
			r.remove(i)
			continue
		}
		if e.total > 0 {
			r.counts[bucket(e.total)]++
		}
		i++
	}
	r.refit()
}

// learn takes a window into a key's past. The newest of them weighs at least a tenth.
func (r *Rate) learn(e *entry) {
	n := float64(e.total)
	if e.windows >= minWindows {
		own := r.past(e)
		n = min(n, own.upper(r.threshold))
	}
	if e.windows < math.MaxUint16 {
		e.windows++
	}
	weight := max(0.1, 1/float64(e.windows))
	delta := n - float64(e.mean)
	e.mean += float32(weight * delta)
	e.vari = float32((1 - weight) * (float64(e.vari) + weight*delta*delta))
}

// refit derives from the counts what is usual.
func (r *Rate) refit() {
	r.unfitted = 0
	keys := 0
	for _, n := range r.counts {
		keys += int(n)
	}
	r.fit = fit{keys: keys}
	if keys < minKeys {
		return
	}
	// From above: above is T of the bucket that was passed last.
	above, b := 0, len(r.counts)-1
	for ; above+int(r.counts[b]) <= keys/tailShare; b-- {
		above += int(r.counts[b])
	}
	if above < max(minTail, keys/minTailShare) {
		above += int(r.counts[b])
		b--
	}
	r.fit.u = float64(lowest(b+1) - 1)
	r.fit.tail = float64(above) + 1

	// The distance over which the tail halves.
	beyond, d := above, 0
	for c := b + 1; c < len(r.counts); c++ {
		beyond -= int(r.counts[c])
		if 2*beyond <= above {
			d = int(lowest(c+1) - lowest(b+1))
			break
		}
	}
	d = max(d, 1)
	r.fit.h = math.Ln2 / math.Log(float64(above+2)/float64(beyond+1)) * float64(d)
	r.fit.h = max(r.fit.h, 0.4*math.Sqrt(r.fit.u))

	rest := keys
	for c, n := range r.counts {
		if rest -= int(n); 2*rest <= keys {
			r.fit.typical = float64(lowest(c))
			break
		}
	}
}

// Keys is the number of keys that are known.
func (r *Rate) Keys() int { return len(r.entries) }

// Evictions is the number of keys that were dropped for want of room, since the state began.
func (r *Rate) Evictions() uint64 { return r.evictions }

// AppendReason says why a record is abnormal.
func (r *Rate) AppendReason(dst, key []byte, v *Verdict) []byte {
	dst = append(dst, key...)
	if len(key) == 0 {
		dst = append(dst, "the key"...)
	}
	dst = append(dst, " came "...)
	dst = strconv.AppendUint(dst, uint64(v.Count), 10)
	dst = append(dst, " times within "...)
	dst = append(dst, r.window.String()...)
	return fmt.Appendf(dst, "; usual is %.3g, and at most %.0f", v.Expected, v.Upper)
}

// ring is the place of a slot.
func ring(slot int64) int { return int((slot%slots + slots) % slots) }

// floorDiv rounds down, also below 0.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
