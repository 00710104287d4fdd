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
// Those are missing that depend on a locale (weeks, and the names of zones and of parts of the day), and those that belong to
// a form of other fields (p, F, g).
//
// https://docs.oracle.com/javase/8/docs/api/java/time/format/DateTimeFormatter.html
var dateLetters = map[byte]int{
	'G': 5,         // era: AD, Anno Domini or A
	'y': 9, 'u': 9, // year of the era, year
	'Q': 4, 'q': 4, // quarter: number, Q1, 1st quarter
	'M': 5, 'L': 5, // month: number, or from three letters on its English name: short, full, its first letter
	'd': 2, 'D': 3, // day of the month, of the year
	'E': 5,         // day of the week, by its English name: short, from four letters on full, its first letter
	'H': 2, 'k': 2, // hour of the day, from 0 and from 1
	'h': 2, 'K': 2, 'a': 1, // hour of the half day, from 1 and from 0; AM or PM
	'm': 2, 's': 2, 'S': 9, // minute, second, fraction of a second
	'A': 19, 'n': 19, 'N': 19, // millisecond of the day, nanosecond, nanosecond of the day
	'X': 5, 'x': 5, 'Z': 5, // offset from UTC: with Z for none, without, of RFC 822
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
				return fail("the letter %q of the pattern %q is not supported; G, y, u, Q, M, d, D, E, H, k, h, K, a, m, s, S, A, n, N, X, x and Z are, and text stands in apostrophes", c, pattern)
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
		case 'G':
			dst = append(dst, eras[t.Year() <= 0][max(0, f.count-3)]...)
		case 'Q', 'q':
			dst = appendQuarter(dst, (int(t.Month())+2)/3, f.count)
		case 'M', 'L':
			switch f.count {
			case 3:
				dst = append(dst, t.Month().String()[:3]...)
			case 4:
				dst = append(dst, t.Month().String()...)
			case 5:
				dst = append(dst, t.Month().String()[0])
			default:
				dst = appendPadded(dst, int(t.Month()), f.count)
			}
		case 'd':
			dst = appendPadded(dst, t.Day(), f.count)
		case 'D':
			dst = appendPadded(dst, t.YearDay(), f.count)
		case 'E':
			name := t.Weekday().String()
			switch {
			case f.count < 4:
				name = name[:3]
			case f.count == 5:
				name = name[:1]
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
		case 'A':
			dst = appendPadded(dst, int(sinceMidnight(t)/time.Millisecond), f.count)
		case 'n':
			dst = appendPadded(dst, t.Nanosecond(), f.count)
		case 'N':
			dst = appendPadded(dst, int(sinceMidnight(t)), f.count)
		case 'X', 'x', 'Z':
			dst = appendOffset(dst, t, f)
		}
	}
	return dst
}

// eras are the texts of G, of this era and of the one before Christ.
var eras = map[bool][3]string{false: {"AD", "Anno Domini", "A"}, true: {"BC", "Before Christ", "B"}}

// sinceMidnight is the time of the day that a clock shows.
func sinceMidnight(t time.Time) time.Duration {
	hour, minute, second := t.Clock()
	return time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second + time.Duration(t.Nanosecond())
}

// appendOffset renders the offset from UTC. One letter X or x gives hours, and minutes where there are any; two have minutes,
// and three a colon before them; four and five are the same with seconds where there are any. Of Z, up to three letters are
// hours and minutes, four begin with GMT, and five are as XXXXX.
func appendOffset(dst []byte, t time.Time, f dateField) []byte {
	_, offset := t.Zone()
	letter, count := f.letter, f.count
	if letter == 'Z' {
		switch {
		case count <= 3:
			letter, count = 'x', 2
		case count == 4:
			dst = append(dst, "GMT"...)
			if offset == 0 {
				return dst
			}
			letter = 'x'
			count = 5
		default:
			letter = 'X'
		}
	}
	if letter == 'X' && offset == 0 {
		return append(dst, 'Z')
	}
	sign := byte('+')
	if offset < 0 {
		sign, offset = '-', -offset
	}
	dst = appendPadded(append(dst, sign), offset/3600, 2)
	colon := count == 3 || count == 5
	for i, n := range []int{offset / 60 % 60, offset % 60} {
		if i == 0 && count == 1 && n == 0 || i == 1 && (count < 4 || n == 0) {
			break
		}
		if colon {
			dst = append(dst, ':')
		}
		dst = appendPadded(dst, n, 2)
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
