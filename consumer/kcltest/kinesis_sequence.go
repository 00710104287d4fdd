package kcltest

import (
	"math/big"
	"math/bits"
)

// A sequence number orders the records of one shard. Kinesis does not document how it is made, but it is known to be a 186-bit integer of 56
// decimal digits, and that is what consumers parse, pad and compare. Its bits, from the most significant:
//
//	2   always 10
//	36  second in which the shard was created: a child's numbers are larger than its parents'
//	4   low bits of the shard's index
//	64  position in the shard
//	8   zero
//	36  second of arrival
//	32  shard's index
//	4   version, always 2
type sequence struct{ high, mid, low uint64 }

const sequenceVersion = 2

// lastPosition is the position in the ending sequence number of a closed shard: no record reaches it.
const lastPosition = 1<<63 - 1

// sequenceAt makes the sequence number of a position in a shard, for a second of arrival.
func sequenceAt(created int64, index uint32, position uint64, second int64) sequence {
	return sequence{
		high: 2<<56 | uint64(created)&(1<<36-1)<<20 | uint64(index&0xf)<<16 | position>>48,
		mid:  position<<16 | uint64(second)>>28&0xff,
		low:  uint64(second)<<36 | uint64(index)<<4 | sequenceVersion,
	}
}

func (s sequence) created() int64   { return int64(s.high >> 20 & (1<<36 - 1)) }
func (s sequence) index() uint32    { return uint32(s.low >> 4) }
func (s sequence) position() uint64 { return s.high<<48 | s.mid>>16 }

// append appends the decimal digits. They are made here rather than by math/big because every record written needs them.
func (s sequence) append(dst []byte) []byte {
	const base = 1e19 // the largest power of ten in 64 bits
	var digits [57]byte
	high, mid, low := s.high, s.mid, s.low
	for end := len(digits); end > 0; end -= 19 {
		var r uint64
		high, r = bits.Div64(0, high, base)
		mid, r = bits.Div64(r, mid, base)
		low, r = bits.Div64(r, low, base)
		for i := end - 1; i >= end-19; i-- {
			digits[i] = byte('0' + r%10)
			r /= 10
		}
	}
	return append(dst, digits[1:]...) // below 2^186 there are 56 digits
}

func (s sequence) String() string { return string(s.append(nil)) }

// parseSequence reads what append wrote; ok is false where the text is no sequence number.
func parseSequence(text string) (s sequence, ok bool) {
	n, ok := new(big.Int).SetString(text, 10)
	if !ok || n.BitLen() != 186 || len(text) != 56 {
		return sequence{}, false
	}
	var b [24]byte
	n.FillBytes(b[:])
	word := func(b []byte) (w uint64) {
		for _, c := range b[:8] {
			w = w<<8 | uint64(c)
		}
		return w
	}
	s = sequence{word(b[:]), word(b[8:]), word(b[16:])}
	return s, s.high>>56 == 2 && s.low&0xf == sequenceVersion
}
