package anomaly

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
)

// A snapshot is, with integers as varints unless a width is given:
//
//	magic, and for each detector: its name, the length of its state, its state; then the episodes likewise, where they are followed
//
// A state begins with a number that tells its kind and version; see appendState of the kinds. Of a detector of the scope stream there are two
// more, whose names are its own and an ending: what it tells other shards, before the states of all detectors, and what they told it, after its
// own. A program that does not know them passes them over.
const (
	magic       = "sluice-anomaly\x01"
	summaryName = "/summary"
	peersName   = "/peers"
)

// Snapshot appends what the detectors learned. The same state gives the same bytes.
//
// The engine goes on as one that is restored from the snapshot would.
func (e *Engine) Snapshot(dst []byte) []byte {
	dst = append(dst, magic...)
	var state []byte
	add := func(name string) {
		dst = appendBytes(appendBytes(dst, []byte(name)), state)
	}
	for i := range e.detectors {
		if s := e.detectors[i].shares(); s != nil {
			state = s.appendSummary(state[:0])
			add(e.detectors[i].settings.Name + summaryName)
		}
	}
	for i := range e.detectors {
		d := &e.detectors[i]
		state = d.appendState(state[:0])
		add(d.settings.Name)
		if s := d.shares(); s != nil {
			s.look()
			if state = s.appendPeers(state[:0]); len(state) > 0 {
				add(d.settings.Name + peersName)
			}
		}
	}
	if e.episodes != nil {
		state = e.episodes.appendState(state[:0])
		dst = appendBytes(appendBytes(dst, []byte(episodesName)), state)
	}
	return dst
}

// SummarySize is how many of the first bytes of a snapshot are for the engines of other shards, which take them by SetPeers; 0: none.
func SummarySize(snapshot []byte) int {
	in := reader{rest: snapshot}
	if string(in.take(len(magic))) != magic {
		return 0
	}
	size := 0
	for {
		name := in.bytes()
		in.bytes()
		if in.failed || !strings.HasSuffix(string(name), summaryName) {
			return size
		}
		size = len(snapshot) - len(in.rest)
	}
}

// SetPeers tells the detectors of the scope stream what the other shards have counted: the first bytes of each one's newest snapshot (see
// SummarySize), in any order. It takes the place of what they were told before. With nothing, each shard is judged alone.
// The error tells of what could not be used; the rest was.
func (e *Engine) SetPeers(summaries [][]byte) error {
	told := map[string][][]byte{} // by detector
	var errs []error
	for _, text := range summaries {
		in := reader{rest: text}
		if string(in.take(len(magic))) != magic {
			errs = append(errs, errors.New("what another shard tells is no summary, or one of a newer version"))
			continue
		}
		for len(in.rest) > 0 {
			name, one := in.bytes(), in.bytes()
			if in.failed {
				errs = append(errs, errDamagedSummary)
				break
			}
			if of, ok := strings.CutSuffix(string(name), summaryName); ok {
				told[of] = append(told[of], one)
			}
		}
	}
	for i := range e.detectors {
		d := &e.detectors[i]
		if s := d.shares(); s != nil {
			if err := s.setPeers(told[d.settings.Name]); err != nil {
				errs = append(errs, fmt.Errorf("detector %s: %w", d.settings.Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

// Inherit tells that what was restored was counted by the shards that this one was made of. The detectors of the scope stream keep it as
// the counts of other shards: of those that come of a split each is told of it, and none of them tells it again.
func (e *Engine) Inherit() {
	for i := range e.detectors {
		if s := e.detectors[i].shares(); s != nil {
			s.inherit()
		}
	}
}

// shares gives the kind of a detector that judges by what all shards count; nil: it does not.
func (d *detector) shares() sharer {
	if d.settings.Scope != ScopeStream {
		return nil
	}
	return d.kind.(sharer)
}

// Restore takes over a snapshot. Detectors that are unknown to it, or were then of another kind, begin anew, and those that are no more are
// forgotten; the error, if any, tells which, and the engine can be used all the same.
func (e *Engine) Restore(snapshot []byte) error {
	err := e.load(snapshot, func(d *detector, from kind) { d.kind = from })
	return errors.Join(err, e.loadPeers(snapshot))
}

// loadPeers takes over what other shards had told.
func (e *Engine) loadPeers(snapshot []byte) error {
	var errs []error
	in := reader{rest: snapshot}
	in.take(len(magic))
	for len(in.rest) > 0 {
		name, state := string(in.bytes()), in.bytes()
		for i := range e.detectors {
			d := &e.detectors[i]
			if s := d.shares(); s != nil && name == d.settings.Name+peersName {
				if err := s.readPeers(state); err != nil {
					errs = append(errs, fmt.Errorf("detector %s goes on without the other shards: %w", d.settings.Name, err))
				}
			}
		}
	}
	return errors.Join(errs...)
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
