package anomaly

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"
	"strconv"

	"github.com/sluice-etl/sluice/internal/columns"
)

// distinct is a detector of the kind distinct; see the package's comment.
type distinct struct {
	*windows[values, *values]
	metric string
	column int
	text   []byte
}

func newDistinct(s Settings) *distinct {
	return &distinct{windows: newWindows[values](s, kindDistinct), metric: s.Metric}
}

func (d *distinct) bind(find finder) (err error) {
	d.column, err = find("metric", d.metric)
	return err
}

// observe counts a row's value. A null is no value.
func (d *distinct) observe(row *row) (Verdict, bool) {
	c := &row.table.Columns[d.column]
	if !c.Valid[row.row] {
		return Verdict{}, false
	}
	switch c.Type {
	case columns.String:
		return d.count(row.key, hash(c.TextAt(row.row)), row.at), true
	case columns.Double: // to write it out takes longer than all else; -0 is 0
		d.text = binary.LittleEndian.AppendUint64(d.text[:0], math.Float64bits(c.Doubles[row.row]+0))
	default:
		d.text = c.AppendValue(d.text[:0], row.row)
	}
	return d.count(row.key, hash(d.text), row.at), true
}

func (d *distinct) merge(from kind) { d.windows.merge(from.(*distinct).windows) }

func (d *distinct) appendReason(dst []byte, about *subject, v *Verdict) []byte {
	dst = about.append(dst, "this")
	dst = append(dst, " came with "...)
	dst = strconv.AppendUint(dst, uint64(v.Count), 10)
	dst = append(append(dst, " different values of "...), d.metric...)
	dst = append(append(dst, " in "...), d.window.String()...)
	return d.appendUsual(dst, about, v, "came with", "of them")
}

// hash is FNV-1a (Fowler, Noll, Vo) of 64 bits, of which multiplications and shifts then spread every bit over all others: the finishing
// step of MurmurHash3 (Appleby). It has no secret: whoever chooses the values can choose some that collide, and so be
// counted for fewer than they are.
func hash[B []byte | string](b B) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(b) {
		h = (h ^ uint64(b[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

const (
	fewValues = 64 // so many are kept exactly
	registers = 64 // of a sketch; a power of two
)

// values are the distinct values of one key in a rolling window: while they are few, their hashes, each with the newest
// slot in which it came; then, for each slot, a HyperLogLog sketch (Flajolet, Fusy, Gandouet, Meunier 2007) of 64
// registers, whose relative error is about 1.04/√64 = 13%. Of sketches the union is exact, so that neither the window's moving nor a merge adds to
// the error. Either takes at most 640 bytes.
type values struct {
	few    []uint64 // the upper 56 bits of a hash, and the slot
	many   *[slots][registers]uint8
	number uint32
}

func (v *values) add(slot int, hash uint64) uint32 {
	if v.many == nil {
		value := hash&^0xff | uint64(slot)
		for i, known := range v.few {
			if known&^0xff == value&^0xff {
				v.few[i] = value
				return v.number
			}
		}
		if len(v.few) < fewValues {
			v.few = append(v.few, value)
			v.number = uint32(len(v.few))
			return v.number
		}
		v.spread()
	}
	r, rank := place(hash)
	if v.many[slot][r] >= rank {
		return v.number
	}
	before := v.highest(r)
	v.many[slot][r] = rank
	if rank > before {
		v.number = v.estimate()
	}
	return v.number
}

// preview does without the value: a late record's value is not looked up.
func (v *values) preview(uint64) uint32 { return max(v.number, 1) }

func (v *values) expire(slot int) uint32 {
	if v.many != nil {
		v.many[slot] = [registers]uint8{}
		if *v.many == ([slots][registers]uint8{}) {
			*v = values{}
			return 0
		}
		v.number = v.estimate()
		return v.number
	}
	v.few = slices.DeleteFunc(v.few, func(value uint64) bool { return int(value&0xff) == slot })
	v.number = uint32(len(v.few))
	return v.number
}

// spread makes a sketch of the exact values.
func (v *values) spread() {
	v.many = new([slots][registers]uint8)
	for _, value := range v.few {
		r, rank := place(value)
		slot := value & 0xff
		v.many[slot][r] = max(v.many[slot][r], rank)
	}
	v.few = nil
	v.number = v.estimate()
}

// place is a hash's register, and the rank of its first bit that is set after those that choose the register.
func place(hash uint64) (register int, rank uint8) {
	return int(hash >> 58), uint8(min(bits.LeadingZeros64(hash<<6), 49) + 1)
}

func (v *values) highest(r int) (rank uint8) {
	for s := range v.many {
		rank = max(rank, v.many[s][r])
	}
	return rank
}

// estimate counts by the union of all slots: by the harmonic mean of the registers, and where many of them are empty by
// how many are (linear counting).
func (v *values) estimate() uint32 {
	sum, empty := 0.0, 0
	for r := range registers {
		rank := v.highest(r)
		sum += math.Ldexp(1, -int(rank))
		if rank == 0 {
			empty++
		}
	}
	const alpha = 0.709 // the paper's, for 64 registers
	n := float64(alpha * registers * registers / sum)
	if n <= 2.5*registers && empty > 0 {
		n = float64(registers*math.Ln2) * log2(float64(registers)/float64(empty))
	}
	return uint32(n + 0.5)
}

func (v *values) join(other tally) uint32 {
	o := other.(*values)
	if o.many == nil {
		for _, value := range o.few {
			v.join1(value)
		}
		return v.number
	}
	if v.many == nil {
		v.spread()
	}
	for s := range o.many {
		for r, rank := range o.many[s] {
			v.many[s][r] = max(v.many[s][r], rank)
		}
	}
	v.number = v.estimate()
	return v.number
}

// join1 adds one exact value; of a value that is known the newer slot would count, which a ring does not tell: both
// windows end at the same slot, and the other's is taken.
func (v *values) join1(value uint64) { v.add(int(value&0xff), value) }

func (v *values) move(place func(int) int) uint32 {
	var moved values
	if v.many == nil {
		for _, value := range v.few {
			if to := place(int(value & 0xff)); to >= 0 {
				moved.add(to, value)
			}
		}
		*v = moved
		return v.number
	}
	moved.many = new([slots][registers]uint8)
	for s := range v.many {
		if to := place(s); to >= 0 {
			for r, rank := range v.many[s] {
				moved.many[to][r] = max(moved.many[to][r], rank)
			}
		}
	}
	*v = moved
	v.number = v.estimate()
	return v.number
}

// appendTo writes the number of exact values and these, or 255 and the sketch's registers.
func (v *values) appendTo(dst []byte) []byte {
	if v.many != nil {
		dst = append(dst, 255)
		for s := range v.many {
			dst = append(dst, v.many[s][:]...)
		}
		return dst
	}
	dst = append(dst, byte(len(v.few)))
	for _, value := range v.few {
		dst = binary.LittleEndian.AppendUint64(dst, value)
	}
	return dst
}

func (v *values) readFrom(in *reader) uint32 {
	first := in.take(1)
	if in.failed {
		return 0
	}
	if first[0] == 255 {
		v.many = new([slots][registers]uint8)
		for s := range v.many {
			copy(v.many[s][:], in.take(registers))
		}
		v.number = v.estimate()
		return v.number
	}
	if first[0] > fewValues {
		in.failed = true
		return 0
	}
	for range first[0] {
		value := in.uint64()
		in.failed = in.failed || value&0xff >= slots
		v.few = append(v.few, value)
	}
	v.number = uint32(len(v.few))
	return v.number
}
