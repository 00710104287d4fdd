package anomaly

import (
	"encoding/binary"
	"math"
)

const (
	tailShare    = 10 // the tail is at most a tenth of the keys,
	minTail      = 20 // and at least so many of them,
	minTailShare = 50 // and a fiftieth: see the package's comment
)

// population is what the counts of all keys show, and how a count is judged by it and by its key's own past.
type population struct {
	threshold float64
	minCount  uint32
	self      bool
	others    bool

	counts   histogram
	unfitted int // observations since the fit
	fit      fit
	upper    float64 // the greatest count that the fit finds in order
	scores   [256]known
}

// known is the score of a count by the fit, in the place of the count's last eight bits. Of nil, n is 0, which is no count.
type known struct {
	n     uint32
	score float64
}

// past is what a key's own earlier windows show.
type past struct {
	windows uint16 // so many, up to 2^16-1
	mean    float32
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
	return f.tail * exp2(-(n-f.u-1)/f.h)
}

// upper is the greatest count whose score is below the threshold.
func (f *fit) upper(threshold float64) float64 {
	limit := -log2(threshold) * math.Ln2 // the expected number of keys from which the score is below
	if limit <= 0 {
		return math.MaxUint32 // a threshold of 1, which no score reaches but by rounding
	}
	return math.Min(math.MaxUint32, math.Max(0, math.Ceil(f.u+1+float64(f.h*log2(f.tail/limit)))-1))
}

func (p *population) tune(threshold float64, minCount int64) {
	p.threshold, p.minCount = threshold, uint32(min(minCount, math.MaxUint32))
	p.fitted()
}

// changed tells the histogram that a key's count is another one.
func (p *population) changed(before, after uint32) {
	if before > 0 {
		p.counts[bucket(before)]--
	}
	p.counts[bucket(after)]++
	p.unfitted++
}

// score is that of a count.
func (f *fit) score(n uint32) float64 { return exp(-f.expected(float64(n))) }

// score is that of a count by the fit to all keys.
func (p *population) score(n uint32) float64 {
	k := &p.scores[n%uint32(len(p.scores))]
	if k.n != n {
		*k = known{n, p.fit.score(n)}
	}
	return k.score
}

// judge scores a key's count among so many keys.
func (p *population) judge(own *past, n uint32, keys int) Verdict {
	v := Verdict{Score: 1, Count: n}
	consider := func(f *fit, score, upper float64, samples int64) {
		if score <= v.Score {
			v.Score, v.Expected, v.Upper, v.Samples = score, f.typical, upper, samples
		}
	}
	if p.others {
		if p.fit.keys < minKeys {
			return Verdict{Warming: true, Count: n, Samples: int64(p.fit.keys)}
		}
		consider(&p.fit, p.score(n), p.upper, int64(p.fit.keys))
	}
	if p.self {
		if own.windows < minWindows {
			return Verdict{Warming: true, Count: n, Samples: int64(own.windows)}
		}
		f := own.fit(keys)
		before := v.Score
		consider(&f, f.score(n), f.upper(p.threshold), int64(own.windows))
		v.Own = !p.others || v.Score < before
	}
	v.Upper = max(v.Upper, float64(p.minCount)-1)
	v.Abnormal = v.Score >= p.threshold && n >= p.minCount
	return v
}

// fit is that of a key's own windows, among so many keys.
func (o *past) fit(keys int) fit {
	mean := float64(o.mean)
	deviation := math.Sqrt(max(float64(o.vari), mean, 1))
	return fit{typical: mean, u: mean + float64(1.28*deviation), tail: float64(keys)/tailShare + 1, h: 0.4 * deviation}
}

// learn takes a window into a key's past. The newest of them weighs at least a tenth. One in which the key was abnormal counts as if it had
// come as often as in the highest tenth of windows: so it takes some thirty of them until a new level is usual.
func (p *population) learn(o *past, count uint32, keys int) {
	n := float64(count)
	if o.windows >= minWindows {
		if f := o.fit(keys); n > f.upper(p.threshold) {
			n = f.u
		}
	}
	if o.windows < math.MaxUint16 {
		o.windows++
	}
	weight := max(0.1, 1/float64(o.windows))
	delta := n - float64(o.mean)
	o.mean = float32(float64(o.mean) + float64(weight*delta))
	o.vari = float32((1 - weight) * (float64(o.vari) + float64(float64(weight*delta)*delta)))
}

// refit derives from the counts what is usual.
func (p *population) refit() {
	p.unfitted = 0
	p.derive()
	p.fitted()
}

// fitted brings up to date what follows from the fit.
func (p *population) fitted() {
	p.upper = p.fit.upper(p.threshold)
	clear(p.scores[:])
}

func (p *population) derive() {
	keys := 0
	for _, n := range p.counts {
		keys += int(n)
	}
	p.fit = fit{keys: keys}
	if keys < minKeys {
		return
	}
	// From above: above is T of the bucket that was passed last.
	above, b := 0, len(p.counts)-1
	for ; above+int(p.counts[b]) <= keys/tailShare; b-- {
		above += int(p.counts[b])
	}
	if above < max(minTail, keys/minTailShare) {
		above += int(p.counts[b])
		b--
	}
	p.fit.u = float64(lowest(b+1) - 1)
	p.fit.tail = float64(above) + 1

	// The distance over which the tail halves.
	beyond, d := above, 0
	for c := b + 1; c < len(p.counts); c++ {
		beyond -= int(p.counts[c])
		if 2*beyond <= above {
			d = int(lowest(c+1) - lowest(b+1))
			break
		}
	}
	d = max(d, 1)
	p.fit.h = float64(d) / log2(float64(above+2)/float64(beyond+1))
	p.fit.h = max(p.fit.h, 0.4*math.Sqrt(p.fit.u))

	rest := keys
	for c, n := range p.counts {
		if rest -= int(n); 2*rest <= keys {
			p.fit.typical = float64(lowest(c))
			break
		}
	}
}

// ordinary tells, for a person, of how many percent of the other keys the counts stay well below n, and below what: of as many percent as
// there are such.
func (p *population) ordinary(n uint32) (percent float64, others int, most uint64) {
	for _, keys := range p.counts {
		others += int(keys)
	}
	others = max(others-1, 0)
	for _, percent = range []float64{99.9, 99, 95, 90} {
		beyond := others // keys with a greater count
		for c, keys := range p.counts {
			if c == bucket(n) && keys > 0 {
				keys-- // itself
			}
			if beyond -= int(keys); float64(beyond) <= float64(others)*(1-percent/100) {
				most = lowest(c+1) - 1
				break
			}
		}
		if 2*most <= uint64(n) {
			break
		}
	}
	return percent, others, most
}

func (p *population) appendTo(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(p.unfitted))
	dst = binary.AppendUvarint(dst, uint64(p.fit.keys))
	for _, v := range []float64{p.fit.typical, p.fit.u, p.fit.tail, p.fit.h} {
		dst = appendFloat(dst, v)
	}
	return dst
}

func (p *population) readFrom(in *reader) {
	p.unfitted = int(in.uvarint() & math.MaxInt32)
	p.fit.keys = int(in.uvarint() & math.MaxInt32)
	for _, v := range []*float64{&p.fit.typical, &p.fit.u, &p.fit.tail, &p.fit.h} {
		*v = in.float()
	}
	p.fitted()
}

func (o *past) appendTo(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(o.windows))
	dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(o.mean))
	return binary.LittleEndian.AppendUint32(dst, math.Float32bits(o.vari))
}

func (o *past) readFrom(in *reader) {
	o.windows = uint16(in.uvarint())
	o.mean, o.vari = math.Float32frombits(in.uint32()), math.Float32frombits(in.uint32())
}
