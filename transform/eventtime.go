package transform

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/sluice-etl/sluice/internal/columns"
)

// TimeFormat reads the time that a row tells of itself in a column. It is not safe for concurrent use.
type TimeFormat struct {
	layouts []string // of package time
	auto    bool     // numbers are times since 1970
	scratch [20]byte
}

// autoLayouts are the forms that auto reads beside numbers and parseTime's. The fraction of a second need not be told. A time
// without an offset is UTC's.
var autoLayouts = []string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", "02/Jan/2006:15:04:05 -0700",
	"2006-01-02T15:04:05-0700", "2006-01-02 15:04:05-0700", "Mon, 02 Jan 2006 15:04:05 -0700", "2006-01-02",
}

// ParseTimeFormat reads auto, a layout of Go's package time, which has the year 2006, or a pattern of
// java.time.format.DateTimeFormatter. What it reads must tell the day, at least.
func ParseTimeFormat(text string) (*TimeFormat, error) {
	if text == "auto" {
		return &TimeFormat{layouts: autoLayouts, auto: true}, nil
	}
	layout := text
	if !strings.Contains(text, "2006") {
		var err error
		if layout, err = javaLayout(text); err != nil {
			return nil, err
		}
	}
	if strings.Contains(layout, "MST") {
		return nil, errors.New("the names of time zones are ambiguous; want an offset, such as XXX")
	}
	// What the layout does not tell comes back otherwise.
	some := time.Date(2021, time.November, 23, 10, 47, 0, 0, time.UTC)
	if back, err := time.Parse(layout, some.Format(layout)); err != nil || !back.Truncate(24*time.Hour).Equal(some.Truncate(24*time.Hour)) {
		return nil, errors.New("want auto, or a pattern that tells the day, such as yyyy-MM-dd HH:mm:ss or 2006-01-02 15:04:05")
	}
	return &TimeFormat{layouts: []string{layout}}, nil
}

// Clone gives a format for another goroutine.
func (f *TimeFormat) Clone() TimeFormat {
	return TimeFormat{layouts: slices.Clone(f.layouts), auto: f.auto}
}

// javaFields are the layouts of a letter of Java's patterns, by how often it is repeated, from once on.
var javaFields = map[byte][]string{
	'y': {"2006", "06", "", "2006"}, 'u': {"2006", "06", "", "2006"}, 'M': {"1", "01", "Jan", "January"}, 'L': {"1", "01", "Jan", "January"},
	'd': {"2", "02"}, 'D': {"", "", "002"}, 'E': {"Mon", "Mon", "Mon", "Monday"}, 'a': {"PM"}, 'H': {"15", "15"}, 'h': {"3", "03"},
	'm': {"4", "04"}, 's': {"5", "05"}, 'X': {"Z07", "Z0700", "Z07:00"}, 'x': {"-07", "-0700", "-07:00"}, 'Z': {"-0700", "-0700", "-0700", "", "Z07:00"},
}

// javaLayout turns a pattern of Java's DateTimeFormatter into a layout of Go's.
func javaLayout(pattern string) (string, error) {
	var layout strings.Builder
	for i := 0; i < len(pattern); {
		c := pattern[i]
		n := 1
		for i+n < len(pattern) && pattern[i+n] == c {
			n++
		}
		switch {
		case c == '\'':
			text, _, closed := strings.Cut(pattern[i+1:], "'")
			if !closed {
				return "", fmt.Errorf("at character %d: the apostrophe is not closed", i+1)
			}
			if text != "T" && text != "Z" && strings.ContainsFunc(text, isLetterOrDigit) {
				return "", fmt.Errorf("at character %d: of letters and digits, times can have T and Z alone as text", i+1)
			}
			layout.WriteString(text)
			n = len(text) + 2
		case c == 'S' && i > 0 && (pattern[i-1] == '.' || pattern[i-1] == ',') && n <= 9:
			layout.WriteString(strings.Repeat("0", n))
		case isLetterOrDigit(rune(c)):
			if fields := javaFields[c]; n > len(fields) || fields[n-1] == "" {
				return "", fmt.Errorf("at character %d: %q is not supported; years (yyyy), months (MM, MMM), days (dd), HH, hh, a, mm, ss, .SSS, EEE and offsets (XXX, Z) are", i+1, pattern[i:i+n])
			}
			layout.WriteString(javaFields[c][n-1])
		default:
			layout.WriteString(pattern[i : i+n])
		}
		i += n
	}
	return layout.String(), nil
}

func isLetterOrDigit(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
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
		if ok = f.auto && v > -1e17 && v < 1e17; ok && v > -maxSeconds && v < maxSeconds {
			ms = int64(v * 1000)
		} else if ok {
			ms = epoch(int64(v))
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

// parse reads a text. The layout that it had is tried first the next time.
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
	for i, layout := range f.layouts {
		// package time keeps nothing of the text
		at, err := time.Parse(layout, unsafe.String(&text[0], len(text)))
		if err != nil {
			continue
		}
		if i > 0 {
			f.layouts = append([]string{layout}, f.layouts...)
			f.layouts = append(f.layouts[:i+1], f.layouts[i+2:]...)
		}
		return at.UnixMilli(), true
	}
	return 0, false
}
