package transform

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-etl/sluice/internal/columns"
)

// The formats of a timestamp that are no patterns: numbers since 1970, in digits or as text.
const (
	formatSeconds = "epoch_s"
	formatMillis  = "epoch_ms"
)

// timePattern is a compiled format of times.
type timePattern struct {
	parts []timePart
	scale int // of an epoch: 3 where it is in seconds, 0 where it is in milliseconds
	since bool
}

// timePart is a piece of a pattern: text, or a number or name that says a part of a time.
type timePart struct {
	text      []byte // where kind is 0
	kind      byte   // a letter of strftime where it is read as there; f is a fraction, and 2 a year of this century in two digits
	least     int    // digits, of a number
	most      int
	zulu      bool // of an offset: Z stands for UTC
	colon     bool // and its minutes stand behind a colon,
	hours     bool // or it has none
	separator bool // a fraction has its point with it, and may be missing
}

// compileTime reads a format of times: epoch_s, epoch_ms, a layout of Go's package time, which has digits, or a pattern of
// java.time.format.DateTimeFormatter, which has none outside of apostrophes. A pattern has to say the year and the day.
func compileTime(format string) (*timePattern, error) {
	switch format {
	case formatSeconds:
		return &timePattern{since: true, scale: 3}, nil
	case formatMillis:
		return &timePattern{since: true}, nil
	}
	p := &timePattern{}
	read := p.java
	for i, outside := range strings.Split(format, "'") {
		if i%2 == 0 && strings.ContainsAny(outside, "0123456789") {
			read = p.golang
		}
	}
	if err := read(format); err != nil {
		return nil, fmt.Errorf("the time format %q: %w; want epoch_s, epoch_ms, or a pattern such as yyyy-MM-dd HH:mm:ss (Java) or 2006-01-02 15:04:05 (Go)", format, err)
	}
	count := func(kinds string) (n int) {
		for _, t := range p.parts {
			if t.kind != 0 && strings.IndexByte(kinds, t.kind) >= 0 {
				n++
			}
		}
		return n
	}
	has := func(kinds string) bool { return count(kinds) > 0 }
	for _, part := range []string{"Yy2", "mbj", "dj", "HI", "p", "M", "S", "f", "z"} {
		if count(part) > 1 {
			return nil, fmt.Errorf("the time format %q says a part of the time twice", format)
		}
	}
	switch {
	case !has("Yy2") || !(has("mb") && has("d") || has("j")):
		return nil, fmt.Errorf("the time format %q does not say the year, the month and the day", format)
	case has("I") != has("p"):
		return nil, fmt.Errorf("the time format %q has an hour of half a day, or AM and PM, but not both", format)
	}
	return p, nil
}

func (p *timePattern) literal(text string) {
	if n := len(p.parts); n > 0 && p.parts[n-1].kind == 0 {
		p.parts[n-1].text = append(p.parts[n-1].text, text...)
		return
	}
	p.parts = append(p.parts, timePart{text: []byte(text)})
}

// javaParts are letters of Java's patterns, by how often they stand there.
var javaParts = map[string]timePart{
	"y": {kind: 'Y', least: 4, most: 4}, "yy": {kind: '2', least: 2, most: 2}, "yyyy": {kind: 'Y', least: 4, most: 4},
	"u": {kind: 'Y', least: 4, most: 4}, "uu": {kind: '2', least: 2, most: 2}, "uuuu": {kind: 'Y', least: 4, most: 4},
	"M": {kind: 'm', least: 1, most: 2}, "MM": {kind: 'm', least: 2, most: 2}, "MMM": {kind: 'b'}, "MMMM": {kind: 'b'},
	"L": {kind: 'm', least: 1, most: 2}, "LL": {kind: 'm', least: 2, most: 2},
	"d": {kind: 'd', least: 1, most: 2}, "dd": {kind: 'd', least: 2, most: 2},
	"D": {kind: 'j', least: 1, most: 3}, "DDD": {kind: 'j', least: 3, most: 3},
	"E": {kind: 'a'}, "EE": {kind: 'a'}, "EEE": {kind: 'a'}, "EEEE": {kind: 'a'},
	"H": {kind: 'H', least: 1, most: 2}, "HH": {kind: 'H', least: 2, most: 2},
	"h": {kind: 'I', least: 1, most: 2}, "hh": {kind: 'I', least: 2, most: 2}, "a": {kind: 'p'},
	"m": {kind: 'M', least: 1, most: 2}, "mm": {kind: 'M', least: 2, most: 2},
	"s": {kind: 'S', least: 1, most: 2}, "ss": {kind: 'S', least: 2, most: 2},
	"X": {kind: 'z', zulu: true, hours: true}, "XX": {kind: 'z', zulu: true}, "XXX": {kind: 'z', zulu: true, colon: true},
	"x": {kind: 'z', hours: true}, "xx": {kind: 'z'}, "xxx": {kind: 'z', colon: true},
	"Z": {kind: 'z'}, "ZZ": {kind: 'z'}, "ZZZ": {kind: 'z'}, "ZZZZZ": {kind: 'z', zulu: true, colon: true},
}

// java reads a pattern: letters say a part of a time, text stands in apostrophes, and other characters for themselves.
func (p *timePattern) java(pattern string) error {
	for pattern != "" {
		c := pattern[0]
		n := len(pattern) - len(strings.TrimLeft(pattern, string(rune(c))))
		switch {
		case 'a' <= c|0x20 && c|0x20 <= 'z':
			part, ok := javaParts[pattern[:n]]
			if c == 'S' && n <= 9 {
				part, ok = timePart{kind: 'f', least: n, most: n}, true
			}
			if !ok {
				return fmt.Errorf("%q is not supported; letters that are text stand in apostrophes", pattern[:n])
			}
			p.parts = append(p.parts, part)
		case c == '\'':
			if n = closingApostrophe(pattern); n < 0 {
				return errors.New("an apostrophe is not closed")
			}
			p.literal(cmp.Or(strings.ReplaceAll(pattern[1:n], "''", "'"), "'"))
			n++
		case c == '[' || c == ']' || c == '{' || c == '}' || c == '#':
			return fmt.Errorf("%q is not supported; as text it stands in apostrophes", c)
		default:
			n = 1
			p.literal(pattern[:1])
		}
		pattern = pattern[n:]
	}
	return nil
}

// closingApostrophe is the place of the apostrophe that ends the text at the beginning of a pattern: two stand for one.
func closingApostrophe(pattern string) int {
	for i := 1; i < len(pattern); i++ {
		if pattern[i] != '\'' {
			continue
		}
		if i == 1 || i+1 == len(pattern) || pattern[i+1] != '\'' {
			return i
		}
		i++
	}
	return -1
}

// goParts are the pieces of Go's layouts; of two that begin alike the longer is first.
var goParts = []struct {
	text string
	part timePart
}{
	{"January", timePart{kind: 'b'}}, {"Jan", timePart{kind: 'b'}}, {"Monday", timePart{kind: 'a'}}, {"Mon", timePart{kind: 'a'}},
	{"MST", timePart{}}, {"2006", timePart{kind: 'Y', least: 4, most: 4}}, {"002", timePart{kind: 'j', least: 3, most: 3}},
	{"01", timePart{kind: 'm', least: 2, most: 2}}, {"02", timePart{kind: 'd', least: 2, most: 2}}, {"03", timePart{kind: 'I', least: 2, most: 2}},
	{"04", timePart{kind: 'M', least: 2, most: 2}}, {"05", timePart{kind: 'S', least: 2, most: 2}}, {"06", timePart{kind: 'y', least: 2, most: 2}},
	{"15", timePart{kind: 'H', least: 1, most: 2}}, {"1", timePart{kind: 'm', least: 1, most: 2}}, {"2", timePart{kind: 'd', least: 1, most: 2}},
	{"3", timePart{kind: 'I', least: 1, most: 2}}, {"4", timePart{kind: 'M', least: 1, most: 2}}, {"5", timePart{kind: 'S', least: 1, most: 2}},
	{"PM", timePart{kind: 'p'}}, {"pm", timePart{kind: 'p'}},
	{"-07:00:00", timePart{}}, {"Z07:00:00", timePart{}}, {"-070000", timePart{}}, {"Z070000", timePart{}}, {"__2", timePart{}}, {"_2", timePart{}},
	{"-07:00", timePart{kind: 'z', colon: true}}, {"-0700", timePart{kind: 'z'}}, {"-07", timePart{kind: 'z', hours: true, most: 1}},
	{"Z07:00", timePart{kind: 'z', zulu: true, colon: true}}, {"Z0700", timePart{kind: 'z', zulu: true}}, {"Z07", timePart{kind: 'z', zulu: true, hours: true, most: 1}},
}

// golang reads a layout.
func (p *timePattern) golang(layout string) error {
	for layout != "" {
		if n := goFraction(layout); n > 0 {
			part := timePart{kind: 'f', least: n - 1, most: n - 1, separator: true}
			switch {
			case layout[1] == '9':
				part.least, part.most = 0, 9
			case n-1 > 9:
				return fmt.Errorf("%q has more than nine digits", layout[:n])
			}
			p.parts = append(p.parts, part)
			layout = layout[n:]
			continue
		}
		i := slices.IndexFunc(goParts, func(g struct {
			text string
			part timePart
		}) bool {
			return strings.HasPrefix(layout, g.text)
		})
		if i < 0 {
			p.literal(layout[:1])
			layout = layout[1:]
			continue
		}
		if goParts[i].part.kind == 0 {
			return fmt.Errorf("%q is not supported", goParts[i].text)
		}
		p.parts = append(p.parts, goParts[i].part)
		layout = layout[len(goParts[i].text):]
	}
	return nil
}

// goFraction is the length of the fraction of a second that a layout begins with: a point or a comma, and zeros or nines that
// no other digit follows.
func goFraction(layout string) int {
	if len(layout) < 2 || layout[0] != '.' && layout[0] != ',' || layout[1] != '0' && layout[1] != '9' {
		return 0
	}
	n := 1 + len(layout[1:]) - len(strings.TrimLeft(layout[1:], layout[1:2]))
	if n < len(layout) && layout[n]-'0' <= 9 {
		return 0
	}
	return n
}

// parse reads a time as milliseconds since 1970 UTC, of which whole tells whether they say all that the text says: a
// timestamp does not keep less than milliseconds. Without an offset it is UTC's, without an hour it is midnight.
func (p *timePattern) parse(text []byte) (ms int64, ok, whole bool) {
	if p.since {
		s := scanner{data: text}
		n, end := s.number(0)
		if end != len(text) {
			return 0, false, false
		}
		ms, ok = p.epoch(&n)
		return ms, ok, ok
	}
	m, whole := moment{}, true
	for i := range p.parts {
		if text, ok = p.parts[i].read(&m, text, &whole); !ok {
			return 0, false, false
		}
	}
	if len(text) > 0 {
		return 0, false, false
	}
	ms, ok = m.time()
	return ms, ok, ok && whole
}

// epoch gives the time of a number, if it is one of whole milliseconds.
func (p *timePattern) epoch(n *number) (ms int64, ok bool) {
	ms, ok = n.decimal(columns.MaxPrecision, p.scale)
	return ms, ok && minTime <= ms && ms < endTime
}

// read takes in what the beginning of a text says.
func (t *timePart) read(m *moment, text []byte, whole *bool) (rest []byte, ok bool) {
	switch t.kind {
	case 0:
		return bytes.TrimPrefix(text, t.text), bytes.HasPrefix(text, t.text)
	case 'b', 'a', 'p':
		return m.convert(t.kind, text)
	case 'z':
		return t.offset(m, text)
	case 'f':
		return t.fraction(m, text, whole)
	}
	n, rest := leadingDigits(text, t.most)
	if len(text)-len(rest) < t.least {
		return text, false
	}
	switch t.kind {
	case 'Y':
		m.year = n
	case '2':
		m.year = 2000 + n
	case 'y':
		m.year = 1900 + n
		if n < 69 {
			m.year += 100
		}
	case 'm':
		m.month = n
	case 'd':
		m.date = n
	case 'j':
		m.day = n
		return rest, n > 0
	case 'H':
		m.hour = n
	case 'I':
		m.hour, m.half = n, true
		return rest, n >= 1 && n <= 12
	case 'M':
		m.minute = n
	case 'S':
		m.second = n
	}
	return rest, true
}

// fraction reads digits of a second.
func (t *timePart) fraction(m *moment, text []byte, whole *bool) (rest []byte, ok bool) {
	if t.separator {
		if len(text) == 0 || text[0] != '.' && text[0] != ',' || t.least == 0 && (len(text) == 1 || text[1]-'0' > 9) {
			return text, t.least == 0 // a point before no digit is no fraction's
		}
		text = text[1:]
	}
	n, rest := leadingDigits(text, t.most)
	digits := len(text) - len(rest)
	if digits < max(t.least, 1) {
		return text, false
	}
	for ; digits < 3; digits++ {
		n *= 10
	}
	for ; digits > 3; digits-- {
		*whole = *whole && n%10 == 0
		n /= 10
	}
	m.milli = n
	return rest, true
}

// offset reads an offset from UTC.
func (t *timePart) offset(m *moment, text []byte) (rest []byte, ok bool) {
	m.zoned = true
	if t.zulu && len(text) > 0 && text[0] == 'Z' {
		return text[1:], true
	}
	written := [...]byte{'+', '0', '0', ':', '0', '0'}
	size := copy(written[:3], text)
	switch {
	case t.colon:
		size = copy(written[:], text)
		ok = size == len(written)
	case size < 3:
	case t.hours && (t.most == 1 || len(text) < 5 || text[3]-'0' > 9):
		ok = true
	case len(text) >= 5:
		size, ok = 5, true
		written[4], written[5] = text[3], text[4]
	}
	if !ok {
		return text, false
	}
	m.offset, ok = parseOffset(written[:])
	return text[size:], ok
}

// patterns are the formats of the timestamps, by column; nil where a column's times are ISO 8601, or all are.
type patterns []*timePattern

// newPatterns compiles the formats of a schema. They were checked where it was read.
func newPatterns(s Schema) patterns {
	var p patterns
	for i, f := range s.Fields {
		if f.Format != "" {
			if p == nil {
				p = make(patterns, len(s.Fields))
			}
			p[i], _ = compileTime(f.Format)
		}
	}
	return p
}

// parse reads the text of a time into a column, as timePattern's does.
func (p patterns) parse(column int, text []byte) (ms int64, ok, whole bool) {
	if p == nil || p[column] == nil {
		ms, ok = parseTime(text)
		return ms, ok, ok
	}
	return p[column].parse(text)
}

// numeric tells whether the times of a column are numbers.
func (p patterns) numeric(column int) bool { return p != nil && p[column] != nil && p[column].since }
