package sink

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// dateField is a letter of a pattern with how often it stands there, or, with the letter 0, text.
type dateField struct {
	letter byte
	count  int
	text   string
}

// dateLetters are the supported letters of java.time.format.DateTimeFormatter, each with how often it may be repeated.
// Weeks are missing: which day begins one depends on a locale.
var dateLetters = map[byte]int{
	'y': 9, 'u': 9, // year
	'Q': 4, 'q': 4, // quarter: number, Q1, 1st quarter
	'M': 4, 'L': 4, // month: number, or from three letters on its English name
	'd': 2, 'D': 3, // day of the month, of the year
	'E': 4,         // day of the week, by its English name
	'H': 2, 'k': 2, // hour of the day, from 0 and from 1
	'h': 2, 'K': 2, 'a': 1, // hour of the half day, from 1 and from 0; AM or PM
	'm': 2, 's': 2, 'S': 9, // minute, second, fraction of a second
}

// patternError is a fault of a pattern at an offset in it.
type patternError struct {
	at   int
	text string
}

func (e *patternError) Error() string { return e.text }

// parseDatePattern reads a pattern. Letters are fields, text in apostrophes and other characters stand for themselves.
// All its errors are of the type patternError.
func parseDatePattern(pattern string) ([]dateField, error) {
	if pattern == "" {
		return nil, &patternError{0, "the timestamp has no pattern; it reads !{timestamp:yyyy-MM-dd}"}
	}
	var fields []dateField
	text := func(s string) {
		if n := len(fields); n > 0 && fields[n-1].letter == 0 {
			fields[n-1].text += s
		} else {
			fields = append(fields, dateField{text: s})
		}
	}
	for i := 0; i < len(pattern); {
		fail := func(format string, args ...any) ([]dateField, error) {
			return nil, &patternError{i, fmt.Sprintf(format, args...)}
		}
		c := pattern[i]
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			n := 1
			for i+n < len(pattern) && pattern[i+n] == c {
				n++
			}
			most, ok := dateLetters[c]
			switch {
			case c == 'Y':
				return fail("the letter 'Y' of the pattern %q is the year of a week, and not supported; the year is y", pattern)
			case !ok:
				return fail("the letter %q of the pattern %q is not supported; y, u, Q, M, d, D, E, H, k, h, K, a, m, s and S are, and text stands in apostrophes", c, pattern)
			case n > most:
				return fail("%q of the pattern %q is repeated more often than the %d times that it can be", c, pattern, most)
			}
			fields = append(fields, dateField{letter: c, count: n})
			i += n
		case c == '\'':
			quoted, n := unquote(pattern[i:])
			if n == 0 {
				return fail("the pattern %q has an apostrophe that is not closed", pattern)
			}
			text(quoted)
			i += n
		case strings.IndexByte("[]{}#", c) >= 0:
			return fail("the pattern %q has a %q, which is reserved; text stands in apostrophes", pattern, c)
		default:
			text(pattern[i : i+1]) // a byte: characters may have several
			i++
		}
	}
	return fields, nil
}

// unquote reads the text in apostrophes that a pattern begins with, and tells how long it is with them, or 0 where it
// does not end. Two apostrophes stand for one, within a text and alone.
func unquote(pattern string) (text string, length int) {
	if strings.HasPrefix(pattern, "''") {
		return "'", 2
	}
	for i := 1; i < len(pattern); i++ {
		if pattern[i] != '\'' {
			continue
		}
		if i+1 == len(pattern) || pattern[i+1] != '\'' {
			return strings.ReplaceAll(pattern[1:i], "''", "'"), i + 1
		}
		i++
	}
	return "", 0
}

// appendDate renders a time as its location shows it.
func appendDate(dst []byte, fields []dateField, t time.Time) []byte {
	for _, f := range fields {
		switch f.letter {
		case 0:
			dst = append(dst, f.text...)
		case 'y', 'u':
			dst = appendYear(dst, t.Year(), f)
		case 'Q', 'q':
			dst = appendQuarter(dst, (int(t.Month())+2)/3, f.count)
		case 'M', 'L':
			switch f.count {
			case 3:
				dst = append(dst, t.Month().String()[:3]...)
			case 4:
				dst = append(dst, t.Month().String()...)
			default:
				dst = appendPadded(dst, int(t.Month()), f.count)
			}
		case 'd':
			dst = appendPadded(dst, t.Day(), f.count)
		case 'D':
			dst = appendPadded(dst, t.YearDay(), f.count)
		case 'E':
			name := t.Weekday().String()
			if f.count < 4 {
				name = name[:3]
			}
			dst = append(dst, name...)
		case 'H':
			dst = appendPadded(dst, t.Hour(), f.count)
		case 'k':
			dst = appendPadded(dst, (t.Hour()+23)%24+1, f.count)
		case 'h':
			dst = appendPadded(dst, (t.Hour()+11)%12+1, f.count)
		case 'K':
			dst = appendPadded(dst, t.Hour()%12, f.count)
		case 'a':
			dst = append(dst, "AP"[t.Hour()/12], 'M')
		case 'm':
			dst = appendPadded(dst, t.Minute(), f.count)
		case 's':
			dst = appendPadded(dst, t.Second(), f.count)
		case 'S':
			start := len(dst)
			dst = appendPadded(dst, t.Nanosecond(), 9)[:start+f.count]
		}
	}
	return dst
}

func appendYear(dst []byte, year int, f dateField) []byte {
	if f.letter == 'y' && year <= 0 {
		year = 1 - year // of the era before Christ, as y has it
	}
	switch {
	case f.count == 2 && year < 0:
		return appendPadded(dst, -year%100, 2)
	case f.count == 2:
		return appendPadded(dst, year%100, 2)
	}
	return appendPadded(dst, year, f.count)
}

func appendQuarter(dst []byte, quarter, count int) []byte {
	switch count {
	case 3:
		return append(dst, 'Q', '0'+byte(quarter))
	case 4:
		return append(append(dst, [...]string{"1st", "2nd", "3rd", "4th"}[quarter-1]...), " quarter"...)
	}
	return appendPadded(dst, quarter, count)
}

// appendPadded appends a number with leading zeros up to a width.
func appendPadded(dst []byte, n, width int) []byte {
	if n < 0 {
		dst, n = append(dst, '-'), -n
	}
	for limit := 10; width > 1; width, limit = width-1, limit*10 {
		if n < limit {
			for ; width > 1; width-- {
				dst = append(dst, '0')
			}
			break
		}
	}
	return strconv.AppendInt(dst, int64(n), 10)
}
