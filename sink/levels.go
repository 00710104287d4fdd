package sink

import (
	"strconv"
	"strings"
)

// Level is a level of the folders that a prefix makes: text, or dates with text around and between them. It is not changed.
type Level struct {
	parts []prefixPart
}

// Levels takes a prefix apart: the folder that all keys lie below, and the levels of folders below that. What follows the
// last slash begins the names of objects, and is no folder. Of a slash in a date pattern the parts are levels, too.
func (p *Prefix) Levels() (location string, levels []Level) {
	var level Level
	var all []Level
	text := func(text string) {
		for {
			before, after, cut := strings.Cut(text, "/")
			if before != "" {
				level.parts = append(level.parts, prefixPart{literal: before})
			}
			if !cut {
				return
			}
			all = append(all, level)
			level, text = Level{}, after
		}
	}
	for _, part := range p.parts {
		if part.date == nil {
			if part.literal == "" {
				level.parts = append(level.parts, part)
			}
			text(part.literal)
			continue
		}
		for _, field := range part.date {
			if field.letter == 0 {
				text(field.text)
			} else {
				level.parts = append(level.parts, prefixPart{date: []dateField{field}})
			}
		}
	}
	for i, l := range all {
		if !l.static() {
			return location, all[i:]
		}
		location += l.text() + "/"
	}
	return location, nil
}

// units are the letters of date patterns that are a whole folder, as in Firehose's own prefix yyyy/MM/dd/HH.
var units = map[byte]string{'y': "year", 'u': "year", 'M': "month", 'L': "month", 'd': "day", 'H': "hour", 'm': "minute"}

// Key is what the partition key of a level with an expression is called that is the nth of them, from 0: as it says in
// NAME=VALUE, in lower case; or year, month, day, hour or minute where such a part of a date is all of it; else, as crawlers
// do, partition_0 and so on.
func (l Level) Key(nth int) string {
	if name, _ := l.Hive(); name != "" {
		return strings.ToLower(name)
	}
	if len(l.parts) == 1 && l.parts[0].date != nil {
		if unit := units[l.parts[0].date[0].letter]; unit != "" {
			return unit
		}
	}
	return "partition_" + strconv.Itoa(nth)
}

func (l Level) static() bool {
	for _, part := range l.parts {
		if part.literal == "" {
			return false
		}
	}
	return true
}

func (l Level) text() string {
	var b strings.Builder
	for _, part := range l.parts {
		b.WriteString(part.literal)
	}
	return b.String()
}

// Static gives the text of a level that has no expression.
func (l Level) Static() (text string, ok bool) { return l.text(), l.static() }

// Hive takes the name off a level of Hive's style, NAME=VALUE; it is empty where the level is none.
func (l Level) Hive() (name string, value Level) {
	if len(l.parts) == 0 {
		return "", l
	}
	name, rest, found := strings.Cut(l.parts[0].literal, "=")
	if !found || name == "" {
		return "", l
	}
	value.parts = l.parts[1:]
	if rest != "" {
		value.parts = append([]prefixPart{{literal: rest}}, value.parts...)
	}
	return name, value
}

// Pattern is the level as one date pattern of Java, with its letters; it is not ok where something else than the time is part
// of it.
func (l Level) Pattern() (pattern, letters string, ok bool) {
	var b, seen strings.Builder
	for _, part := range l.parts {
		switch {
		case part.literal != "":
			b.WriteString(quoteText(part.literal))
		case part.date == nil:
			return "", "", false
		default:
			field := part.date[0]
			b.WriteString(strings.Repeat(string(field.letter), field.count))
			seen.WriteByte(field.letter)
		}
	}
	return b.String(), seen.String(), true
}

// quoteText is text within a date pattern: what could be taken for a letter of one stands in apostrophes.
func quoteText(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool {
		return r > '~' || strings.ContainsRune("'[]{}#", r) || 'a' <= r|0x20 && r|0x20 <= 'z'
	}) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}
