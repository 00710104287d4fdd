package anomaly

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-etl/sluice/internal/columns"
)

// Engine is the detectors of one shard. It is not safe for concurrent use.
type Engine struct {
	detectors []detector
	verdict   RowVerdict
	key       []byte
	shown     []byte
}

type detector struct {
	settings Settings
	rate     *Rate
	columns  []int // of the key, in the table
}

// NewEngine makes an engine without a past. The error tells the first fault of the settings.
func NewEngine(settings []Settings) (*Engine, error) {
	e := &Engine{}
	for _, s := range settings {
		s, err := s.withDefaults()
		if err != nil {
			return nil, err
		}
		e.detectors = append(e.detectors, detector{settings: s, rate: newRate(s)})
	}
	return e, nil
}

// Bind finds the columns of the detectors' keys. A column that is missing is an error.
func (e *Engine) Bind(fields []columns.Field) error {
	index := map[string]int{}
	var names []string
	for i, f := range fields {
		index[f.Name] = i
		names = append(names, f.Name)
	}
	for i := range e.detectors {
		d := &e.detectors[i]
		d.columns = nil
		for _, name := range d.settings.Key {
			column, ok := index[name]
			if !ok {
				return fmt.Errorf("the key of detector %s is to be the column %q, which there is not; there are %s", d.settings.Name, name, strings.Join(names, ", "))
			}
			d.columns = append(d.columns, column)
		}
	}
	return nil
}

// RowVerdict is what the detectors say of a row. It is valid until the next row is scored.
type RowVerdict struct {
	Scored  bool   // by one detector at least
	Verdict        // of the detector with the highest score
	Flags   []Flag // of the detectors that find the row abnormal
	Reason  []byte // why, a part for each flag
	Names   []byte // of the detectors that flagged it, separated by commas
}

// Flag is a detector's finding that a key is abnormal.
type Flag struct {
	Detector int // its place among the settings
	Score    float64
}

// Score asks every detector about a row at its time, in milliseconds since 1970. The key's columns must hold the row's
// values. A row with a null in a key is not scored by that detector: there is nothing to count.
func (e *Engine) Score(t *columns.Table, row int, at int64) *RowVerdict {
	v := &e.verdict
	v.Scored, v.Verdict, v.Flags, v.Reason, v.Names = false, Verdict{}, v.Flags[:0], v.Reason[:0], v.Names[:0]
	for i := range e.detectors {
		d := &e.detectors[i]
		if !e.readKey(t, d.columns, row) {
			continue
		}
		one := d.rate.Observe(e.key, at)
		if !v.Scored || one.Score > v.Score {
			v.Scored, v.Verdict = true, one
		}
		if !one.Abnormal {
			continue
		}
		if len(v.Flags) > 0 {
			v.Names, v.Reason = append(v.Names, ','), append(v.Reason, "; "...)
		}
		v.Flags = append(v.Flags, Flag{i, one.Score})
		v.Names = append(v.Names, d.settings.Name...)
		e.showKey(t, d.columns, row)
		v.Reason = d.rate.AppendReason(v.Reason, e.shown, &one)
	}
	return v
}

// readKey puts the key's values together, each with its length, so that no two keys are the same. It is false where
// one is null.
func (e *Engine) readKey(t *columns.Table, index []int, row int) bool {
	e.key = e.key[:0]
	for _, i := range index {
		c := &t.Columns[i]
		if !c.Valid[row] {
			return false
		}
		if len(index) > 1 {
			e.shown = appendValue(e.shown[:0], c, row)
			e.key = append(strconv.AppendInt(e.key, int64(len(e.shown)), 10), ' ')
			e.key = append(e.key, e.shown...)
		} else {
			e.key = appendValue(e.key, c, row)
		}
	}
	return true
}

// showKey writes the key for a person.
func (e *Engine) showKey(t *columns.Table, index []int, row int) {
	e.shown = e.shown[:0]
	for k, i := range index {
		if k > 0 {
			e.shown = append(e.shown, ", "...)
		}
		e.shown = append(append(e.shown, t.Columns[i].Name...), ' ')
		e.shown = appendValue(e.shown, &t.Columns[i], row)
	}
}

func appendValue(dst []byte, c *columns.Column, row int) []byte {
	switch c.Type {
	case columns.Int64:
		return strconv.AppendInt(dst, c.Ints[row], 10)
	case columns.Timestamp:
		return time.UnixMilli(c.Ints[row]).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	case columns.Decimal:
		return columns.AppendDecimal(dst, c.Ints[row], c.Scale)
	case columns.Double:
		return strconv.AppendFloat(dst, c.Doubles[row], 'g', -1, 64)
	case columns.Boolean:
		return strconv.AppendBool(dst, c.Bools[row])
	}
	return append(dst, c.TextAt(row)...)
}

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

// Append fills the columns of Fields, which begin at first, for the row that is being made. A row that no detector
// scored has nulls but for anomaly, which is false; so has a row while the detectors warm up, but for its samples.
func (v *RowVerdict) Append(t *columns.Table, first int) {
	c := t.Columns[first:]
	c[0].AppendBool(len(v.Flags) > 0)
	if !v.Scored {
		return // EndRow adds the nulls
	}
	c[7].AppendInt(v.Samples)
	if v.Warming {
		return
	}
	c[1].AppendDouble(v.Score)
	if len(v.Flags) > 0 {
		c[2].AppendText(v.Names)
		c[3].AppendText(v.Reason)
	}
	c[4].AppendDouble(v.Expected)
	c[5].AppendDouble(v.Lower)
	c[6].AppendDouble(v.Upper)
}

// Keys is the number of keys that a detector knows, by its place among the settings.
func (e *Engine) Keys(detector int) int { return e.detectors[detector].rate.Keys() }

// Evictions is the number of keys that a detector dropped for want of room since the engine was made.
func (e *Engine) Evictions(detector int) uint64 { return e.detectors[detector].rate.evictions }
