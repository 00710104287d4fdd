package anomaly

import (
	"fmt"
	"math"
	"slices"

	"github.com/sluice-etl/sluice/internal/columns"
)

// value is a detector of the kind value; see the package's comment.
type value struct {
	keyed[values1, *values1]
	metric    string
	column    int
	threshold float64
	minCount  float64
	windowMs  int64
	share     float64 // by which the mean of a key moves
	unusable  uint64
}

// values1 is what the values of one key have been. It takes 184 bytes.
type values1 struct {
	n      float64
	first  [firstValues]float64
	mean   float64
	scale  float64 // mean size of the values
	plain  envelope
	binary envelope // of their logarithms
}

const (
	firstValues  = 10   // values before which nothing is said
	valueDamping = 20   // values after which what is said has half its weight
	valueMemory  = 1000 // half-life of the means, in values
	plainFloor   = 0.01 // of the scale: widths that are taken for nothing,
	binaryFloor  = 0.02 // and of logarithms
	logOfNothing = -64
)

var isolated = stretch{once: 0.1, again: 1, often: 0.12, freely: firstValues}

func newValue(s Settings) *value {
	d := &value{
		keyed: newKeyed[values1](kindValue, s.MaxKeys), metric: s.Metric,
		windowMs: s.Window.Milliseconds(), share: halving(valueMemory),
	}
	d.tune(*s.Threshold, *s.MinCount)
	return d
}

func (d *value) tune(threshold float64, minCount int64) {
	d.threshold, d.minCount = strange(threshold), float64(minCount)
}

func (d *value) bind(find finder) (err error) {
	d.column, err = find("metric", d.metric, columns.Int64, columns.Double, columns.Decimal)
	return err
}

func (d *value) observe(row *row) (Verdict, bool) {
	x, ok := number(&row.table.Columns[d.column], row.row)
	if !ok {
		d.unusable++
		return Verdict{}, false
	}
	late := d.clock.late(row.at, d.windowMs)
	s := d.get(row.key, late)
	if s == nil {
		return Verdict{Warming: true, Value: x}, true
	}
	strangeness := s.strangeness(x)
	v := Verdict{
		Score: score(strangeness), Value: x, Expected: s.mean, Lower: s.plain.lo, Upper: s.plain.hi, Samples: int64(s.n),
		Warming: s.n < max(d.minCount, firstValues),
	}
	v.Abnormal = strangeness >= d.threshold && !v.Warming
	if v.Warming {
		v.Score = 0
	}
	if !late {
		s.learn(x, d.share)
	}
	return v, true
}

// strangeness tells by how many widths a value lies outside of those before it, as they are and by their logarithms: of
// what is farther from 0 the lesser counts, since many quantities have a long tail there, of what is nearer the greater.
func (s *values1) strangeness(x float64) float64 {
	plain := math.Abs(s.plain.excess(x, s.plainFloor()))
	if lo, hi := s.plain.lo, s.plain.hi; lo > 0 || hi < 0 {
		binary := s.binary.excess(s.binaryOf(x), binaryFloor)
		if binary < 0 {
			plain = max(plain, -binary)
		} else {
			plain = min(plain, binary)
		}
	}
	return float64(plain * (s.n / (s.n + valueDamping)))
}

func (s *values1) plainFloor() float64 { return least + float64(plainFloor*s.scale) }

// binaryOf is the logarithm of a value's size to the base of 2, straight between powers of it. A value without the sign
// of the others is nearer to 0 than any that has it.
func (s *values1) binaryOf(x float64) float64 {
	if x == 0 || (x < 0) != (s.plain.hi < 0) {
		return logOfNothing
	}
	mantissa, exponent := math.Frexp(math.Abs(x))
	return max(float64(exponent)+2*mantissa-2, logOfNothing)
}

// learn takes a value in. The first ones only wait, and are taken in together.
func (s *values1) learn(x, share float64) {
	s.n++
	if s.n <= firstValues {
		s.first[int(s.n)-1] = x
		if s.n == firstValues {
			s.begin()
		}
		return
	}
	width := s.plain.hi - s.plain.lo + s.plainFloor()
	clipped := min(max(x, s.plain.lo-width), s.plain.hi+width)
	share = max(share, 1/s.n)
	s.mean, s.scale = toward(s.mean, share, clipped), toward(s.scale, share, math.Abs(clipped))
	s.plain.learn(x, s.plainFloor(), isolated)
	if s.plain.lo > 0 || s.plain.hi < 0 {
		s.binary.learn(s.binaryOf(x), binaryFloor, isolated)
	}
}

// begin makes a range of the first values: without the greatest or the least as long as it lies by more than three widths outside of the
// others, and three in four are left; or else one wrong value among the first would hide those that follow.
func (s *values1) begin() {
	known := s.first[:]
	slices.Sort(known)
	for len(known) > firstValues*3/4 {
		last := len(known) - 1
		s.scale = math.Abs(known[len(known)/2])
		low := envelope{lo: known[1], hi: known[last], n: 1}
		high := envelope{lo: known[0], hi: known[last-1], n: 1}
		below, above := -low.excess(known[0], s.plainFloor()), high.excess(known[last], s.plainFloor())
		if max(below, above) <= 3 {
			break
		}
		if below > above {
			known = known[1:]
		} else {
			known = known[:last]
		}
	}
	s.mean, s.scale = 0, 0
	for i, x := range known {
		s.mean, s.scale = toward(s.mean, 1/float64(i+1), x), toward(s.scale, 1/float64(i+1), math.Abs(x))
	}
	s.plain = envelope{lo: known[0], hi: known[len(known)-1], n: s.n}
	for _, x := range known {
		s.binary.learn(s.binaryOf(x), binaryFloor, isolated)
	}
}

func (s *values1) numbers(f func(*float64)) {
	for _, v := range []*float64{&s.n, &s.mean, &s.scale} {
		f(v)
	}
	for i := range s.first {
		f(&s.first[i])
	}
	s.plain.numbers(f)
	s.binary.numbers(f)
}

// readState refuses a number of values that is none: it is an index until there are firstValues.
func (d *value) readState(state []byte) error {
	if err := d.keyed.readState(state); err != nil {
		return err
	}
	for i := range d.members {
		if n := d.members[i].state.n; n < 0 || n != math.Trunc(n) {
			return errDamaged
		}
	}
	return nil
}

func (d *value) merge(from kind) {
	d.take(&from.(*value).keyed, func(a, b *values1) bool { return a.n > b.n })
}

func (d *value) appendReason(dst []byte, about *subject, v *Verdict) []byte {
	if len(about.text) > 0 {
		dst = append(about.append(dst, ""), ": "...)
	}
	return fmt.Appendf(dst, "%s is %s; the %d before it lay between %.4g and %.4g, and were %.4g on average",
		d.metric, plainNumber(v.Value), v.Samples, v.Lower, v.Upper, v.Expected)
}

// number is a row's value in a column, where it is one that can be reckoned with.
func number(c *columns.Column, row int) (x float64, ok bool) {
	if !c.Valid[row] {
		return 0, false
	}
	switch c.Type {
	case columns.Int64:
		return float64(c.Ints[row]), true
	case columns.Decimal:
		return c.DecimalAt(row), true
	case columns.Double:
		x = c.Doubles[row]
		return x, math.Abs(x) <= greatest // also false of what is not a number
	}
	return 0, false
}
