package chaos

import (
	"fmt"
	"strings"
	"time"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/internal/e2e/check"
)

// flags holds the detectors' verdicts in the files against those of detectors that are run alone, in one go, over the rows
// of each shard in their order: neither the cuts between batches nor a change of owner may show. parents gives, by the
// number of a shard, those that it continues; a parent's number is below its child's.
func flags(output check.Output, read check.Rows, settings []anomaly.Settings, parents map[int64][]int64) (rows, flagged int, err error) {
	o := oracle{settings: settings, parents: parents, ends: map[int64][]byte{}, shard: -1}
	err = output.Walk(read, o.visit)
	if err != nil {
		return o.rows, o.flagged, err
	}
	if o.wrong > 0 {
		err = fmt.Errorf("%d of %d rows have another verdict than detectors that run alone:\n\t%s", o.wrong, o.rows, strings.Join(o.first, "\n\t"))
	}
	return o.rows, o.flagged, err
}

// oracle runs the detectors over the rows of one shard after another.
type oracle struct {
	settings []anomaly.Settings
	parents  map[int64][]int64
	ends     map[int64][]byte // what the detectors knew at the end of each shard

	shard  int64
	engine *anomaly.Engine
	table  *columns.Table // one row: the columns of the keys, then those of the verdict
	keys   int            // the number of the former

	rows, flagged, wrong int
	first                []string
}

// open begins a shard: with what its parents knew at their end.
func (o *oracle) open(shard int64) error {
	if err := o.end(); err != nil {
		return err
	}
	var err error
	if o.engine, err = anomaly.NewEngine(o.settings); err != nil {
		return err
	}
	var fields []columns.Field
	for _, s := range o.settings {
		for _, name := range s.Key {
			fields = append(fields, columns.Field{Name: name, Type: columns.String})
		}
	}
	o.keys = len(fields)
	o.table = columns.NewTable(append(fields, anomaly.Fields()...))
	if err := o.engine.Bind(fields); err != nil {
		return err
	}
	load := o.engine.Restore
	for _, parent := range o.parents[shard] {
		state, err := o.endOf(parent)
		if err != nil {
			return err
		}
		if err := load(state); err != nil {
			return err
		}
		load = o.engine.Merge
	}
	o.shard = shard
	return nil
}

// end keeps what the detectors know at the end of the shard that is open.
func (o *oracle) end() error {
	if o.engine != nil {
		o.ends[o.shard] = o.engine.Snapshot(nil)
	}
	return nil
}

// endOf is what the detectors knew at the end of a shard, also of one without rows.
func (o *oracle) endOf(shard int64) ([]byte, error) {
	if state, ok := o.ends[shard]; ok {
		return state, nil
	}
	alone := oracle{settings: o.settings, parents: o.parents, ends: o.ends}
	if err := alone.open(shard); err != nil {
		return nil, err
	}
	return alone.engine.Snapshot(nil), alone.end()
}

// visit scores a row, and compares.
func (o *oracle) visit(shard int64, row check.Row) error {
	if o.engine == nil || shard != o.shard {
		if err := o.open(shard); err != nil {
			return err
		}
	}
	values := make(map[string]any, len(row.Columns))
	for i, c := range row.Columns {
		values[c.Name] = row.Values[i]
	}
	for i := range o.keys {
		if text, ok := values[o.table.Columns[i].Name].(string); ok {
			o.table.Columns[i].AppendString(text)
		} else {
			o.table.Columns[i].AppendNull()
		}
	}
	arrival, ok := values["ingest_time"].(time.Time)
	if !ok {
		return fmt.Errorf("a row of shard %d has no ingest_time", shard)
	}
	verdict := o.engine.Score(o.table, 0, arrival.UnixMilli())
	verdict.Append(o.table, o.keys)
	o.table.EndRow()
	o.rows++
	if len(verdict.Flags) > 0 {
		o.flagged++
	}
	for _, c := range o.table.Columns[o.keys:] {
		if want := value(&c); want != values[c.Name] {
			o.differ("shard %d, %v: %s is %v, and alone %v", shard, values["ingest_seq"], c.Name, values[c.Name], want)
			break
		}
	}
	o.table.Truncate(0)
	return nil
}

// value is that of a column's one row, as a check.Row has it.
func value(c *columns.Column) any {
	switch {
	case !c.Valid[0]:
		return nil
	case c.Type == columns.Boolean:
		return c.Bools[0]
	case c.Type == columns.Double:
		return c.Doubles[0]
	case c.Type == columns.Int64:
		return c.Ints[0]
	}
	return string(c.TextAt(0))
}

// differ notes a difference; the first few are shown.
func (o *oracle) differ(format string, args ...any) {
	o.wrong++
	if len(o.first) < 10 {
		o.first = append(o.first, fmt.Sprintf(format, args...))
	}
}
