package anomaly

import (
	"errors"
	"fmt"
	"math"
	"time"
)

const (
	slots       = 10 // of a window, which moves on by one at a time
	minKeys     = 10 // fewer say nothing of what is usual
	minWindows  = 3  // so many windows of its own make a past
	refitEvery  = 64 // observations, at least, and an eighth of the keys
	evictAmong  = 8
	patience    = 1000 // so many late records, and none in time between them, say that the clock has been set back
	latestState = 2    // the version of a state that is written, beside the kind's own number
)

// tally is what is counted of one key in a rolling window of so many slots; the slots are used in a ring.
type tally interface {
	// add takes in a value, of which the hash is given, and tells the count of the window.
	add(slot int, hash uint64) uint32
	// preview is what add would tell, without taking the value in.
	preview(hash uint64) uint32
	// expire forgets a slot, and tells what the rest counts.
	expire(slot int) uint32
	// join adds another's, slot by slot, and tells the count.
	join(other tally) uint32
	// move gives each slot another place, by a function that is negative for what is to be forgotten.
	move(place func(slot int) int) uint32
	appendTo(dst []byte) []byte
	readFrom(in *reader) uint32
}

// windows is a detector that counts something for each key in a rolling window, and compares the counts: of what is
// common to the kinds rate and distinct, the bookkeeping. See the package's comment.
type windows[T any, P interface {
	*T
	tally
}] struct {
	population
	kind    uint64 // its number in states
	maxKeys int
	slotMs  int64
	window  time.Duration

	now     int64  // the newest slot, as a number since 1970; 0: nothing was seen
	behind  uint64 // late records in a row
	past    uint16 // windows that have gone by, as a key would count them: a new one had none of them
	entries []entry[T]
	hand    int // where the next entry to evict is looked for
	evicted uint64
	index   map[string]int32 // into entries

	peers *summary[T, P] // what the other shards told last; nil: nothing
	view  *whole[T, P]   // made of it; nil: the keys of this shard are judged alone
}

// entry is a key.
type entry[T any] struct {
	key   string
	total uint32
	past  past
	tally T
}

func newWindows[T any, P interface {
	*T
	tally
}](s Settings, kind uint64) *windows[T, P] {
	w := &windows[T, P]{
		population: population{self: s.Baseline != Population, others: s.Baseline != Self},
		kind:       kind, maxKeys: s.MaxKeys, window: s.Window, slotMs: s.Window.Milliseconds() / slots, index: map[string]int32{},
	}
	w.tune(*s.Threshold, *s.MinCount)
	return w
}

// count takes in a record of a key, with the hash of what is counted, at a time in milliseconds since 1970, and judges it. A record that is older than the
// window is judged but not counted.
func (w *windows[T, P]) count(key []byte, value uint64, at int64) Verdict {
	slot := floorDiv(at, w.slotMs)
	late := w.now != 0 && slot <= w.now-slots
	if w.behind++; !late {
		w.behind = 0
	} else if w.behind >= patience {
		w.setBack(slot)
		late = false
	}
	if slot > w.now || w.now == 0 {
		w.advance(slot)
	}
	i, known := w.index[string(key)]
	if !known {
		if late {
			return Verdict{Warming: true, Count: 1}
		}
		i = w.insert(string(key))
	}
	e := &w.entries[i]
	if late { // as if it had come in the window
		n := P(&e.tally).preview(value)
		if w.view != nil {
			return w.view.judge(&e.past, w.view.preview(hash(key), value, n), len(w.entries))
		}
		return w.judge(&e.past, n, len(w.entries))
	}
	before := e.total
	e.total = P(&e.tally).add(ring(slot), value)
	w.changed(before, e.total)
	if w.unfitted >= refitEvery && w.unfitted >= len(w.entries)/8 {
		w.refit()
	}
	if w.view != nil {
		return w.view.judge(&e.past, w.view.count(hash(key), ring(slot), value, before, e.total), len(w.entries))
	}
	return w.judge(&e.past, e.total, len(w.entries))
}

// insert adds a key, and evicts one where there is no room.
func (w *windows[T, P]) insert(key string) int32 {
	if len(w.entries) >= w.maxKeys {
		w.evict()
	}
	i := int32(len(w.entries))
	w.entries = append(w.entries, entry[T]{key: key, past: past{windows: w.past}})
	w.index[key] = i
	return i
}

// evict drops the least frequent of the next few keys: one that comes often is worth more than one that came once.
func (w *windows[T, P]) evict() {
	least := w.hand % len(w.entries)
	for k := range min(evictAmong, len(w.entries)) {
		if i := (w.hand + k) % len(w.entries); w.entries[i].total < w.entries[least].total {
			least = i
		}
	}
	w.hand = (w.hand + evictAmong) % len(w.entries)
	w.remove(least)
	w.evicted++
}

// remove takes an entry out; the last one takes its place.
func (w *windows[T, P]) remove(i int) {
	e := &w.entries[i]
	if e.total > 0 {
		w.counts[bucket(e.total)]--
		if w.view != nil {
			w.view.evicted(hash(e.key), e.total)
		}
	}
	delete(w.index, e.key)
	last := len(w.entries) - 1
	if i != last {
		*e = w.entries[last]
		w.index[e.key] = int32(i)
	}
	w.entries[last] = entry[T]{}
	w.entries = w.entries[:last]
}

// advance moves the window on to a slot: what falls out of it is forgotten, and whoever came is learned from.
func (w *windows[T, P]) advance(slot int64) {
	steps := slot - w.now
	if w.now == 0 {
		steps = 0
	}
	for s := range min(steps, slots) {
		cleared := w.now + 1 + s
		if cleared%slots == 0 && w.past < math.MaxUint16 {
			w.past++
		}
		for i := range w.entries {
			e := &w.entries[i]
			if w.self && cleared%slots == 0 { // windows that do not overlap
				w.learn(&e.past, e.total, len(w.entries))
			}
			if e.total > 0 {
				e.total = P(&e.tally).expire(ring(cleared))
			}
		}
	}
	w.now = slot
	if steps == 0 {
		w.look()
		return
	}
	w.view = nil // it is of the window before
	for i := 0; i < len(w.entries); {
		e := &w.entries[i]
		if e.total == 0 && (!w.self || e.past.mean < 0.05) { // nothing is known of it that a new key would not have
			w.remove(i)
			continue
		}
		i++
	}
	w.recount()
	w.refit()
	w.look()
}

// setBack empties the window: what is in it was counted by a clock that went wrong.
func (w *windows[T, P]) setBack(slot int64) {
	for i := range w.entries {
		var none T
		w.entries[i].tally, w.entries[i].total = none, 0
	}
	w.now, w.behind = slot, 0
	w.peers, w.view = nil, nil
	w.recount()
	w.refit()
}

// recount makes the histogram anew.
func (w *windows[T, P]) recount() {
	clear(w.counts[:])
	for i := range w.entries {
		if n := w.entries[i].total; n > 0 {
			w.counts[bucket(n)]++
		}
	}
}

func (w *windows[T, P]) size() (keys int, evictions uint64) { return len(w.entries), w.evicted }

// The state is: the kind's number and version, window (ns), now, late records in a row, windows gone by, hand, observations since the fit; the fit (keys, and four
// doubles of 8 bytes); the number of keys, and for each: its name, its tally, windows, and its mean and variance (floats of
// 4 bytes). Version 1, which only the kind rate had, lacks the late records and the windows gone by.
func (w *windows[T, P]) appendState(dst []byte) []byte {
	dst = appendUvarint(dst, w.kind+latestState)
	dst = appendVarint(dst, int64(w.window))
	dst = appendVarint(dst, w.now)
	dst = appendUvarint(appendUvarint(dst, w.behind), uint64(w.past))
	dst = appendUvarint(dst, uint64(w.hand))
	dst = w.population.appendTo(dst)
	dst = appendUvarint(dst, uint64(len(w.entries)))
	for i := range w.entries {
		e := &w.entries[i]
		dst = appendBytes(dst, []byte(e.key))
		dst = P(&e.tally).appendTo(dst)
		dst = e.past.appendTo(dst)
	}
	return dst
}

// readState fills a new detector. Keys beyond the limit, which may have been lowered, are evicted. What was learned with another window is
// fitted to this one.
func (w *windows[T, P]) readState(state []byte) error {
	in := reader{rest: state}
	version := in.uvarint() - w.kind
	if version != latestState && version != 1 {
		return fmt.Errorf("its state is of another kind or version (%d)", version+w.kind)
	}
	window := time.Duration(in.varint())
	w.now = in.varint()
	if version > 1 {
		w.behind, w.past = in.uvarint(), uint16(in.uvarint())
	}
	hand := in.uvarint()
	w.population.readFrom(&in)
	keys := in.uvarint()
	if in.failed || keys > uint64(len(in.rest)) || window < slots*time.Millisecond {
		return errDamaged
	}
	for range keys {
		e := entry[T]{key: string(in.bytes())}
		e.total = P(&e.tally).readFrom(&in)
		e.past.readFrom(&in)
		if _, twice := w.index[e.key]; in.failed || twice {
			return errDamaged
		}
		if len(w.entries) >= w.maxKeys {
			w.evict()
		}
		w.index[e.key] = int32(len(w.entries))
		w.entries = append(w.entries, e)
		if e.total > 0 {
			w.counts[bucket(e.total)]++
		}
	}
	if len(in.rest) > 0 {
		return errDamaged
	}
	w.evicted = 0
	if len(w.entries) > 0 {
		w.hand = int(hand % uint64(len(w.entries)))
	}
	if window != w.window {
		w.rescale(window)
	}
	return nil
}

var errDamaged = errors.New("its state is damaged")

// rescale takes over what was learned with another window: each slot goes to that in which it began, and the means of past windows
// grow with the window.
func (w *windows[T, P]) rescale(window time.Duration) {
	if w.now == 0 {
		return
	}
	slotMs := window.Milliseconds() / slots
	newest := w.now
	w.now = floorDiv(newest*slotMs, w.slotMs)
	place := func(r int) int {
		slot := newest - int64(ring(newest-int64(r)))
		if to := floorDiv(slot*slotMs, w.slotMs); to > w.now-slots {
			return ring(to)
		}
		return -1
	}
	share := float32(float64(w.window) / float64(window))
	for i := range w.entries {
		e := &w.entries[i]
		e.total = P(&e.tally).move(place)
		e.past.mean, e.past.vari = e.past.mean*share, e.past.vari*share
	}
	w.recount()
	w.refit()
}

// merge adds what another detector of the same settings learned: the counts are added up, and the longer past of a key
// is kept.
func (w *windows[T, P]) merge(from *windows[T, P]) {
	if w.peers != nil { // they have told what the other counted, as of its last commit
		return
	}
	now := max(w.now, from.now)
	for _, one := range []*windows[T, P]{w, from} {
		if now > one.now && one.now != 0 {
			one.advance(now)
		}
	}
	w.now, w.past = now, max(w.past, from.past)
	for i := range from.entries {
		f := &from.entries[i]
		k, known := w.index[f.key]
		if !known {
			k = w.insert(f.key)
		}
		e := &w.entries[k]
		e.total = P(&e.tally).join(P(&f.tally))
		if f.past.windows > e.past.windows {
			e.past = f.past
		}
		if !known && e.total > 0 { // evict looks at the histogram
			w.counts[bucket(e.total)]++
		}
	}
	w.recount()
	w.refit()
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
