package kdg

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

type kind uint8

const (
	nullKind kind = iota
	boolKind
	numberKind
	textKind
	listKind
	objectKind
)

// value is an argument as written. text is the characters of a string, and the source of everything else.
type value struct {
	at      int // offset in the template
	kind    kind
	text    string
	number  float64
	yes     bool
	items   []value
	members []member
}

type member struct {
	at    int
	key   string
	value value
}

// scanner reads tags and their arguments.
type scanner struct {
	text  string
	at    int
	depth int
}

// maxDepth bounds the recursion over nested arguments, far above anything sensible.
const maxDepth = 64

func (s *scanner) space() {
	for s.at < len(s.text) && strings.IndexByte(" \t\r\n", s.text[s.at]) >= 0 {
		s.at++
	}
}

func (s *scanner) accept(token string) bool {
	if !strings.HasPrefix(s.text[s.at:], token) {
		return false
	}
	s.at += len(token)
	return true
}

// next names the next character, for errors.
func (s *scanner) next() string {
	if s.at == len(s.text) {
		return "the end"
	}
	c, _ := utf8.DecodeRuneInString(s.text[s.at:])
	return strconv.QuoteRune(c)
}

func isWordByte(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func (s *scanner) value() (value, error) {
	s.space()
	v := value{at: s.at}
	if s.depth == maxDepth {
		return v, faultAt(s.at, "the arguments are nested more than %d deep", maxDepth)
	}
	if s.at == len(s.text) {
		return v, faultAt(s.at, "a value is missing")
	}
	s.depth++
	defer func() { s.depth-- }()
	var err error
	switch c := s.text[s.at]; {
	case c == '"' || c == '\'':
		v.kind = textKind
		v.text, err = s.quoted()
		return v, err
	case c == '[':
		s.at++
		v.kind = listKind
		v.items, err = s.list(']')
	case c == '{':
		s.at++
		v.kind = objectKind
		v.members, err = s.object()
	case c == '-' || c == '+' || c == '.' || '0' <= c && c <= '9':
		v.kind = numberKind
		err = s.number(&v)
	default:
		err = s.word(&v)
	}
	v.text = s.text[v.at:s.at]
	return v, err
}

func (s *scanner) number(v *value) error {
	for s.at < len(s.text) && strings.IndexByte("+-.0123456789eE", s.text[s.at]) >= 0 {
		s.at++
	}
	var err error
	if v.number, err = strconv.ParseFloat(s.text[v.at:s.at], 64); err != nil {
		return faultAt(v.at, "%s is not a number that can be used", s.text[v.at:s.at])
	}
	return nil
}

func (s *scanner) word(v *value) error {
	for s.at < len(s.text) && isWordByte(s.text[s.at]) {
		s.at++
	}
	switch s.text[v.at:s.at] {
	case "true", "false":
		v.kind, v.yes = boolKind, s.text[v.at] == 't'
	case "null":
		v.kind = nullKind
	case "":
		return faultAt(s.at, "a value is expected, not %s", s.next())
	default:
		return faultAt(v.at, "%s is no value; text stands in quotes", s.text[v.at:s.at])
	}
	return nil
}

// list reads values up to the closing character.
func (s *scanner) list(closing byte) ([]value, error) {
	var values []value
	if s.space(); s.accept(string(closing)) {
		return values, nil
	}
	for {
		v, err := s.value()
		if err != nil {
			return nil, err
		}
		values = append(values, v)
		if s.space(); s.accept(string(closing)) {
			return values, nil
		}
		if !s.accept(",") {
			return nil, faultAt(s.at, ", or %c is expected, not %s", closing, s.next())
		}
	}
}

func (s *scanner) object() ([]member, error) {
	var members []member
	if s.space(); s.accept("}") {
		return members, nil
	}
	for {
		s.space()
		m := member{at: s.at}
		var err error
		if s.at < len(s.text) && (s.text[s.at] == '"' || s.text[s.at] == '\'') {
			if m.key, err = s.quoted(); err != nil {
				return nil, err
			}
		} else if m.key = s.functionName(); m.key == "" {
			return nil, faultAt(s.at, "a name such as \"min\" is expected, not %s", s.next())
		}
		if s.space(); !s.accept(":") {
			return nil, faultAt(s.at, ": is expected after %q, not %s", m.key, s.next())
		}
		if m.value, err = s.value(); err != nil {
			return nil, err
		}
		members = append(members, m)
		if s.space(); s.accept("}") {
			return members, nil
		}
		if !s.accept(",") {
			return nil, faultAt(s.at, ", or } is expected, not %s", s.next())
		}
	}
}

// quoted reads a string in double or single quotes, with the escapes of JSON. Line breaks in it go, as everywhere.
func (s *scanner) quoted() (string, error) {
	open := s.at
	quote := s.text[open]
	s.at++
	var b strings.Builder
	for s.at < len(s.text) {
		c := s.text[s.at]
		s.at++
		switch {
		case c == quote:
			return b.String(), nil
		case c == '\n' || c == '\r':
		case c != '\\':
			b.WriteByte(c)
		default:
			if err := s.escape(&b); err != nil {
				return "", err
			}
		}
	}
	return "", faultAt(open, "this %c is never closed", quote)
}

// escape reads what follows a backslash.
func (s *scanner) escape(b *strings.Builder) error {
	const letters, meanings = `"'\/bfnrt`, "\"'\\/\b\f\n\r\t"
	if s.at == len(s.text) {
		return nil // the missing quote is reported
	}
	c := s.text[s.at]
	s.at++
	if i := strings.IndexByte(letters, c); i >= 0 {
		b.WriteByte(meanings[i])
		return nil
	}
	if c != 'u' {
		return faultAt(s.at-2, "there is no escape \\%c; a backslash is written \\\\", c)
	}
	first, ok := s.hex4()
	if !ok {
		return faultAt(s.at-2, "after \\u four hexadecimal digits are expected")
	}
	if back := s.at; utf16.IsSurrogate(first) && s.accept(`\u`) {
		if second, ok := s.hex4(); ok && utf16.DecodeRune(first, second) != utf8.RuneError {
			b.WriteRune(utf16.DecodeRune(first, second))
			return nil
		}
		s.at = back
	}
	b.WriteRune(first) // a lone surrogate becomes U+FFFD
	return nil
}

func (s *scanner) hex4() (rune, bool) {
	if len(s.text)-s.at < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(s.text[s.at:s.at+4], 16, 16)
	if err != nil {
		return 0, false
	}
	s.at += 4
	return rune(n), true
}
