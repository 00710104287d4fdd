package kdg

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

var (
	months   = [...]string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}
	weekdays = [...]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}
)

// dateNow shows the time of the record in its own location.
func dateNow(c *call) (generator, error) {
	pattern, err := c.format("YYYY-MM-DDTHH:mm:ssZ")
	format := compilePattern(pattern)
	return func(dst []byte, _ *rand.Rand, at time.Time) []byte { return format.append(dst, at) }, err
}

// dateUTC shows the time of the record in UTC.
func dateUTC(c *call) (generator, error) {
	pattern, err := c.format("YYYY-MM-DDTHH:mm:ss[Z]")
	format := compilePattern(pattern)
	return func(dst []byte, _ *rand.Rand, at time.Time) []byte { return format.append(dst, at.UTC()) }, err
}

// dateFormat is a pattern of moment.js (version 2, English), as a list of fields.
type dateFormat []dateField

// dateField is literal text where append is nil.
type dateField struct {
	literal string
	append  func(dst []byte, t moment) []byte
}

// moment is a time with what nearly every pattern asks for, taken apart once. It is passed by value: by address it
// would be allocated in every record.
type moment struct {
	time.Time
	year, day            int
	month                time.Month
	hour, minute, second int
}

func (f dateFormat) append(dst []byte, at time.Time) []byte {
	m := moment{Time: at}
	m.year, m.month, m.day = at.Date()
	m.hour, m.minute, m.second = at.Clock()
	for i := range f {
		if f[i].append == nil {
			dst = append(dst, f[i].literal...)
		} else {
			dst = f[i].append(dst, m)
		}
	}
	return dst
}

// compilePattern takes the longest token at each place, [text] and \token as they are, and all else as literal text:
// every pattern is one.
func compilePattern(pattern string) dateFormat {
	var f dateFormat
	for pattern != "" {
		if n := tokenLength(pattern); dateShorthands[pattern[:n]] != "" {
			f = append(f, compilePattern(dateShorthands[pattern[:n]])...)
			pattern = pattern[n:]
			continue
		}
		field, length := nextField(pattern)
		pattern = pattern[length:]
		if last := len(f) - 1; field.append == nil && last >= 0 && f[last].append == nil {
			f[last].literal += field.literal
		} else {
			f = append(f, field)
		}
	}
	return f
}

func nextField(pattern string) (f dateField, length int) {
	switch pattern[0] {
	case '[':
		if end := strings.IndexAny(pattern[1:], "[]"); end >= 0 && pattern[1+end] == ']' {
			return dateField{literal: pattern[1 : 1+end]}, end + 2
		}
	case '\\':
		if n := tokenLength(pattern[1:]); n > 0 {
			return dateField{literal: pattern[1 : 1+n]}, 1 + n
		}
	}
	if n := tokenLength(pattern); n > 0 {
		return dateField{append: dateTokens[pattern[:n]]}, n
	}
	_, n := utf8.DecodeRuneInString(pattern)
	return dateField{literal: pattern[:n]}, n
}

// longestToken is SSSSSSSSS.
const longestToken = 9

func tokenLength(pattern string) int {
	for n := min(longestToken, len(pattern)); n > 0; n-- {
		if dateTokens[pattern[:n]] != nil || dateShorthands[pattern[:n]] != "" {
			return n
		}
	}
	return 0
}

// number is a token that writes an integer with at least some digits.
func number(width int, of func(moment) int) func([]byte, moment) []byte {
	return func(dst []byte, t moment) []byte { return appendPadded(dst, of(t), width) }
}

// ordinal is a token that writes 1st, 2nd, 3rd, 4th.
func ordinal(of func(moment) int) func([]byte, moment) []byte {
	return func(dst []byte, t moment) []byte {
		n := of(t)
		suffix := "th"
		if n/10%10 != 1 && 1 <= n%10 && n%10 <= 3 {
			suffix = [...]string{"st", "nd", "rd"}[n%10-1]
		}
		return append(strconv.AppendInt(dst, int64(n), 10), suffix...)
	}
}

// fraction is a token that writes the first digits of the second's fraction.
func fraction(digits int) func([]byte, moment) []byte {
	divisor := int(pow10(9 - digits))
	return number(digits, func(t moment) int { return t.Nanosecond() / divisor })
}

// zone is a token that writes the offset from UTC, such as +02:00.
func zone(separator string) func([]byte, moment) []byte {
	return func(dst []byte, t moment) []byte {
		_, seconds := t.Zone()
		sign := byte('+')
		if seconds < 0 {
			sign, seconds = '-', -seconds
		}
		dst = appendPadded(append(dst, sign), seconds/3600, 2)
		return appendPadded(append(dst, separator...), seconds/60%60, 2)
	}
}

// halfDay is a token that writes am or pm.
func halfDay(morning, afternoon string) func([]byte, moment) []byte {
	return func(dst []byte, t moment) []byte {
		if t.hour < 12 {
			return append(dst, morning...)
		}
		return append(dst, afternoon...)
	}
}

// name is a token that writes the first letters of a name; 0 is all of them.
func name(letters int, of func(moment) string) func([]byte, moment) []byte {
	return func(dst []byte, t moment) []byte {
		s := of(t)
		if letters > 0 {
			s = s[:letters]
		}
		return append(dst, s...)
	}
}

// pattern is a token that stands for several.
func pattern(fields ...func([]byte, moment) []byte) func([]byte, moment) []byte {
	return func(dst []byte, t moment) []byte {
		for _, f := range fields {
			dst = f(dst, t)
		}
		return dst
	}
}

func appendPadded(dst []byte, n, width int) []byte {
	if n < 0 {
		dst = append(dst, '-')
		n = -n
	}
	for limit := int(pow10(width - 1)); limit > 1 && n < limit; limit /= 10 {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, int64(n), 10)
}

func ofYear(t moment) int           { return t.year }
func ofQuarter(t moment) int        { return (int(t.month) + 2) / 3 }
func ofMonth(t moment) int          { return int(t.month) }
func ofMonthName(t moment) string   { return months[t.month-1] }
func ofDay(t moment) int            { return t.day }
func ofYearDay(t moment) int        { return t.YearDay() }
func ofWeekday(t moment) int        { return int(t.Weekday()) }
func ofWeekdayName(t moment) string { return weekdays[t.Weekday()] }
func ofISOWeekday(t moment) int     { return (int(t.Weekday())+6)%7 + 1 }
func ofISOYear(t moment) int        { y, _ := t.ISOWeek(); return y }
func ofISOWeek(t moment) int        { _, w := t.ISOWeek(); return w }
func ofHour(t moment) int           { return t.hour }
func ofHour12(t moment) int         { return (t.hour+11)%12 + 1 }
func ofHour24(t moment) int         { return (t.hour+23)%24 + 1 }
func ofMinute(t moment) int         { return t.minute }
func ofSecond(t moment) int         { return t.second }
func lastTwo(of func(moment) int) func(moment) int {
	return func(t moment) int { return (of(t)%100 + 100) % 100 }
}

// saturday ends the week of t in English: weeks begin on Sunday, and the first of a year is that of January 1.
func saturday(t moment) time.Time { return t.AddDate(0, 0, 6-int(t.Weekday())) }
func ofWeekYear(t moment) int     { return saturday(t).Year() }
func ofWeek(t moment) int         { return (saturday(t).YearDay()-1)/7 + 1 }

// dateTokens are moment's. The map is never written.
var dateTokens = map[string]func([]byte, moment) []byte{
	"Y": number(1, ofYear), "YY": number(2, lastTwo(ofYear)), "YYYY": number(4, ofYear),
	"Q": number(1, ofQuarter), "Qo": ordinal(ofQuarter),
	"M": number(1, ofMonth), "Mo": ordinal(ofMonth), "MM": number(2, ofMonth), "MMM": name(3, ofMonthName), "MMMM": name(0, ofMonthName),
	"D": number(1, ofDay), "Do": ordinal(ofDay), "DD": number(2, ofDay),
	"DDD": number(1, ofYearDay), "DDDo": ordinal(ofYearDay), "DDDD": number(3, ofYearDay),
	"d": number(1, ofWeekday), "do": ordinal(ofWeekday), "dd": name(2, ofWeekdayName), "ddd": name(3, ofWeekdayName), "dddd": name(0, ofWeekdayName),
	"e": number(1, ofWeekday), "E": number(1, ofISOWeekday),
	"w": number(1, ofWeek), "wo": ordinal(ofWeek), "ww": number(2, ofWeek), "gg": number(2, lastTwo(ofWeekYear)), "gggg": number(4, ofWeekYear),
	"W": number(1, ofISOWeek), "Wo": ordinal(ofISOWeek), "WW": number(2, ofISOWeek), "GG": number(2, lastTwo(ofISOYear)), "GGGG": number(4, ofISOYear),

	"H": number(1, ofHour), "HH": number(2, ofHour),
	"h": number(1, ofHour12), "hh": number(2, ofHour12),
	"k": number(1, ofHour24), "kk": number(2, ofHour24),
	"m": number(1, ofMinute), "mm": number(2, ofMinute),
	"s": number(1, ofSecond), "ss": number(2, ofSecond),
	"Hmm": pattern(number(1, ofHour), number(2, ofMinute)), "Hmmss": pattern(number(1, ofHour), number(2, ofMinute), number(2, ofSecond)),
	"hmm": pattern(number(1, ofHour12), number(2, ofMinute)), "hmmss": pattern(number(1, ofHour12), number(2, ofMinute), number(2, ofSecond)),
	"S": fraction(1), "SS": fraction(2), "SSS": fraction(3), "SSSS": fraction(4), "SSSSS": fraction(5),
	"SSSSSS": fraction(6), "SSSSSSS": fraction(7), "SSSSSSSS": fraction(8), "SSSSSSSSS": fraction(9),
	"a": halfDay("am", "pm"), "A": halfDay("AM", "PM"),

	"Z": zone(":"), "ZZ": zone(""),
	"z": zoneName, "zz": zoneName,
	"X": func(dst []byte, t moment) []byte { return strconv.AppendInt(dst, t.Unix(), 10) },
	"x": func(dst []byte, t moment) []byte { return strconv.AppendInt(dst, t.UnixMilli(), 10) },
}

// dateShorthands stand for whole patterns, those of the English language. The map is never written.
var dateShorthands = map[string]string{
	"LT": "h:mm A", "LTS": "h:mm:ss A",
	"L": "MM/DD/YYYY", "LL": "MMMM D, YYYY", "LLL": "MMMM D, YYYY h:mm A", "LLLL": "dddd, MMMM D, YYYY h:mm A",
	"l": "M/D/YYYY", "ll": "MMM D, YYYY", "lll": "MMM D, YYYY h:mm A", "llll": "ddd, MMM D, YYYY h:mm A",
}

func zoneName(dst []byte, t moment) []byte {
	abbreviation, _ := t.Zone()
	return append(dst, abbreviation...)
}
