package anomaly

import (
	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/internal/expression"
)

// rule is a detector of the kind rule: an expression that is true for a record in order. It learns nothing, and its score is
// 0 or 1.
type rule struct {
	text     string
	program  *expression.Expression // nil until it is bound
	unusable uint64
}

func newRule(s Settings) (*rule, error) {
	return &rule{text: s.Expression}, expression.Check(s.Expression)
}

func (d *rule) bind(finder) error { return nil }

// tune has nothing to do: a rule holds or not, and its score of 1 reaches every threshold.
func (d *rule) tune(float64, int64) {}

// compile makes a program of the expression, by the types of the columns.
func (d *rule) compile(fields []columns.Field) (err error) {
	d.program, err = expression.Compile(d.text, fields)
	return err
}

// observe has no verdict where the expression tells nothing: on a null, or after a division by zero.
func (d *rule) observe(row *row) (Verdict, bool) {
	inOrder, known := d.program.Holds(row.table, row.row)
	if !known {
		d.unusable++
		return Verdict{}, false
	}
	v := Verdict{Bandless: true, Samples: 1}
	if !inOrder {
		v.Score, v.Abnormal = 1, true
	}
	return v, true
}

func (d *rule) appendReason(dst []byte, about *subject, _ *Verdict) []byte {
	if len(about.text) > 0 {
		dst = append(about.append(dst, ""), ": "...)
	}
	return append(append(dst, "it is not so that "...), d.text...)
}

func (d *rule) appendState(dst []byte) []byte { return appendUvarint(dst, kindRule) }

func (d *rule) readState(state []byte) error {
	if in := (reader{rest: state}); in.uvarint() != kindRule {
		return errDamaged
	}
	return nil
}

func (d *rule) merge(kind) {}

func (d *rule) size() (keys int, evictions uint64) { return 0, 0 }
