package kdg

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"strconv"
	"time"
)

// plain is a function without arguments.
func plain(g generator) builder {
	return func(c *call) (generator, error) { return g, c.most(0) }
}

// pick is a function without arguments that gives one of some words.
func pick(words ...string) builder { return plain(either(words...)) }

func either(words ...string) generator {
	return func(dst []byte, r *rand.Rand, _ time.Time) []byte {
		return append(dst, words[r.IntN(len(words))]...)
	}
}

// uuid is a random UUID, version 4 of RFC 9562.
func uuid(dst []byte, r *rand.Rand, _ time.Time) []byte {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], r.Uint64())
	binary.BigEndian.PutUint64(b[8:], r.Uint64())
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	for i, end := range [...]int{4, 6, 8, 10, 16} {
		start := [...]int{0, 4, 6, 8, 10}[i]
		if start > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, b[start:end])
	}
	return dst
}

// characters is a function that gives some characters of an alphabet; its argument says how many.
func characters(alphabet string, otherwise int) builder {
	return func(c *call) (generator, error) {
		n, err := c.count(otherwise)
		return func(dst []byte, r *rand.Rand, _ time.Time) []byte {
			for range n {
				dst = append(dst, alphabet[r.IntN(len(alphabet))])
			}
			return dst
		}, err
	}
}

// elements gives the texts of a list's values: strings as they are, everything else as it is written.
func (c *call) elements(list value) ([]string, error) {
	if len(list.items) == 0 {
		return nil, faultAt(list.at, "%s has nothing to choose from", c.name)
	}
	texts := make([]string, len(list.items))
	for i, item := range list.items {
		texts[i] = oneLine.Replace(item.text)
	}
	return texts, nil
}

func arrayElement(c *call) (generator, error) {
	list, err := c.only(listKind, `["OK","FAIL"]`)
	if err != nil {
		return nil, err
	}
	texts, err := c.elements(list)
	return either(texts...), err
}

// objectElement gives one of an object's values.
func objectElement(c *call) (generator, error) {
	object, err := c.only(objectKind, `{"a":"OK","b":"FAIL"}`)
	if err != nil {
		return nil, err
	}
	list := value{at: object.at}
	for _, m := range object.members {
		list.items = append(list.items, m.value)
	}
	texts, err := c.elements(list)
	return either(texts...), err
}

func weightedArrayElement(c *call) (generator, error) {
	const example = `{"weights":[0.9,0.1],"data":["OK","FAIL"]}`
	object, err := c.only(objectKind, example)
	if err != nil {
		return nil, err
	}
	v, err := c.named("weights", "data")
	if err != nil {
		return nil, err
	}
	weights, data := v[0], v[1]
	if weights.kind != listKind || data.kind != listKind {
		return nil, faultAt(object.at, "%s takes an argument such as %s", c.name, example)
	}
	texts, err := c.elements(data)
	if err != nil {
		return nil, err
	}
	if len(weights.items) != len(texts) {
		return nil, faultAt(weights.at, "%s has %d weights for %d elements", c.name, len(weights.items), len(texts))
	}
	var heaviest, sum float64
	for _, w := range weights.items {
		if w.kind != numberKind || w.number < 0 {
			return nil, faultAt(w.at, "a weight is a number from 0 upwards, not %s", describe(w))
		}
		heaviest = max(heaviest, w.number)
	}
	if heaviest == 0 {
		return nil, faultAt(weights.at, "at least one weight must be above 0")
	}
	for _, w := range weights.items {
		sum += w.number / heaviest // so that no sum of weights overflows
	}
	return weighted(texts, weights.items, heaviest, sum), nil
}

// weighted cuts the range of a random 64-bit number in proportion to the weights.
func weighted(texts []string, weights []value, heaviest, sum float64) generator {
	type slice struct {
		text string
		end  uint64 // exclusive
	}
	var slices []slice
	var upTo float64
	for i, w := range weights {
		if w.number == 0 {
			continue
		}
		upTo += w.number / heaviest
		end := uint64(math.MaxUint64)
		if share := upTo / sum; share < 1 {
			end = uint64(share * (1 << 64))
		}
		slices = append(slices, slice{texts[i], end})
	}
	return func(dst []byte, r *rand.Rand, _ time.Time) []byte {
		n, last := r.Uint64(), len(slices)-1
		for i := range last {
			if n < slices[i].end {
				return append(dst, slices[i].text...)
			}
		}
		return append(dst, slices[last].text...)
	}
}

func ipv4(dst []byte, r *rand.Rand, _ time.Time) []byte {
	n := r.Uint32()
	for shift := 24; shift >= 0; shift -= 8 {
		dst = strconv.AppendUint(dst, uint64(n>>shift&0xff), 10)
		if shift > 0 {
			dst = append(dst, '.')
		}
	}
	return dst
}

// ipv6 writes all eight groups with all their digits, as faker.js does.
func ipv6(dst []byte, r *rand.Rand, _ time.Time) []byte {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], r.Uint64())
	binary.BigEndian.PutUint64(b[8:], r.Uint64())
	for i := 0; i < len(b); i += 2 {
		if i > 0 {
			dst = append(dst, ':')
		}
		dst = hex.AppendEncode(dst, b[i:i+2])
	}
	return dst
}

func mac(dst []byte, r *rand.Rand, _ time.Time) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], r.Uint64())
	for i := range 6 {
		if i > 0 {
			dst = append(dst, ':')
		}
		dst = hex.AppendEncode(dst, b[i:i+1])
	}
	return dst
}

func webColor(dst []byte, r *rand.Rand, _ time.Time) []byte {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], r.Uint32())
	return hex.AppendEncode(append(dst, '#'), b[:3])
}
