package transform

import (
	"slices"
	"strconv"

	"github.com/sluice-etl/sluice/internal/columns"
)

// TimeFormat reads the time that a row tells of itself in a column. It is not safe for concurrent use.
type TimeFormat struct {
	patterns []*timePattern
	auto     bool // numbers are times since 1970
	scratch  [24]byte
}

// autoLayouts are the forms that auto reads beside numbers and parseTime's. The fraction of a second need not be told. A time
// without an offset is UTC's.
var autoLayouts = []string{
	"2006-01-02T15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04:05.999999999Z07:00", "02/Jan/2006:15:04:05 -0700", "2006-01-02T15:04:05.999999999-0700",
	"2006-01-02 15:04:05.999999999-0700", "Mon, 02 Jan 2006 15:04:05 -0700", "2006-01-02",
}

// ParseTimeFormat reads auto, or what a schema can have as the format of a timestamp: epoch_s, epoch_ms, a layout of Go's
// package time, or a pattern of java.time.format.DateTimeFormatter.
func ParseTimeFormat(text string) (*TimeFormat, error) {
	layouts := []string{text}
	f := &TimeFormat{auto: text == "auto"}
	if f.auto {
		layouts = autoLayouts
	}
	for _, layout := range layouts {
		p, err := compileTime(layout)
		if err != nil {
			return nil, err
		}
		f.patterns = append(f.patterns, p)
	}
	return f, nil
}

// Clone gives a format for another goroutine.
func (f *TimeFormat) Clone() TimeFormat {
	return TimeFormat{patterns: slices.Clone(f.patterns), auto: f.auto}
}

// Time gives the time of a row in milliseconds since 1970 UTC, of the years 0000 to 9999. It is not ok where the column has
// none: null, or another text than the format reads.
func (f *TimeFormat) Time(c *columns.Column, row int) (ms int64, ok bool) {
	if !c.Valid[row] {
		return 0, false
	}
	switch c.Type {
	case columns.Timestamp:
		ms, ok = c.Ints[row], true
	case columns.Int64:
		if f.auto {
			ms, ok = epoch(c.Ints[row]), true
		} else {
			ms, ok = f.parse(strconv.AppendInt(f.scratch[:0], c.Ints[row], 10))
		}
	case columns.Double:
		v := c.Doubles[row]
		switch {
		case !f.auto:
			ms, ok = f.parse(strconv.AppendFloat(f.scratch[:0], v, 'f', -1, 64))
		case v > -maxSeconds && v < maxSeconds:
			ms, ok = int64(v*1000), true
		case v > -1e17 && v < 1e17:
			ms, ok = epoch(int64(v)), true
		}
	case columns.String:
		ms, ok = f.parse(c.TextAt(row))
	}
	return ms, ok && ms >= minTime && ms < endTime
}

// maxSeconds is where numbers are no seconds any more: in the year 5138, or of milliseconds in 1973.
const maxSeconds = 100_000_000_000

// epoch is the time that a number tells, which are seconds, milliseconds, microseconds or nanoseconds since 1970, by its size.
func epoch(n int64) (ms int64) {
	size := n
	if size < 0 {
		size = -size
	}
	switch {
	case size < maxSeconds:
		return n * 1000
	case size < maxSeconds*1000:
		return n
	case size < maxSeconds*1000_000:
		return n / 1000
	}
	return n / 1000_000
}

// parse reads a text. The pattern that it had is tried first the next time.
func (f *TimeFormat) parse(text []byte) (ms int64, ok bool) {
	if len(text) == 0 || len(text) > 64 {
		return 0, false
	}
	if f.auto {
		if ms, ok = parseTime(text); ok {
			return ms, true
		}
		if n, rest := leadingDigits(text, 19); len(rest) == 0 && n >= 0 {
			return epoch(int64(n)), true
		}
	}
	for i, p := range f.patterns {
		if ms, ok, _ = p.parse(text); ok {
			copy(f.patterns[1:i+1], f.patterns[:i])
			f.patterns[0] = p
			return ms, true
		}
	}
	return 0, false
}
