package anomaly

import (
	"fmt"
	"math"
	"time"
)

// series is a detector of the kind series; see the package's comment.
type series struct {
	keyed[aggregate, *aggregate]
	*tuned
	metric    metric
	threshold float64
	minCount  float64
	slotMs    int64
	window    time.Duration
	unusable  uint64
}

// aggregate is the state of one key: its band, and the slots of its window. It takes 1,024 bytes.
type aggregate struct {
	band
	episode
	slot   float64 // the newest, as a number since 1970
	filled float64 // slots that are over since the first record, up to a window's
	ring   [slots]part
}

// episode is a time in which a series is abnormal. It is over when nothing has been strange for the length of a window.
type episode struct {
	left float64 // values until it is over; 0 outside of one
}

// begins tells whether a value opens an episode, given how strange it is and how much of that is news.
func (e *episode) begins(strangeness, news, threshold float64) bool {
	opens := e.left == 0 && news >= threshold
	switch {
	case opens, e.left > 0 && strangeness >= threshold:
		e.left = slots
	case e.left > 0:
		e.left--
	}
	return opens
}

// maxGap is how many slots without a record are looked at, before the rest of a silence is passed over.
const maxGap = 2 * slots

func newSeries(s Settings) (*series, error) {
	m, err := parseMetric(s.Metric)
	if err != nil {
		return nil, err
	}
	d := &series{
		keyed: newKeyed[aggregate](kindSeries, s.MaxKeys), tuned: standardTuning().derive(), metric: m,
		slotMs: s.Window.Milliseconds() / slots, window: s.Window,
	}
	d.tune(*s.Threshold, *s.MinCount)
	return d, nil
}

func (d *series) tune(threshold float64, minCount int64) {
	d.threshold, d.minCount = strange(threshold), float64(minCount)
}

func (d *series) bind(find finder) error { return d.metric.bind(find) }

// observe adds a row to its window. The row with which a slot is over is judged for the windows that have ended; others are not.
func (d *series) observe(row *row) (v Verdict, ok bool) {
	p, usable := d.metric.of(row)
	if !usable {
		d.unusable++
		return Verdict{}, false
	}
	if d.clock.late(row.at, d.window.Milliseconds()) {
		return Verdict{}, false // the windows that it belongs to have been judged
	}
	s := d.get(row.key, false)
	slot := floorDiv(row.at, d.slotMs)
	newest := int64(s.slot)
	switch {
	case s.filled == 0 && s.slot == 0, slot <= newest-slots:
		// The first record; or the clock was set back, and the window begins anew.
		s.slot, s.filled, s.ring = float64(slot), 0, [slots]part{}
	case slot > newest:
		v, ok = d.proceed(s, newest, slot)
	}
	s.ring[ring(slot)] = d.metric.add(s.ring[ring(slot)], p)
	return v, ok
}

// proceed ends the slots from the newest to the one before the next, and gives the verdict on the strangest window that ended so.
func (d *series) proceed(s *aggregate, newest, next int64) (worst Verdict, ok bool) {
	for slot := newest; slot < next && slot < newest+maxGap; slot++ {
		s.filled = min(s.filled+1, slots)
		if s.filled == slots {
			if v, judged := d.judge(s, slot); judged && (!ok || v.Abnormal && !worst.Abnormal || v.Abnormal == worst.Abnormal && v.Score > worst.Score) {
				v.Lasting = v.Lasting || worst.Lasting
				worst, ok = v, true
			} else {
				worst.Lasting = worst.Lasting || v.Lasting
			}
		}
		s.ring[ring(slot+1)] = part{}
	}
	if next-newest > maxGap {
		s.ring = [slots]part{}
	}
	s.slot = float64(next)
	return worst, ok
}

// judge judges the window that a slot ends. The band learns from windows that do not overlap, so that what lasts for a window is one
// value to it, and not ten.
func (d *series) judge(s *aggregate, slot int64) (Verdict, bool) {
	var sum part
	for i := range int64(slots) { // from the oldest, always in the same order
		sum = d.metric.add(sum, s.ring[ring(slot+1+i)])
	}
	seconds := d.window.Seconds()
	x, ok := d.metric.result(sum, seconds)
	if !ok {
		return Verdict{}, false
	}
	b := &s.band
	if ring(slot+1) != 0 {
		unlearned := s.band
		b = &unlearned
	}
	v, f := d.look(b, slot*d.slotMs, x, d.metric.grain(sum, s.mid, seconds))
	s.said = b.said
	v.Warming = v.Warming || b.n < d.minCount
	v.Abnormal = !v.Warming && s.begins(f.strangeness, strange(v.Score), d.threshold)
	v.Lasting = !v.Abnormal && !v.Warming && s.left == slots // it was strange again
	if v.Warming {
		v.Score = 0
	}
	v.Count = uint32(min(sum.b, math.MaxUint32))
	for _, shown := range []*float64{&v.Value, &v.Expected, &v.Lower, &v.Upper} {
		*shown = d.metric.shown(*shown, seconds)
	}
	return v, true
}

// look takes in a value at a time, in milliseconds since 1970. The verdict does not yet say whether it is abnormal.
func (t *tuned) look(b *band, at int64, x, grain float64) (Verdict, finding) {
	const hour = 3600_000
	f := t.observe(b, int(floorDiv(at, hour)-24*floorDiv(at, 24*hour)), x, grain)
	v := Verdict{
		Score: score(t.gated(b, f.strangeness)), Value: x, Expected: f.expected, Lower: f.lower, Upper: f.upper, Samples: int64(b.n) - 1,
		Warming: !f.settled, View: f.view,
	}
	return v, f
}

// Track scores a series of values one by one, and tells at several thresholds where an episode of abnormal values begins. It is not safe for
// concurrent use.
type Track struct {
	*tuned
	band       band
	episodes   []episode
	thresholds []float64
	opens      []bool
}

// NewTrack makes a track that knows nothing, for one or more thresholds as of the kind series.
func NewTrack(thresholds ...float64) *Track { return newTrack(standardTuning(), thresholds...) }

func newTrack(t tuning, thresholds ...float64) *Track {
	tr := &Track{tuned: t.derive(), episodes: make([]episode, len(thresholds)), opens: make([]bool, len(thresholds))}
	for _, threshold := range thresholds {
		tr.thresholds = append(tr.thresholds, strange(threshold))
	}
	return tr
}

// Observe takes in a value at a time, in milliseconds since 1970, and judges it by those before it. The verdict is abnormal if an
// episode begins at the first threshold. It is not ok if the value is none to reckon with; no episode begins with it.
func (t *Track) Observe(at int64, x float64) (v Verdict, ok bool) {
	clear(t.opens)
	if !(math.Abs(x) <= greatest) {
		return Verdict{}, false
	}
	v, f := t.look(&t.band, at, x, 0)
	for i := range t.episodes {
		t.opens[i] = !v.Warming && t.episodes[i].begins(f.strangeness, strange(v.Score), t.thresholds[i])
	}
	v.Abnormal = t.opens[0]
	return v, true
}

// Opens tells at each threshold whether an episode began with the last value. It is valid until the next one.
func (t *Track) Opens() []bool { return t.opens }

func (s *aggregate) numbers(f func(*float64)) {
	s.band.numbers(f)
	for _, v := range []*float64{&s.left, &s.slot, &s.filled} {
		f(v)
	}
	for i := range s.ring {
		f(&s.ring[i].a)
		f(&s.ring[i].b)
	}
}

// readState takes over the bands of another window, too: only the window that is open begins anew then.
func (d *series) readState(state []byte) error {
	in := reader{rest: state}
	version, window := in.uvarint(), time.Duration(in.varint())
	if in.failed || version != kindSeries {
		return fmt.Errorf("its state is of another kind or version (%d)", version)
	}
	if err := d.keyed.readState(in.rest); err != nil {
		return err
	}
	for i := range d.members {
		s := &d.members[i].state
		if window != d.window {
			s.slot, s.filled, s.ring = 0, 0, [slots]part{}
		}
	}
	return nil
}

func (d *series) appendState(dst []byte) []byte {
	return d.keyed.appendState(appendVarint(appendUvarint(dst, kindSeries), int64(d.window)))
}

func (d *series) merge(from kind) {
	d.take(&from.(*series).keyed, func(a, b *aggregate) bool { return a.n > b.n })
}

func (d *series) appendReason(dst []byte, about *subject, v *Verdict) []byte {
	if len(about.text) > 0 {
		dst = append(about.append(dst, ""), ": "...)
	}
	dst = fmt.Appendf(dst, "%s in %v is %s, ", d.metric.text, d.window, plainNumber(v.Value))
	return v.appendView(dst)
}

// appendView says in what a value is strange.
func (v *Verdict) appendView(dst []byte) []byte {
	switch v.View {
	case byLevel:
		return fmt.Appendf(dst, "which makes a level that is new; it is usually %.4g", v.Expected)
	case byHour:
		return fmt.Appendf(dst, "which is new at this hour of the day; it is usually %.4g then", v.Expected)
	case byStep:
		return fmt.Appendf(dst, "a change from one value to the next that is new; it is usually %.4g", v.Expected)
	}
	return fmt.Appendf(dst, "where the %d values before it lay between %.4g and %.4g; %.4g is usual", v.Samples, v.Lower, v.Upper, v.Expected)
}

// AppendReason says in what the value of a track is strange.
func (t *Track) AppendReason(dst []byte, v *Verdict) []byte {
	return v.appendView(append(append(dst, plainNumber(v.Value)...), ", "...))
}
