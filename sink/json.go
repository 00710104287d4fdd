package sink

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/sluice-etl/sluice/internal/columns"
)

// JSONExtension begins the extension of files of JSON lines.
const JSONExtension = "json"

// jsonLines writes a row as a JSON object, with its columns in the table's order. A null is left out, and so is a double
// that is no number or infinite, which JSON has not: readers give null for both. Other values:
//
//   - A text is a string, with only quotes, backslashes and control characters escaped, and U+FFFD for each byte that is not
//     part of valid UTF-8.
//   - A double has the fewest digits from which the same double is read again, and always a point or an exponent, so that
//     readers that find types out do not take it for an integer.
//   - A timestamp is a string in UTC with milliseconds, 2006-01-02T15:04:05.000Z: a form that the OpenX SerDe of Athena's
//     engine takes for a timestamp without being told.
//
// https://github.com/trinodb/trino/blob/master/lib/trino-hive-formats/src/main/java/io/trino/hive/formats/line/openxjson/OpenXJsonDeserializer.java
type jsonLines struct {
	shown []jsonColumn
	date  date
}

// jsonColumn is a column that is shown.
type jsonColumn struct {
	*columns.Column
	key string // `"name":`
}

func (j *jsonLines) begin(t *columns.Table) error {
	j.shown = j.shown[:0]
	for i := range t.Columns {
		if c := &t.Columns[i]; !c.Hidden {
			j.shown = append(j.shown, jsonColumn{c, string(append(appendString(nil, []byte(c.Name)), ':'))})
		}
	}
	return nil
}

func (j *jsonLines) appendLine(dst []byte, row int) []byte {
	dst = append(dst, '{')
	first := len(dst)
	for i := range j.shown {
		c := &j.shown[i]
		if !c.Valid[row] {
			continue
		}
		start := len(dst)
		if start > first {
			dst = append(dst, ',')
		}
		dst = append(dst, c.key...)
		switch c.Type {
		case columns.String:
			dst = appendString(dst, c.TextAt(row))
		case columns.Timestamp:
			dst = append(appendScalar(append(dst, '"'), c.Column, row, &j.date), '"')
		case columns.Double:
			if v := c.Doubles[row]; math.IsNaN(v) || math.IsInf(v, 0) {
				dst = dst[:start]
				continue
			}
			fallthrough
		default:
			dst = appendScalar(dst, c.Column, row, &j.date)
		}
	}
	return append(dst, '}', '\n')
}

// appendScalar appends the text of a value, which is neither null nor a String.
func appendScalar(dst []byte, c *columns.Column, row int, d *date) []byte {
	switch c.Type {
	case columns.Int64:
		return strconv.AppendInt(dst, c.Ints[row], 10)
	case columns.Decimal:
		return columns.AppendDecimal(dst, c.Ints[row], c.Scale)
	case columns.Timestamp:
		return d.appendTime(dst, c.Ints[row])
	case columns.Double:
		return appendDouble(dst, c.Doubles[row])
	case columns.Boolean:
		return strconv.AppendBool(dst, c.Bools[row])
	}
	return dst
}

func appendDouble(dst []byte, v float64) []byte {
	start := len(dst)
	dst = strconv.AppendFloat(dst, v, 'g', -1, 64)
	for _, c := range dst[start:] {
		if c == '.' || c == 'e' || c == 'N' || c == 'I' { // NaN, +Inf
			return dst
		}
	}
	return append(dst, ".0"...)
}

// safe are the bytes that stand for themselves in a JSON string, but for those of characters beyond ASCII.
var safe = func() (table [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		table[c] = c != '"' && c != '\\'
	}
	return table
}()

const hexDigits = "0123456789abcdef"

// appendString appends a text as a JSON string.
func appendString(dst, text []byte) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(text); {
		c := text[i]
		if safe[c] {
			i++
			continue
		}
		size := 1
		if c >= utf8.RuneSelf {
			var r rune
			if r, size = utf8.DecodeRune(text[i:]); r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		dst = append(dst, text[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			if c >= utf8.RuneSelf {
				dst = append(dst, "\uFFFD"...)
			} else {
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
		}
		i += size
		start = i
	}
	return append(append(dst, text[start:]...), '"')
}

const day = 24 * 60 * 60 * 1000 // milliseconds

// date is the date of the last time that was written: most rows are of the same day.
type date struct {
	day  int64  // since 1970, in UTC
	text string // 2006-01-02T; empty where there was no time yet
}

// appendTime appends a time, in milliseconds since 1970, as 2006-01-02T15:04:05.000Z. Years beyond 9999 have more digits.
func (d *date) appendTime(dst []byte, ms int64) []byte {
	rest := mod(ms, day)
	if n := (ms - rest) / day; d.text == "" || n != d.day {
		d.day, d.text = n, time.UnixMilli(n*day).UTC().Format("2006-01-02T")
	}
	dst = append(dst, d.text...)
	digits := func(n int64, mark byte) {
		dst = append(dst, '0'+byte(n/10), '0'+byte(n%10), mark)
	}
	digits(rest/3_600_000, ':')
	digits(rest/60_000%60, ':')
	digits(rest/1000%60, '.')
	return append(dst, '0'+byte(rest/100%10), '0'+byte(rest/10%10), '0'+byte(rest%10), 'Z')
}
