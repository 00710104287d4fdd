package anomaly

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// A snapshot is, with integers as varints unless a width is given:
//
//	magic, and for each detector: its name, the length of its state, its state
//
// and a state of the kind rate is: version, window (ns), now, hand, observations since the fit; the fit (keys, and four
// doubles of 8 bytes); the number of keys, and for each: its name, ten counts from the oldest slot of the ring's array on,
// windows, and its mean and variance (floats of 4 bytes).
const (
	magic       = "sluice-anomaly\x01"
	rateVersion = 1
)

// Snapshot appends what the detectors learned. The same state gives the same bytes.
func (e *Engine) Snapshot(dst []byte) []byte {
	dst = append(dst, magic...)
	var state []byte
	for i := range e.detectors {
		d := &e.detectors[i]
		state = d.rate.appendState(state[:0])
		dst = appendBytes(dst, []byte(d.settings.Name))
		dst = appendBytes(dst, state)
	}
	return dst
}

// Restore takes over a snapshot. Detectors that are unknown to it, or were then of another window, begin anew, and those that are no more are
// forgotten; the error, if any, tells which, and the engine can be used all the same.
func (e *Engine) Restore(snapshot []byte) error {
	return e.load(snapshot, func(r, from *Rate) { r.state = from.state })
}

// Merge adds the snapshot of another shard, of which this one continues the records, to what was restored before.
func (e *Engine) Merge(snapshot []byte) error {
	return e.load(snapshot, (*Rate).merge)
}

func (e *Engine) load(snapshot []byte, take func(r, from *Rate)) error {
	in := reader{rest: snapshot}
	if string(in.take(len(magic))) != magic {
		return errors.New("this is no snapshot of detectors, or one of a newer version")
	}
	var errs []error
	for len(in.rest) > 0 && !in.failed {
		name, state := string(in.bytes()), in.bytes()
		if in.failed {
			break
		}
		for i := range e.detectors {
			d := &e.detectors[i]
			if d.settings.Name != name {
				continue
			}
			from := newRate(d.settings)
			if err := from.readState(state); err != nil {
				errs = append(errs, fmt.Errorf("detector %s: %w", name, err))
				continue
			}
			take(d.rate, from)
		}
	}
	if in.failed {
		errs = append(errs, errors.New("the snapshot of the detectors ends early"))
	}
	return errors.Join(errs...)
}

func (r *Rate) appendState(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, rateVersion)
	dst = binary.AppendVarint(dst, int64(r.window))
	dst = binary.AppendVarint(dst, r.now)
	dst = binary.AppendUvarint(dst, uint64(r.hand))
	dst = binary.AppendUvarint(dst, uint64(r.unfitted))
	dst = binary.AppendUvarint(dst, uint64(r.fit.keys))
	for _, v := range []float64{r.fit.typical, r.fit.u, r.fit.tail, r.fit.h} {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.entries)))
	for i := range r.entries {
		e := &r.entries[i]
		dst = appendBytes(dst, []byte(e.key))
		for _, n := range e.counts {
			dst = binary.AppendUvarint(dst, uint64(n))
		}
		dst = binary.AppendUvarint(dst, uint64(e.windows))
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(e.mean))
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(e.vari))
	}
	return dst
}

// leastEntry is the size of the smallest key in a state.
const leastEntry = 1 + slots + 1 + 4 + 4

// readState fills a new detector. Keys beyond the limit, which may have been lowered, are evicted.
func (r *Rate) readState(state []byte) error {
	in := reader{rest: state}
	if version := in.uvarint(); version != rateVersion {
		return fmt.Errorf("its state has the version %d; this program reads %d", version, rateVersion)
	}
	if window := time.Duration(in.varint()); window != r.window {
		return fmt.Errorf("it learned with a window of %v, and begins anew with %v", window, r.window)
	}
	r.now = in.varint()
	hand := in.uvarint()
	r.unfitted = int(in.uvarint() & math.MaxInt32)
	r.fit.keys = int(in.uvarint() & math.MaxInt32)
	for _, v := range []*float64{&r.fit.typical, &r.fit.u, &r.fit.tail, &r.fit.h} {
		*v = math.Float64frombits(in.uint64())
	}
	keys := in.uvarint()
	if in.failed || keys > uint64(len(in.rest)/leastEntry) {
		return errors.New("its state is damaged")
	}
	for range keys {
		e := entry{key: string(in.bytes())}
		total := uint64(0)
		for s := range e.counts {
			n := in.uvarint()
			total += n
			e.counts[s] = uint32(n)
		}
		e.total = uint32(total)
		e.windows = uint16(in.uvarint())
		e.mean, e.vari = math.Float32frombits(in.uint32()), math.Float32frombits(in.uint32())
		if _, twice := r.index[e.key]; in.failed || twice || total > math.MaxUint32 {
			return errors.New("its state is damaged")
		}
		if len(r.entries) >= r.maxKeys {
			r.evict()
		}
		r.index[e.key] = int32(len(r.entries))
		r.entries = append(r.entries, e)
		if e.total > 0 {
			r.counts[bucket(e.total)]++
		}
	}
	if len(in.rest) > 0 {
		return errors.New("its state is damaged")
	}
	r.evictions = 0
	if len(r.entries) > 0 {
		r.hand = int(hand % uint64(len(r.entries)))
	}
	return nil
}

// merge adds what another detector of the same settings learned: the counts are added up, and the longer past of a key
// is kept.
func (r *Rate) merge(from *Rate) {
	now := max(r.now, from.now)
	for _, one := range []*Rate{r, from} {
		if now > one.now {
			one.advance(now)
		}
	}
	for i := range from.entries {
		f := &from.entries[i]
		k, known := r.index[f.key]
		if !known {
			k = r.insert(f.key)
		}
		e := &r.entries[k]
		for s, n := range f.counts {
			n = min(n, math.MaxUint32-e.total)
			e.counts[s] += n
			e.total += n
		}
		if f.windows > e.windows {
			e.windows, e.mean, e.vari = f.windows, f.mean, f.vari
		}
	}
	clear(r.counts[:])
	for i := range r.entries {
		if n := r.entries[i].total; n > 0 {
			r.counts[bucket(n)]++
		}
	}
	r.refit()
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// reader takes a snapshot apart. After a failure everything is zero.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.failed, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.failed, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.failed, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.failed, r.rest = true, nil
		return nil
	}
	return r.take(int(n))
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}
