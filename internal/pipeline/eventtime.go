package pipeline

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/transform"
)

// EventTime says which column tells when what a row is about happened. Its zero value says that none does: a row's time is
// its arrival then.
type EventTime struct {
	Column    string // empty for none
	Format    *transform.TimeFormat
	Partition bool          // the prefix shows this time, and not the arrival
	MaxSkew   time.Duration // a time further from the arrival is not believed
}

// Clock tells the times by which the rows of a table are judged. It is not safe for concurrent use.
type Clock struct {
	format transform.TimeFormat
	column *columns.Column // nil where none is configured
	skew   int64           // milliseconds
}

// Clock finds the column of the time among those of a table.
func (e EventTime) Clock(own []columns.Column) (c Clock, err error) {
	if e.Column == "" {
		return c, nil
	}
	var names []string
	for i := range own {
		if own[i].Name == e.Column {
			c.column = &own[i]
		}
		names = append(names, own[i].Name)
	}
	switch {
	case c.column == nil:
		return c, fmt.Errorf("SLUICE_TIME_COLUMN: there is no column %q; there are %s", e.Column, strings.Join(names, ", "))
	case c.column.Type == columns.Boolean:
		return c, fmt.Errorf("SLUICE_TIME_COLUMN: the column %q is boolean; times are timestamp, string, int64 or double", e.Column)
	}
	c.format, c.skew = e.Format.Clone(), e.MaxSkew.Milliseconds()
	return c, nil
}

// Time is the time of a row, given its arrival: what the row tells, if it tells one (known) that is not too far from the arrival; else
// the arrival. All are milliseconds since 1970.
func (c *Clock) Time(row int, arrival int64) (at, told int64, known bool) {
	if c.column == nil {
		return arrival, 0, false
	}
	told, known = c.format.Time(c.column, row)
	if skew := told - arrival; known && max(skew, -skew) <= c.skew {
		return told, told, true
	}
	return arrival, told, known
}

// eventTimes are the times that the rows of a batch tell.
type eventTimes struct {
	EventTime
	Clock
	rescued *columns.Column

	at     []int64 // of the rows of a payload: the time by which they are scored, in milliseconds since 1970
	order  []int64 // of the rows of the batch: by which a file is sorted
	skewed []int   // rows of a payload of which the time is not believed
	marked int     // such rows in the batch
	text   []byte  // scratch
	ends   []int
}

// bind finds the columns among those of the decoder.
func (e *eventTimes) bind(own []columns.Column) (err error) {
	for i := range own {
		if own[i].Name == transform.RescuedColumn {
			e.rescued = &own[i]
		}
	}
	e.Clock, err = e.EventTime.Clock(own)
	return err
}

// take finds the times of rows that a payload gave, from the first on, which arrived together. It returns how many rows have
// something in the column rescued for the first time: a time that is not believed is kept there too, which marks the row.
func (e *eventTimes) take(first, rows int, arrival int64) (rescued int) {
	e.at, e.skewed = e.at[:0], e.skewed[:0]
	for row := first; row < first+rows; row++ {
		at, told, known := e.Time(row, arrival)
		if e.column != nil {
			order := int64(math.MaxInt64) // rows without a time come last
			if known {
				order = told
				if at != told {
					e.skewed = append(e.skewed, row)
				}
			}
			if e.column.Type == columns.Int64 && e.column.Valid[row] {
				order = e.column.Ints[row] // as the file's metadata say
			}
			e.order = append(e.order, order)
		}
		e.at = append(e.at, at)
	}
	if len(e.skewed) > 0 {
		rescued = e.mark(first + rows)
	}
	e.marked += len(e.skewed)
	return rescued
}

// mark writes the column rescued again from the first row that is skewed to the last of the payload.
func (e *eventTimes) mark(end int) (rescued int) {
	c, first := e.rescued, e.skewed[0]
	e.text, e.ends = e.text[:0], e.ends[:0]
	for row := first; row < end; row++ {
		e.text = append(e.text, c.TextAt(row)...)
		e.ends = append(e.ends, len(e.text))
	}
	valid := slices.Clone(c.Valid[first:end])
	c.Truncate(first)
	start, next := 0, 0
	for i, ends := range e.ends {
		old := e.text[start:ends]
		start = ends
		switch {
		case next < len(e.skewed) && e.skewed[next] == first+i:
			next++
			if !valid[i] {
				rescued++
			}
			c.AppendText(e.marking(first+i, old))
		case valid[i]:
			c.AppendText(old)
		default:
			c.AppendNull()
		}
	}
	return rescued
}

// marking is the JSON object old, or a new one where it is empty, with the time of a row.
func (e *eventTimes) marking(row int, old []byte) []byte {
	ms, _ := e.format.Time(e.column, row)
	marked := fmt.Appendf(nil, `{"%s":"%s"`, e.Column, time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z"))
	if len(old) == 0 {
		return append(marked, '}')
	}
	return append(append(marked, ','), old[1:]...)
}

// sort orders rows by their times, and by the stream where these are equal.
func (e *eventTimes) sort(rows []int32) {
	if e.column != nil {
		slices.SortStableFunc(rows, func(a, b int32) int { return cmp.Compare(e.order[a], e.order[b]) })
	}
}

// retain drops rows from the first of a payload on, those that do not stay.
func (e *eventTimes) retain(first int, stays func(row int) bool) {
	e.marked -= len(slices.DeleteFunc(slices.Clone(e.skewed), stays))
	if e.column == nil {
		return
	}
	kept := e.order[:first]
	for row := first; row < len(e.order); row++ {
		if stays(row) {
			kept = append(kept, e.order[row])
		}
	}
	e.order = kept
}

func (e *eventTimes) reset() { e.order, e.marked = e.order[:0], 0 }
