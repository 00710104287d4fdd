package check

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
)

// sequence is a Kinesis sequence number: an integer below 2^192, the most significant word first.
type sequence [3]uint64

// parseSequence reads a sequence number of decimal digits, without leading zeros, so that equal numbers are equal texts.
func parseSequence(text string) (sequence, error) {
	var s sequence
	if text == "" || len(text) > 57 || text[0] == '0' && text != "0" {
		return s, fmt.Errorf("%q is no sequence number", text)
	}
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return s, fmt.Errorf("%q is no sequence number", text)
		}
		carry := uint64(c - '0')
		for i := len(s) - 1; i >= 0; i-- {
			high, low := bits.Mul64(s[i], 10)
			var over uint64
			s[i], over = bits.Add64(low, carry, 0)
			carry = high + over
		}
	}
	return s, nil
}

func (s sequence) compare(o sequence) int { return slices.Compare(s[:], o[:]) }

// position is a row's place in its shard.
type position struct {
	seq sequence
	sub int32
}

func (p position) compare(o position) int {
	return cmp.Or(p.seq.compare(o.seq), cmp.Compare(p.sub, o.sub))
}

// identity is what tells a record of the stream from all others.
type identity struct {
	position
	shard int32 // number of its name
}

// names gives each distinct text a number: identities stay small, and have no pointers.
type names struct {
	numbers map[string]int32
	texts   []string
}

func (n *names) number(text string) int32 {
	i, ok := n.numbers[text]
	if !ok {
		if n.numbers == nil {
			n.numbers = map[string]int32{}
		}
		i = int32(len(n.texts))
		n.numbers[text] = i
		n.texts = append(n.texts, text)
	}
	return i
}

// find is the number of a text that is known, or none.
func (n *names) find(text string) int32 {
	if i, ok := n.numbers[text]; ok {
		return i
	}
	return none
}
