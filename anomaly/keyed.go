package anomaly

import (
	"fmt"
	"math"
)

// keyed holds a state for each key, at most so many; of a state it must be known only of which numbers it consists.
type keyed[S any, P interface {
	*S
	numbers(func(*float64))
}] struct {
	kind, version uint64 // of states
	limit         int
	members       []member[S]
	index         map[string]int32
	hand          int // where the next member to evict is looked for
	evicted       uint64
	clock         clock
}

type member[S any] struct {
	key   string
	uses  uint16 // halved when it is spared
	state S
}

// clock is the newest time that was seen, in milliseconds since 1970.
type clock struct {
	now    int64
	begun  bool
	behind uint64 // late records in a row
}

// late tells whether a time is more than a window older than the newest. If nothing else comes for long, the clock was set back.
func (c *clock) late(at, window int64) bool {
	if c.begun && at < c.now-window {
		if c.behind++; c.behind < patience {
			return true
		}
		c.now = at
	}
	if !c.begun || at > c.now {
		c.now = at
	}
	c.begun, c.behind = true, 0
	return false
}

// join takes over another clock that is ahead.
func (c *clock) join(from clock) {
	if from.begun && (!c.begun || from.now > c.now) {
		*c = from
	}
}

func (c *clock) appendState(dst []byte) []byte {
	begun := uint64(0)
	if c.begun {
		begun = 1
	}
	return appendUvarint(appendVarint(appendUvarint(dst, begun), c.now), c.behind)
}

func (c *clock) readState(in *reader) {
	c.begun = in.uvarint() == 1
	c.now, c.behind = in.varint(), in.uvarint()
}

func newKeyed[S any, P interface {
	*S
	numbers(func(*float64))
}](kind uint64, limit int) keyed[S, P] {
	return keyed[S, P]{kind: kind, version: 1, limit: limit, index: map[string]int32{}}
}

// get finds a key's state, and makes it where there is none, unless only known ones are asked for. A new one may take the place of another:
// of the least used of the next few, whose uses count half from then on.
func (k *keyed[S, P]) get(key []byte, known bool) P {
	i, found := k.index[string(key)]
	switch {
	case found:
	case known:
		return nil
	case len(k.members) < k.limit:
		i = int32(len(k.members))
		k.members = append(k.members, member[S]{key: string(key)})
		k.index[string(key)] = i
	default:
		i = k.evict()
		k.members[i] = member[S]{key: string(key)}
		k.index[string(key)] = i
	}
	m := &k.members[i]
	if !known {
		m.uses += min(1, math.MaxUint16-m.uses)
	}
	return &m.state
}

func (k *keyed[S, P]) evict() (free int32) {
	least := k.hand % len(k.members)
	next := min(evictAmong, len(k.members))
	for n := range next {
		if i := (k.hand + n) % len(k.members); k.members[i].uses < k.members[least].uses {
			least = i
		}
	}
	for n := range next {
		k.members[(k.hand+n)%len(k.members)].uses /= 2
	}
	k.hand = (k.hand + evictAmong) % len(k.members)
	k.evicted++
	delete(k.index, k.members[least].key)
	return int32(least)
}

func (k *keyed[S, P]) size() (keys int, evictions uint64) { return len(k.members), k.evicted }

// The state is: the kind's number and version, the clock, hand, the number of keys, and for each its name, its uses and its
// numbers, 8 bytes each.
func (k *keyed[S, P]) appendState(dst []byte) []byte {
	dst = appendUvarint(dst, k.kind+k.version)
	dst = k.clock.appendState(dst)
	dst = appendUvarint(appendUvarint(dst, uint64(k.hand)), uint64(len(k.members)))
	for i := range k.members {
		m := &k.members[i]
		dst = appendUvarint(appendBytes(dst, []byte(m.key)), uint64(m.uses))
		P(&m.state).numbers(func(v *float64) { dst = appendFloat(dst, *v) })
	}
	return dst
}

// readState fills a new detector. Keys beyond the limit, which may have been lowered, are evicted.
func (k *keyed[S, P]) readState(state []byte) error {
	in := reader{rest: state}
	if version := in.uvarint(); version != k.kind+k.version {
		return fmt.Errorf("its state is of another kind or version (%d)", version)
	}
	k.clock.readState(&in)
	hand, keys := in.uvarint(), in.uvarint()
	if in.failed || keys > uint64(len(in.rest)) {
		return errDamaged
	}
	for range keys {
		key, uses := in.bytes(), in.uvarint()
		if _, twice := k.index[string(key)]; in.failed || twice {
			return errDamaged
		}
		s := k.get(key, false)
		k.members[k.index[string(key)]].uses = uint16(min(uses, math.MaxUint16))
		s.numbers(func(v *float64) {
			*v = in.float()
			in.failed = in.failed || math.IsNaN(*v) || math.IsInf(*v, 0)
		})
		if in.failed {
			return errDamaged
		}
	}
	if len(in.rest) > 0 {
		return errDamaged
	}
	k.evicted = 0
	if len(k.members) > 0 {
		k.hand = int(hand % uint64(len(k.members)))
	}
	return nil
}

// take adds what another of the same kind knows; of a key that both know the better known state is kept.
func (k *keyed[S, P]) take(from *keyed[S, P], better func(a, b P) bool) {
	for i := range from.members {
		m := &from.members[i]
		if s := k.get([]byte(m.key), false); better(&m.state, s) {
			*s = m.state
		}
		j := k.index[m.key]
		k.members[j].uses = max(k.members[j].uses, m.uses)
	}
	k.clock.join(from.clock)
}
