package transform

import (
	"bytes"
	"strings"
)

// conversion is a conversion of a strftime pattern, or, with the letter 0, text.
type conversion struct {
	letter byte
	text   []byte
}

// composites are the conversions that stand for several, in the C locale.
var composites = map[byte]string{
	'c': "%a %b %e %H:%M:%S %Y", 'D': "%m/%d/%y", 'F': "%Y-%m-%d", 'R': "%H:%M", 'r': "%I:%M:%S %p", 'T': "%H:%M:%S",
	'X': "%H:%M:%S", 'x': "%m/%d/%y", 'n': "\n", 't': "\t", '%': "%%", '+': "%a %b %e %H:%M:%S %Z %Y",
}

// strftime reads a pattern. It is not ok where a conversion says nothing about when (as weeks do), or is unknown.
func strftime(pattern string) (list []conversion, ok bool) {
	for pattern != "" {
		text, rest, found := strings.Cut(pattern, "%")
		if text != "" {
			list = append(list, conversion{text: []byte(text)})
		}
		if !found {
			break
		}
		rest = strings.TrimLeft(rest, "-_0^#EO") // flags: how it is padded, and spelled
		if rest == "" {
			return nil, false
		}
		letter := rest[0]
		pattern = rest[1:]
		switch composite := composites[letter]; {
		case letter == '%':
			list = append(list, conversion{text: []byte{'%'}})
		case composite != "":
			parts, _ := strftime(composite)
			list = append(list, parts...)
		case strings.IndexByte("YymbBhdejHkIlMSpPzZsaA", letter) >= 0:
			list = append(list, conversion{letter: letter})
		default:
			return nil, false
		}
	}
	return list, true
}

// tells finds out whether conversions together, by their letters, say what a moment in time is: to the minute at least.
func tells(letters string) bool {
	has := func(any string) bool { return strings.ContainsAny(letters, any) }
	date := has("Yy") && (has("mbBh") && has("de") || has("j"))
	return has("s") || date && (has("Hk") || has("Il") && has("pP")) && has("M")
}

var (
	monthNames = [...]string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}
	dayNames   = [...]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}
)

// moment is a time that several texts of a line may tell together. Its zero value is not begun.
type moment struct {
	clock
	day     int   // of the year, from 1; 0 where month and date tell it
	half    bool  // the hour is of half a day,
	late    bool  // the second one
	seconds int64 // since 1970, where epoch is set
	epoch   bool
	zoned   bool // the offset is known
	foreign bool // the zone has a name, which is not that of UTC
}

// parse takes in what a text of the pattern says. It is not ok if the text is not of the pattern.
func (m *moment) parse(pattern []conversion, text []byte) (ok bool) {
	for _, c := range pattern {
		if c.letter == 0 {
			if !bytes.HasPrefix(text, c.text) {
				return false
			}
			text = text[len(c.text):]
		} else if text, ok = m.convert(c.letter, text); !ok {
			return false
		}
	}
	return len(text) == 0
}

// convert takes in what the beginning of a text says.
func (m *moment) convert(letter byte, text []byte) (rest []byte, ok bool) {
	n := 0
	switch letter {
	case 'Y':
		m.year, rest = leadingDigits(text, 4)
		return rest, len(text)-len(rest) == 4
	case 'y':
		n, rest = leadingDigits(text, 2)
		m.year = 1900 + n
		if n < 69 {
			m.year += 100
		}
		return rest, len(text)-len(rest) == 2
	case 'm':
		m.month, rest = leadingDigits(text, 2)
	case 'd', 'e':
		m.date, rest = leadingDigits(padded(text), 2)
	case 'j':
		m.day, rest = leadingDigits(padded(text), 3)
		if m.day == 0 {
			return rest, false
		}
	case 'H', 'k':
		m.hour, rest = leadingDigits(padded(text), 2)
	case 'I', 'l':
		m.hour, rest = leadingDigits(padded(text), 2)
		m.half = true
		return rest, m.hour >= 1 && m.hour <= 12
	case 'M':
		m.minute, rest = leadingDigits(text, 2)
	case 'S':
		m.second, rest = leadingDigits(text, 2)
	case 's':
		n, rest = leadingDigits(text, 12)
		m.seconds, m.epoch = int64(n), true
	case 'b', 'B', 'h':
		n, rest = leadingName(monthNames[:], text)
		m.month = n + 1
		return rest, n >= 0
	case 'a', 'A':
		n, rest = leadingName(dayNames[:], text)
		return rest, n >= 0
	case 'p', 'P':
		if len(text) < 2 || text[1]|0x20 != 'm' {
			return text, false
		}
		m.late = text[0]|0x20 == 'p'
		return text[2:], m.late || text[0]|0x20 == 'a'
	case 'z':
		return m.convertOffset(text)
	case 'Z':
		rest = bytes.TrimLeft(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
		name := text[:len(text)-len(rest)]
		m.foreign = string(name) != "UTC" && string(name) != "GMT" && string(name) != "Z"
	}
	return rest, len(rest) < len(text)
}

// convertOffset takes in +hhmm, +hh:mm or Z.
func (m *moment) convertOffset(text []byte) (rest []byte, ok bool) {
	m.zoned = true
	if len(text) > 0 && text[0] == 'Z' {
		return text[1:], true
	}
	var written [len("+07:00")]byte
	switch {
	case len(text) >= 6 && text[3] == ':':
		copy(written[:], text)
		rest = text[6:]
	case len(text) >= 5:
		written = [...]byte{text[0], text[1], text[2], ':', text[3], text[4]}
		rest = text[5:]
	}
	m.offset, ok = parseOffset(written[:])
	return rest, ok
}

// time gives the milliseconds since 1970 UTC. A time without an offset is UTC's.
func (m *moment) time() (ms int64, ok bool) {
	if m.epoch {
		ms = m.seconds*1000 + int64(m.milli)
		return ms, ms < endTime
	}
	if m.foreign && !m.zoned {
		return 0, false
	}
	c := m.clock
	if m.half {
		c.hour %= 12
		if m.late {
			c.hour += 12
		}
	}
	if m.day == 0 {
		return c.time()
	}
	c.month, c.date = 1, 1
	ms, ok = c.time()
	last := 337 + daysIn(c.year, 2)
	return ms + int64(m.day-1)*day, ok && m.day <= last
}

// leadingDigits reads at most so many digits.
func leadingDigits(text []byte, most int) (n int, rest []byte) {
	i := 0
	for i < len(text) && i < most && text[i]-'0' <= 9 {
		n = n*10 + int(text[i]-'0')
		i++
	}
	return n, text[i:]
}

// leadingName finds the name that the text begins with, whole or as its first three letters; -1 if there is none.
func leadingName(names []string, text []byte) (n int, rest []byte) {
	for i, name := range names {
		if len(text) < 3 || text[0] != name[0] || text[1] != name[1] || text[2] != name[2] {
			continue
		}
		if len(text) >= len(name) && string(text[:len(name)]) == name {
			return i, text[len(name):]
		}
		return i, text[3:]
	}
	return -1, text
}

// padded is the text without the space that may fill up a number.
func padded(text []byte) []byte {
	if len(text) > 0 && text[0] == ' ' {
		return text[1:]
	}
	return text
}
