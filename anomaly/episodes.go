package anomaly

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// An episode is a time in which a detector finds a key abnormal again and again. It opens with the first row that is flagged, and closes
// when no row has been for a quiet time of the records' clock. What is to be told of it, and was not yet, is kept with it in
// the snapshot: so that a restart neither forgets a notice nor opens an episode twice.

// The phases of an episode.
const (
	Opens  = "opens"
	Peaks  = "peaks"
	Closes = "closes"
)

// Phases are all there are.
func Phases() []string { return []string{Opens, Peaks, Closes} }

const (
	maxEpisodes = 500  // that are open at a time, of one detector
	maxUntold   = 1000 // notices that wait
	maxKeyText  = 256  // bytes of a key, as it is shown
	maxReason   = 1024 // bytes

	// A peak is told when it lies so many times as far from what is expected as what was told before: a few times in an episode, however
	// long it is.
	peakFactor = 4
)

// Notice tells of an episode. All texts are valid UTF-8.
type Notice struct {
	ID       string // of the episode, for ever unique
	Group    string // the same for all episodes of a detector and key, whatever the shard
	Sequence int    // of the notice in its episode: 0 opens it, and each has a higher one than those before
	Phase    string
	Detector string
	Key      string // column and value of each part; empty where the detector has none

	Opened, At int64   // milliseconds since 1970, of the records' clock: the first flagged row, and the last
	Rows       int64   // that were flagged
	Score      float64 // the highest of them
	Value      float64 // what was judged, as far from what is expected as any
	Expected   float64 // at that row, as the rest
	Lower      float64
	Upper      float64
	Bandless   bool // there is no value, nothing expected, and no band
	Reason     string
}

// running is an episode that is open. The notice is what the last row made of it.
type running struct {
	Notice
	key  string
	told float64 // how far from what is expected the last notice was
}

// episodes are those of all detectors of a shard.
type episodes struct {
	origin  string
	quiet   []int64 // of each detector, in milliseconds
	longest int64   // of these
	clock   clock
	made    uint64 // episodes so far
	open    []map[string]*running
	untold  []Notice
	fresh   int    // how many of the last of untold may still change: they are in no snapshot
	lost    uint64 // see Engine.Unannounced
}

// Follow makes the engine keep track of episodes: each closes after a quiet time without a flag, which is a detector's window where it is
// 0. The origin, the name of the shard, tells its episodes from those of other shards. It comes before Restore.
func (e *Engine) Follow(origin string, quiet time.Duration) {
	f := &episodes{origin: origin}
	for i := range e.detectors {
		q := quiet.Milliseconds()
		if q == 0 {
			q = e.detectors[i].settings.Window.Milliseconds()
		}
		f.quiet = append(f.quiet, q)
		f.longest = max(f.longest, q)
		f.open = append(f.open, map[string]*running{})
	}
	e.episodes = f
}

// Settle closes the episodes of which the quiet time is over. It comes before the snapshot of a commit.
func (e *Engine) Settle() {
	f := e.episodes
	if f == nil {
		return
	}
	for i, open := range f.open {
		for _, key := range slices.Sorted(maps.Keys(open)) {
			if f.over(open[key], f.quiet[i], f.clock.now) {
				f.finish(open[key])
				delete(open, key)
			}
		}
	}
}

// Durable gives the notices that are new in the last snapshot, which is kept now: they may be told. Each waits, as part of
// later snapshots, until Told.
func (e *Engine) Durable() []Notice {
	if e.episodes == nil {
		return nil
	}
	fresh := e.episodes.fresh
	e.episodes.fresh = 0
	return slices.Clone(e.episodes.untold[len(e.episodes.untold)-fresh:])
}

// Waiting gives the notices that were restored: of some of them somebody may have been told before, but it is not known.
func (e *Engine) Waiting() []Notice {
	if e.episodes == nil {
		return nil
	}
	return slices.Clone(e.episodes.untold[:len(e.episodes.untold)-e.episodes.fresh])
}

// Told removes a notice from those that wait. It is no longer part of snapshots.
func (e *Engine) Told(id string, sequence int) {
	f := e.episodes
	f.untold = slices.DeleteFunc(f.untold, func(n Notice) bool { return n.ID == id && n.Sequence == sequence })
}

// Unannounced is the number of episodes since the engine was made of which there is no notice, because too many were open at the
// same time, and of notices that were dropped because too many waited.
func (e *Engine) Unannounced() uint64 {
	if e.episodes == nil {
		return 0
	}
	return e.episodes.lost
}

// over tells whether an episode's quiet time has passed. A clock that was set back before it ends it, too.
func (f *episodes) over(r *running, quiet, now int64) bool {
	return now-r.At > quiet || r.At-now > quiet
}

// finish tells that an episode is closed.
func (f *episodes) finish(r *running) { f.tell(r, Closes) }

// tell adds a notice. Of the peaks of an episode which come before the next snapshot only the last is told.
func (f *episodes) tell(r *running, phase string) {
	r.Phase = phase
	if phase != Opens {
		r.Sequence++
	}
	if phase == Peaks {
		for i := len(f.untold) - f.fresh; i < len(f.untold); i++ {
			if n := &f.untold[i]; n.ID == r.ID && n.Phase == Peaks {
				*n = r.Notice
				return
			}
		}
	}
	if len(f.untold) >= maxUntold {
		f.lost++
		return
	}
	f.untold = append(f.untold, r.Notice)
	f.fresh++
}

// flagged takes in a row that a detector flags, or one with which an episode of a series lasts. Of a row that is flagged the key is shown
// already, and there is a reason.
func (e *Engine) flagged(detector int, v *Verdict, reason []byte) {
	f := e.episodes
	open := f.open[detector]
	r := open[string(e.row.key)]
	if r != nil && f.over(r, f.quiet[detector], max(e.row.at, r.At)) {
		f.finish(r)
		delete(open, r.key)
		r = nil
	}
	if r == nil {
		if !v.Abnormal {
			return // it is over already for a shorter quiet time
		}
		if len(open) >= maxEpisodes {
			f.lost++
			return
		}
		e.opens(detector, v, reason)
		return
	}
	r.At = max(r.At, e.row.at)
	if !v.Abnormal {
		return
	}
	r.Rows++
	r.Score = max(r.Score, v.Score)
	judged := e.judged(detector, v)
	off := math.Abs(judged - v.Expected)
	if v.Bandless || off <= math.Abs(r.Value-r.Expected) {
		return
	}
	r.Value, r.Expected, r.Lower, r.Upper, r.Reason = judged, v.Expected, v.Lower, v.Upper, text(reason, maxReason)
	if off >= peakFactor*r.told {
		r.told = off
		f.tell(r, Peaks)
	}
}

func (e *Engine) opens(detector int, v *Verdict, reason []byte) {
	f, d := e.episodes, &e.detectors[detector]
	key := string(e.row.key)
	r := &running{key: key, Notice: Notice{
		ID:    digest(f.origin, d.settings.Name, key, fmt.Sprint(e.row.at), fmt.Sprint(f.made)),
		Group: digest(d.settings.Name, key), Detector: d.settings.Name, Key: text(e.about.text, maxKeyText),
		Opened: e.row.at, At: e.row.at, Rows: 1, Score: v.Score, Bandless: v.Bandless, Reason: text(reason, maxReason),
	}}
	if !v.Bandless {
		r.Value, r.Expected, r.Lower, r.Upper = e.judged(detector, v), v.Expected, v.Lower, v.Upper
	}
	r.told = math.Abs(r.Value - r.Expected)
	f.made++
	f.open[detector][key] = r
	f.tell(r, Opens)
}

// judged is what a detector holds against what it expects.
func (e *Engine) judged(detector int, v *Verdict) float64 {
	if kind := e.detectors[detector].settings.Kind; kind == KindRate || kind == KindDistinct {
		return float64(v.Count)
	}
	return v.Value
}

// digest makes a name of parts: 128 bits of their SHA-256, in hexadecimal digits.
func digest(parts ...string) string {
	var all []byte
	for _, p := range parts {
		all = appendBytes(all, []byte(p))
	}
	sum := sha256.Sum256(all)
	return hex.EncodeToString(sum[:16])
}

// text is the beginning of a text of any bytes, as one that can be shown.
func text(b []byte, limit int) string {
	if len(b) <= limit {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	return strings.ToValidUTF8(string(b[:limit]), "") + "…"
}

// episodesName is the place of the episodes in a snapshot, among the names of detectors; no detector can have it, and a program that does not know
// it passes it over.
const episodesName = "episodes/1"

// appendState appends: the clock, the number of episodes so far, the number of those that are open, and for each its key, how far from
// the expected what was told is, and its notice; then the notices that wait. The open ones follow from the records alone, in whatever
// batches these come; what waits depends on what was told meanwhile.
func (f *episodes) appendState(dst []byte) []byte {
	dst = appendUvarint(f.clock.appendState(dst), f.made)
	n := 0
	for _, open := range f.open {
		n += len(open)
	}
	dst = appendUvarint(dst, uint64(n))
	for _, open := range f.open {
		for _, key := range slices.Sorted(maps.Keys(open)) {
			r := open[key]
			dst = r.Notice.append(appendFloat(appendBytes(dst, []byte(key)), r.told))
		}
	}
	dst = appendUvarint(dst, uint64(len(f.untold)))
	for i := range f.untold {
		dst = f.untold[i].append(dst)
	}
	return dst
}

// readState adds what another has saved. Of a key that has an episode in both, the earlier one goes on; that of a detector which is no more
// ends.
func (f *episodes) readState(detectors []detector, state []byte) error {
	in := reader{rest: state}
	var from clock
	from.readState(&in)
	made := in.uvarint()
	var open []*running
	for range in.count() {
		r := &running{key: string(in.bytes()), told: in.float()}
		r.read(&in)
		open = append(open, r)
	}
	var untold []Notice
	for range in.count() {
		var n Notice
		n.read(&in)
		untold = append(untold, n)
	}
	if in.failed || len(in.rest) > 0 {
		return fmt.Errorf("the episodes are forgotten, and those that last open anew: %w", errDamaged)
	}
	f.clock.join(from)
	f.made = max(f.made, made)
	f.untold = slices.Insert(f.untold, len(f.untold)-f.fresh, untold...)
	for _, r := range open {
		i := slices.IndexFunc(detectors, func(d detector) bool { return d.settings.Name == r.Detector })
		if i < 0 {
			f.finish(r)
			continue
		}
		if other := f.open[i][r.key]; other != nil && other.ID != r.ID {
			if other.Opened <= r.Opened {
				r, other = other, r
			}
			f.finish(other)
		}
		f.open[i][r.key] = r
	}
	return nil
}

func (n *Notice) append(dst []byte) []byte {
	for _, s := range n.texts() {
		dst = appendBytes(dst, []byte(*s))
	}
	for _, v := range n.numbers() {
		dst = appendFloat(dst, *v)
	}
	bandless := uint64(0)
	if n.Bandless {
		bandless = 1
	}
	return appendUvarint(appendVarint(appendVarint(appendVarint(appendUvarint(dst, uint64(n.Sequence)), n.Opened), n.At), n.Rows), bandless)
}

func (n *Notice) read(in *reader) {
	for _, s := range n.texts() {
		*s = string(in.bytes())
	}
	for _, v := range n.numbers() {
		*v = in.float()
		in.failed = in.failed || math.IsNaN(*v) || math.IsInf(*v, 0)
	}
	n.Sequence, n.Opened, n.At, n.Rows, n.Bandless = int(in.uvarint()), in.varint(), in.varint(), in.varint(), in.uvarint() == 1
	in.failed = in.failed || !slices.Contains(Phases(), n.Phase)
}

func (n *Notice) texts() []*string {
	return []*string{&n.ID, &n.Group, &n.Phase, &n.Detector, &n.Key, &n.Reason}
}

func (n *Notice) numbers() []*float64 {
	return []*float64{&n.Score, &n.Value, &n.Expected, &n.Lower, &n.Upper}
}
