package anomaly

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// A snapshot is, with integers as varints unless a width is given:
//
//	magic, and for each detector: its name, the length of its state, its state; then the episodes likewise, where they are followed
//
// A state begins with a number that tells its kind and version; see appendState of the kinds.
const magic = "sluice-anomaly\x01"

// Snapshot appends what the detectors learned. The same state gives the same bytes.
func (e *Engine) Snapshot(dst []byte) []byte {
	dst = append(dst, magic...)
	var state []byte
	for i := range e.detectors {
		d := &e.detectors[i]
		state = d.appendState(state[:0])
		dst = appendBytes(dst, []byte(d.settings.Name))
		dst = appendBytes(dst, state)
	}
	if e.episodes != nil {
		state = e.episodes.appendState(state[:0])
		dst = appendBytes(appendBytes(dst, []byte(episodesName)), state)
	}
	return dst
}

// Restore takes over a snapshot. Detectors that are unknown to it, or were then of another kind, begin anew, and those that are no more are
// forgotten; the error, if any, tells which, and the engine can be used all the same.
func (e *Engine) Restore(snapshot []byte) error {
	return e.load(snapshot, func(d *detector, from kind) { d.kind = from })
}

// Merge adds the snapshot of another shard, of which this one continues the records, to what was restored before.
func (e *Engine) Merge(snapshot []byte) error {
	return e.load(snapshot, func(d *detector, from kind) { d.merge(from) })
}

func (e *Engine) load(snapshot []byte, take func(d *detector, from kind)) error {
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
		if name == episodesName && e.episodes != nil {
			errs = append(errs, e.episodes.readState(e.detectors, state))
		}
		for i := range e.detectors {
			d := &e.detectors[i]
			if d.settings.Name != name {
				continue
			}
			from, err := d.settings.detector()
			if err == nil {
				err = from.readState(state)
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("detector %s begins anew: %w", name, err))
				continue
			}
			take(d, from)
		}
	}
	if in.failed {
		errs = append(errs, errors.New("the snapshot of the detectors ends early"))
	}
	if e.fields != nil {
		errs = append(errs, e.Bind(e.fields))
	}
	return errors.Join(errs...)
}

func appendUvarint(dst []byte, v uint64) []byte { return binary.AppendUvarint(dst, v) }

func appendVarint(dst []byte, v int64) []byte { return binary.AppendVarint(dst, v) }

func appendFloat(dst []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v))
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

// count is a number of things that follow, each of a byte at least.
func (r *reader) count() uint64 {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.failed, r.rest, n = true, nil, 0
	}
	return n
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

func (r *reader) float() float64 { return math.Float64frombits(r.uint64()) }
