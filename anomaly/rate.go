package anomaly

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
)

// rate is a detector of the kind rate; see the package's comment.
type rate struct {
	*windows[occurrences, *occurrences]
}

// kindRate and its like number the kinds in states: a state of another kind is refused.
const (
	kindRate     = 0
	kindValue    = 16
	kindSeries   = 32
	kindDistinct = 48
	kindRule     = 64
)

func newRate(s Settings) *rate { return &rate{newWindows[occurrences](s, kindRate)} }

func (r *rate) bind(finder) error { return nil }

func (r *rate) observe(row *row) (Verdict, bool) { return r.count(row.key, 0, row.at), true }

func (r *rate) merge(from kind) { r.windows.merge(from.(*rate).windows) }

func (r *rate) appendReason(dst []byte, about *subject, v *Verdict) []byte {
	dst = about.append(dst, "this")
	dst = append(dst, " came "...)
	dst = strconv.AppendUint(dst, uint64(v.Count), 10)
	dst = append(dst, " times in "...)
	dst = append(dst, r.window.String()...)
	return r.appendUsual(dst, about, v, "came", "times")
}

// appendUsual tells what a count was compared with.
func (w *windows[T, P]) appendUsual(dst []byte, about *subject, v *Verdict, verb, noun string) []byte {
	if v.Own {
		return fmt.Appendf(dst, "; in %d windows before it %s %.3g %s on average", v.Samples, verb, v.Expected, noun)
	}
	if w.view != nil {
		percent, others, most := w.view.ordinary(v.Count)
		return fmt.Appendf(dst, " over all shards; %v%% of the other %d values of %s %s at most %d %s", percent, w.view.standsFor(others), about.columns, verb, most, noun)
	}
	percent, others, most := w.ordinary(v.Count)
	return fmt.Appendf(dst, "; %v%% of the other %d values of %s %s at most %d %s", percent, others, about.columns, verb, most, noun)
}

// occurrences counts a key's records by slot. It and the key's past take 56 bytes beside the key's name.
type occurrences [slots]uint32

func (o *occurrences) add(slot int, _ uint64) uint32 {
	n := o.total()
	if n < math.MaxUint32 {
		o[slot]++
		n++
	}
	return n
}

func (o *occurrences) preview(uint64) uint32 { return uint32(min(uint64(o.total())+1, math.MaxUint32)) }

func (o *occurrences) expire(slot int) uint32 {
	o[slot] = 0
	return o.total()
}

func (o *occurrences) total() (n uint32) {
	for _, c := range o {
		n += c
	}
	return n
}

func (o *occurrences) join(other tally) uint32 {
	for slot, c := range other.(*occurrences) {
		o[slot] += min(c, math.MaxUint32-o.total())
	}
	return o.total()
}

func (o *occurrences) move(place func(int) int) uint32 {
	var moved occurrences
	for slot, c := range o {
		if to := place(slot); to >= 0 {
			moved[to] += c
		}
	}
	*o = moved
	return o.total()
}

func (o *occurrences) appendTo(dst []byte) []byte {
	for _, n := range o {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	return dst
}

func (o *occurrences) readFrom(in *reader) uint32 {
	total := uint64(0)
	for s := range o {
		n := in.uvarint()
		total += min(n, math.MaxUint32)
		o[s] = uint32(n)
	}
	in.failed = in.failed || total > math.MaxUint32
	return uint32(total)
}
