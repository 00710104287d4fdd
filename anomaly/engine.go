package anomaly

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/internal/nearest"
)

// Engine is the detectors of one shard. It is not safe for concurrent use.
type Engine struct {
	detectors []detector
	verdict   RowVerdict
	row       row
	scratch   []byte
	one       Verdict // of a detector: what is handed to an interface is not on the stack
	about     subject
	keys      []byte          // of the flags
	fields    []columns.Field // nil until they are bound
	episodes  *episodes       // nil where they are not followed
}

type detector struct {
	settings Settings
	kind
	columns []int    // of the key, in the table
	names   []string // of all columns that it looks at
}

// kind is what a detector does; there is an implementation for each kind.
type kind interface {
	// bind finds the columns that it looks at beside the key's.
	bind(find finder) error
	// tune replaces the threshold and the minimal count, and nothing of what was learned.
	tune(threshold float64, minCount int64)
	// observe takes in a row, and judges it. It is not ok where there is nothing to judge.
	observe(row *row) (v Verdict, ok bool)
	// appendReason says why a row is abnormal.
	appendReason(dst []byte, about *subject, v *Verdict) []byte

	appendState(dst []byte) []byte
	// readState fills a new detector. After an error it is of no further use.
	readState(state []byte) error
	// merge adds what another new detector of the same settings has read.
	merge(from kind)
	size() (keys int, evictions uint64)
}

// row is what a detector is shown.
type row struct {
	table   *columns.Table
	row     int
	at      int64 // milliseconds since 1970
	key     []byte
	scratch *[]byte
}

// finder finds a column for a purpose, of one of the types, if there are any.
type finder func(purpose, name string, types ...columns.Type) (int, error)

// subject is a key as a person is told of it.
type subject struct {
	text    []byte // column and value of each part
	columns string
}

func (s *subject) append(dst []byte, without string) []byte {
	if len(s.text) == 0 {
		return append(dst, without...)
	}
	return append(dst, s.text...)
}

// NewEngine makes an engine without a past. The error tells the first fault of the settings.
func NewEngine(settings []Settings) (*Engine, error) {
	e := &Engine{}
	for _, s := range settings {
		s, err := s.withDefaults()
		if err != nil {
			return nil, err
		}
		k, err := s.detector()
		if err != nil {
			return nil, fmt.Errorf("detector %s: %w", s.Name, err)
		}
		e.detectors = append(e.detectors, detector{settings: s, kind: k})
	}
	return e, nil
}

// detector makes a detector of complete settings.
func (s *Settings) detector() (kind, error) {
	switch s.Kind {
	case KindDistinct:
		return newDistinct(*s), nil
	case KindValue:
		return newValue(*s), nil
	case KindSeries:
		return newSeries(*s)
	case KindRule:
		return newRule(*s)
	}
	return newRate(*s), nil
}

// Tune takes over the thresholds and minimal counts of other settings, which must be the engine's own in all else: these two
// say nothing of what was learned, which stays. What follows is judged by them.
func (e *Engine) Tune(settings []Settings) error {
	if len(settings) != len(e.detectors) {
		return fmt.Errorf("there are %d detectors, and settings for %d", len(e.detectors), len(settings))
	}
	tuned := make([]Settings, len(settings))
	for i, s := range settings {
		s, err := s.withDefaults()
		if err != nil {
			return err
		}
		same := s
		same.Threshold, same.MinCount = e.detectors[i].settings.Threshold, e.detectors[i].settings.MinCount
		if !reflect.DeepEqual(same, e.detectors[i].settings) {
			return fmt.Errorf("detector %s: nothing but its threshold and its minimal count can be changed while it runs", e.detectors[i].settings.Name)
		}
		tuned[i] = s
	}
	for i, s := range tuned {
		e.detectors[i].settings = s
		e.detectors[i].tune(*s.Threshold, *s.MinCount)
	}
	return nil
}

// Bind finds the columns that the detectors look at. A column that is missing, or of a type that does not fit, is an error.
func (e *Engine) Bind(fields []columns.Field) error {
	e.fields = fields
	for i := range e.detectors {
		d := &e.detectors[i]
		find := func(purpose, name string, types ...columns.Type) (int, error) {
			at := slices.IndexFunc(fields, func(f columns.Field) bool { return f.Name == name })
			if at < 0 {
				return 0, fmt.Errorf("the %s of detector %s is to be the column %q, which there is not; %s", purpose, d.settings.Name, name, others(fields, name))
			}
			if len(types) > 0 && !slices.Contains(types, fields[at].Type) {
				return 0, fmt.Errorf("the %s of detector %s is to be the column %q, which is a %v; want one of the types %v", purpose, d.settings.Name, name, fields[at].Type, types)
			}
			d.names = append(d.names, name)
			return at, nil
		}
		d.columns, d.names = nil, nil
		for _, name := range d.settings.Key {
			column, err := find("key", name)
			if err != nil {
				return err
			}
			d.columns = append(d.columns, column)
		}
		if err := d.bind(find); err != nil {
			return err
		}
		if r, ok := d.kind.(*rule); ok {
			if err := r.compile(fields); err != nil {
				return fmt.Errorf("the expression of detector %s: %w", d.settings.Name, err)
			}
			d.names = append(d.names, r.program.Columns()...)
		}
	}
	return nil
}

// Columns names the columns that the detectors look at, as Bind found them; some perhaps more than once.
func (e *Engine) Columns() (names []string) {
	for i := range e.detectors {
		names = append(names, e.detectors[i].names...)
	}
	return names
}

// others names the columns that there are, the most alike first.
func others(fields []columns.Field, name string) string {
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
	}
	return fmt.Sprintf("the nearest is %q, and there are %s", nearest.Of(name, names), strings.Join(names, ", "))
}

// RowVerdict is what the detectors say of a row. It is valid until the next row is scored.
type RowVerdict struct {
	Scored  bool   // by one detector at least
	Verdict        // of the detector with the highest score
	Flags   []Flag // of the detectors that find the row abnormal
	Reason  []byte // why, a part for each flag
	Names   []byte // of the detectors that flagged it, separated by commas
}

// Flag is a detector's finding that a row is abnormal.
type Flag struct {
	Detector int // its place among the settings
	Score    float64
	Key      []byte // of the row, with the names of its columns; empty where the detector has no key
}

// Verdict is what a detector says of a row.
type Verdict struct {
	Score    float64 // in [0,1]
	Abnormal bool
	Warming  bool    // not enough was seen to judge; the score is 0
	Count    uint32  // what was counted, this row included
	Value    float64 // what is judged, where it is not Count
	Expected float64 // what that usually is
	Lower    float64 // what was seen before lies between these; of a count, what is in order
	Upper    float64
	Samples  int64 // what this is judged by: keys, values, or past windows of the key for the baseline self
	Own      bool  // of a count: judged by the key's own past
	View     view  // in what a series is strange
	Bandless bool  // there is nothing expected, and no band
	Lasting  bool  // of a series: what opened an episode before goes on
}

// Score asks every detector about a row at its time, in milliseconds since 1970. The columns that detectors look at must hold the row's
// values. A row with a null in a key is not scored by that detector: there is nothing to tell apart.
func (e *Engine) Score(t *columns.Table, n int, at int64) *RowVerdict {
	v := &e.verdict
	v.Scored, v.Verdict, v.Flags, v.Reason, v.Names = false, Verdict{}, v.Flags[:0], v.Reason[:0], v.Names[:0]
	e.keys = e.keys[:0]
	e.row.table, e.row.row, e.row.at, e.row.scratch = t, n, at, &e.scratch
	if e.episodes != nil {
		e.episodes.clock.late(at, e.episodes.longest)
	}
	for i := range e.detectors {
		d := &e.detectors[i]
		if !e.readKey(d.columns) {
			continue
		}
		one := &e.one
		var ok bool
		if *one, ok = d.observe(&e.row); !ok {
			continue
		}
		// What is abnormal comes first, then what has a score at all, then the score.
		if !v.Scored || rank(one) > rank(&v.Verdict) || rank(one) == rank(&v.Verdict) && one.Score > v.Score {
			v.Scored, v.Verdict = true, *one
		}
		if !one.Abnormal {
			if one.Lasting && e.episodes != nil {
				e.flagged(i, one, nil)
			}
			continue
		}
		if len(v.Flags) > 0 {
			v.Names, v.Reason = append(v.Names, ','), append(v.Reason, "; "...)
		}
		v.Names = append(v.Names, d.settings.Name...)
		e.showKey(d)
		before := len(e.keys)
		e.keys = append(e.keys, e.about.text...)
		v.Flags = append(v.Flags, Flag{i, one.Score, e.keys[before:]})
		reason := len(v.Reason)
		v.Reason = d.appendReason(v.Reason, &e.about, one)
		if e.episodes != nil {
			e.flagged(i, one, v.Reason[reason:])
		}
	}
	return v
}

func rank(v *Verdict) int {
	switch {
	case v.Abnormal:
		return 2
	case v.Warming:
		return 0
	}
	return 1
}

// readKey puts the key's values together, each with its length, so that no two keys are the same. It is false where
// one is null.
func (e *Engine) readKey(index []int) bool {
	r := &e.row
	r.key = r.key[:0]
	for _, i := range index {
		c := &r.table.Columns[i]
		if !c.Valid[r.row] {
			return false
		}
		if len(index) > 1 {
			e.scratch = c.AppendValue(e.scratch[:0], r.row)
			r.key = append(strconv.AppendInt(r.key, int64(len(e.scratch)), 10), ' ')
			r.key = append(r.key, e.scratch...)
		} else {
			r.key = c.AppendValue(r.key, r.row)
		}
	}
	return true
}

// showKey writes the key for a person.
func (e *Engine) showKey(d *detector) {
	e.about.text = d.appendKey(e.about.text[:0], e.row.table, e.row.row)
	e.about.columns = strings.Join(d.settings.Key, ", ")
}

// AppendKey adds a row's key as the reasons of a detector, given by its place among the settings, show it: each column
// and its value. It adds nothing where the detector has no key.
func (e *Engine) AppendKey(dst []byte, detector int, t *columns.Table, row int) []byte {
	return e.detectors[detector].appendKey(dst, t, row)
}

func (d *detector) appendKey(dst []byte, t *columns.Table, row int) []byte {
	for k, i := range d.columns {
		if k > 0 {
			dst = append(dst, ", "...)
		}
		dst = t.Columns[i].AppendValue(append(append(dst, t.Columns[i].Name...), ' '), row)
	}
	return dst
}

// plainNumber writes a number as it came, as far as six digits show it.
func plainNumber(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }

// Fields are the columns that a verdict fills.
func Fields() []columns.Field {
	return []columns.Field{
		{Name: "anomaly", Type: columns.Boolean, Required: true},
		{Name: "anomaly_score", Type: columns.Double},
		{Name: "anomaly_detector", Type: columns.String},
		{Name: "anomaly_reason", Type: columns.String},
		{Name: "anomaly_expected", Type: columns.Double},
		{Name: "anomaly_lower", Type: columns.Double},
		{Name: "anomaly_upper", Type: columns.Double},
		{Name: "anomaly_samples", Type: columns.Int64},
	}
}

// warming is what a row has for a reason while its detectors have not seen enough.
const warming = "warming"

// Append fills the columns of Fields, which begin at first, for the row that is being made. A row that no detector
// scored has nulls but for anomaly, which is false. While the detectors warm up a row has only its samples, and the reason "warming".
func (v *RowVerdict) Append(t *columns.Table, first int) {
	c := t.Columns[first:]
	c[0].AppendBool(len(v.Flags) > 0)
	if !v.Scored {
		return // EndRow adds the nulls
	}
	c[7].AppendInt(v.Samples)
	if v.Warming {
		c[3].AppendString(warming)
		return
	}
	c[1].AppendDouble(v.Score)
	if len(v.Flags) > 0 {
		c[2].AppendText(v.Names)
		c[3].AppendText(v.Reason)
	}
	if v.Bandless {
		return
	}
	c[4].AppendDouble(v.Expected)
	c[5].AppendDouble(v.Lower)
	c[6].AppendDouble(v.Upper)
}

// Keys is the number of keys that a detector knows, by its place among the settings.
func (e *Engine) Keys(detector int) int {
	keys, _ := e.detectors[detector].size()
	return keys
}

// Evictions is the number of keys that a detector dropped for want of room since the engine was made.
func (e *Engine) Evictions(detector int) uint64 {
	_, evictions := e.detectors[detector].size()
	return evictions
}

// Unusable is the number of rows since the engine was made whose metric was no number, or whose rule told nothing: they
// are neither judged nor learned from.
func (e *Engine) Unusable(detector int) uint64 {
	switch d := e.detectors[detector].kind.(type) {
	case *value:
		return d.unusable
	case *series:
		return d.unusable
	case *rule:
		return d.unusable
	}
	return 0
}
