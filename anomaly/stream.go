package anomaly

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// summaryBytes bounds each half of a summary, the sample and the busiest keys. Of the kind rate a key takes 18 bytes and more, of distinct
// 17 to 649.
const summaryBytes = 16 << 10

// summaryVersion is beside the kind's number in a summary.
const summaryVersion = 1

// sharer is a kind that can judge by what all shards have counted. See the section Scope of the package's comment.
type sharer interface {
	// appendSummary tells the other shards what this one has counted.
	appendSummary(dst []byte) []byte
	// setPeers takes what others told in the place of what they told before. It uses those that it can, and tells of the others.
	setPeers(summaries [][]byte) error
	// look puts the view together again of what the others told, and of what was counted here. It decides nothing else.
	look()
	// appendPeers saves what the others told, and readPeers takes it over; nothing is saved where nothing was told.
	appendPeers(dst []byte) []byte
	readPeers(state []byte) error
	// inherit takes what was counted here for counted by another shard.
	inherit()
}

// counted is a key's window, by the hash of the key's name.
type counted[T any] struct {
	key   uint64
	tally T
	total uint32
}

// summary is what shards count in the window of a detector: of every key whose hash is below a bound, and of the busiest
// others. Those below the bound are a sample of all keys which is the same in each shard, so that what shards count of them can be added
// up, and shows how often keys come in the stream (coordinated samples: Cohen and Kaplan 2007). It is not changed once it is made.
type summary[T any, P interface {
	*T
	tally
}] struct {
	window time.Duration
	now    int64        // the newest slot
	below  uint64       // the bound; 2^64-1: there are no other keys
	keys   []counted[T] // ascending
}

// summarize tells what was counted here.
func (w *windows[T, P]) summarize() *summary[T, P] {
	s := &summary[T, P]{window: w.window, now: w.now, below: math.MaxUint64}
	for i := range w.entries {
		if e := &w.entries[i]; e.total > 0 {
			s.keys = append(s.keys, counted[T]{hash(e.key), e.tally, e.total})
		}
	}
	s.trim()
	return s
}

// trim puts the keys in order, and drops what is too much.
func (s *summary[T, P]) trim() {
	byKey := func(a, b counted[T]) int { return cmp.Compare(a.key, b.key) }
	slices.SortFunc(s.keys, byKey)
	s.keys = slices.CompactFunc(s.keys, func(a, b counted[T]) bool { return a.key == b.key }) // of 64 bits: hardly ever
	var scratch []byte
	fitting := func(keys []counted[T]) (n int) {
		for room := summaryBytes; n < len(keys); n++ {
			scratch = P(&keys[n].tally).appendTo(scratch[:0])
			if room -= 8 + len(scratch); room < 0 {
				break
			}
		}
		return n
	}
	sampled, _ := slices.BinarySearchFunc(s.keys, s.below, func(c counted[T], below uint64) int { return cmp.Compare(c.key, below) })
	if n := fitting(s.keys[:sampled]); n < sampled {
		sampled, s.below = n, s.keys[n].key
	}
	others := s.keys[sampled:]
	slices.SortFunc(others, func(a, b counted[T]) int {
		return cmp.Or(cmp.Compare(b.total, a.total), cmp.Compare(a.key, b.key))
	})
	others = others[:fitting(others)]
	slices.SortFunc(others, byKey)
	s.keys = s.keys[:sampled+len(others)]
}

// join adds summaries up. Of a key that is not in all of them, what the others counted is not known, and missing.
func join[T any, P interface {
	*T
	tally
}](all []*summary[T, P]) *summary[T, P] {
	sum := &summary[T, P]{window: all[0].window, below: math.MaxUint64}
	for _, s := range all {
		sum.now, sum.below = max(sum.now, s.now), min(sum.below, s.below)
	}
	index := map[uint64]int{}
	for _, s := range all {
		place := placing(s.now, sum.now)
		for _, c := range s.keys {
			if c.total = P(&c.tally).move(place); c.total == 0 {
				continue
			}
			if at, known := index[c.key]; known {
				sum.keys[at].total = P(&sum.keys[at].tally).join(P(&c.tally))
			} else {
				index[c.key] = len(sum.keys)
				sum.keys = append(sum.keys, c)
			}
		}
	}
	sum.trim()
	return sum
}

// placing gives the slots of a window that ends with one slot their places in a window that ends with another. What is newer than that
// counts in its newest slot.
func placing(from, to int64) func(place int) int {
	return func(r int) int {
		slot := min(from-int64(ring(from-int64(r))), to)
		if slot <= to-slots {
			return -1
		}
		return ring(slot)
	}
}

// A summary is: the kind's number and version, window (ns), newest slot, bound (8 bytes), the number of keys, and for each: its hash
// (8 bytes) and its tally.
func (s *summary[T, P]) appendTo(dst []byte, kind uint64) []byte {
	dst = appendVarint(appendVarint(appendUvarint(dst, kind+summaryVersion), int64(s.window)), s.now)
	dst = appendUvarint(binary.LittleEndian.AppendUint64(dst, s.below), uint64(len(s.keys)))
	for i := range s.keys {
		dst = binary.LittleEndian.AppendUint64(dst, s.keys[i].key)
		dst = P(&s.keys[i].tally).appendTo(dst)
	}
	return dst
}

var errDamagedSummary = errors.New("a summary of another shard is damaged")

func (w *windows[T, P]) readSummary(text []byte) (*summary[T, P], error) {
	in := reader{rest: text}
	if version := in.uvarint(); version != w.kind+summaryVersion {
		return nil, fmt.Errorf("a summary of another shard is of another kind or version (%d)", version)
	}
	s := &summary[T, P]{window: time.Duration(in.varint()), now: in.varint(), below: in.uint64()}
	for keys := in.uvarint(); keys > 0 && !in.failed; keys-- {
		c := counted[T]{key: in.uint64()}
		c.total = P(&c.tally).readFrom(&in)
		if n := len(s.keys); n > 0 && s.keys[n-1].key >= c.key {
			return nil, errDamagedSummary
		}
		s.keys = append(s.keys, c)
	}
	if in.failed || len(in.rest) > 0 {
		return nil, errDamagedSummary
	}
	return s, nil
}

func (w *windows[T, P]) appendSummary(dst []byte) []byte { return w.summarize().appendTo(dst, w.kind) }

func (w *windows[T, P]) setPeers(summaries [][]byte) error {
	var all []*summary[T, P]
	var errs []error
	for _, text := range summaries {
		s, err := w.readSummary(text)
		if err != nil {
			errs = append(errs, err)
		} else if s.window == w.window && w.meets(s) { // others take over another window with their next commits
			all = append(all, s)
		}
	}
	w.peers = nil
	if len(all) > 0 {
		w.peers = join(all)
	}
	w.look()
	return errors.Join(errs...)
}

// meets tells whether another's window has a slot in common with this one, or did before this one's clock began.
func (w *windows[T, P]) meets(s *summary[T, P]) bool {
	return w.now == 0 || s.now < w.now+slots && s.now > w.now-slots
}

func (w *windows[T, P]) appendPeers(dst []byte) []byte {
	if w.peers == nil {
		return dst
	}
	return w.peers.appendTo(dst, w.kind)
}

func (w *windows[T, P]) readPeers(state []byte) error {
	s, err := w.readSummary(state)
	if err == nil && s.window == w.window {
		w.peers = s
		w.look()
	}
	return err
}

func (w *windows[T, P]) inherit() {
	var all []*summary[T, P]
	if own := w.summarize(); len(own.keys) > 0 {
		all = append(all, own)
	}
	if w.peers != nil {
		all = append(all, w.peers)
	}
	if len(all) == 0 {
		return
	}
	w.peers = join(all)
	w.entries, w.index = nil, map[string]int32{}
	w.recount()
	w.refit()
	w.look()
}

// whole is what the stream's keys count: what the other shards told of them, and what was counted here since and before.
type whole[T any, P interface {
	*T
	tally
}] struct {
	population // of the keys below the bound
	below      uint64
	sample     int                    // so many of these were there at the last fit
	known      map[uint64]*counted[T] // the keys that others told of
}

func (w *windows[T, P]) look() {
	w.view = nil
	if w.peers == nil || w.now == 0 || !w.meets(w.peers) {
		return
	}
	v := &whole[T, P]{
		population: population{threshold: w.threshold, minCount: w.minCount, others: true},
		below:      w.peers.below, known: make(map[uint64]*counted[T], len(w.peers.keys)),
	}
	place := placing(w.peers.now, w.now)
	for _, c := range w.peers.keys {
		if c.total = P(&c.tally).move(place); c.total > 0 {
			v.known[c.key] = &c
		}
	}
	for i := range w.entries {
		e := &w.entries[i]
		if e.total == 0 {
			continue
		}
		key := hash(e.key)
		if c := v.known[key]; c != nil {
			c.total = P(&c.tally).join(P(&e.tally))
		} else if key < v.below {
			v.counts[bucket(e.total)]++
		}
	}
	for key, c := range v.known {
		if key < v.below {
			v.counts[bucket(c.total)]++
		}
	}
	if v.refit(); v.sample >= minKeys {
		w.view = v
	}
}

// refit derives from the counts of the sample what is usual among all keys.
func (v *whole[T, P]) refit() {
	v.unfitted = 0
	v.derive()
	v.sample = v.fit.keys
	v.fit.keys = v.standsFor(v.fit.keys)
	v.fit.tail *= v.share()
	v.fitted()
}

// share is how many of all keys there are for each of the sample.
func (v *whole[T, P]) share() float64 { return math.Ldexp(1, 64) / float64(v.below) }

func (v *whole[T, P]) standsFor(keys int) int { return int(math.Round(float64(keys) * v.share())) }

// count takes in a value of a key that counted so much before and after in this shard, and tells what it counts in the stream.
func (v *whole[T, P]) count(key uint64, slot int, value uint64, before, after uint32) uint32 {
	if c := v.known[key]; c != nil {
		before = c.total
		c.total = P(&c.tally).add(slot, value)
		after = c.total
	}
	if key < v.below {
		v.changed(before, after)
		if v.unfitted >= refitEvery && v.unfitted >= v.sample/8 {
			v.refit()
		}
	}
	return after
}

// preview is what count would tell of a key that would count so much in this shard.
func (v *whole[T, P]) preview(key, value uint64, here uint32) uint32 {
	if c := v.known[key]; c != nil {
		return P(&c.tally).preview(value)
	}
	return here
}

// evicted forgets a key that counted so much in this shard.
func (v *whole[T, P]) evicted(key uint64, here uint32) {
	if v.known[key] == nil && key < v.below && v.counts[bucket(here)] > 0 {
		v.counts[bucket(here)]--
	}
}
