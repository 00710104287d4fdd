package enrich

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// part is a piece of the list of steps.
type part struct {
	text string
	at   int // the byte in the list where it begins
}

// call is a step as it is written: name(first, second...).
type call struct {
	part          // all of it
	name   string //
	inside part   // what stands between the parentheses
	commas []int  // the places of those in inside that no brackets or quotes enclose
}

// whole is what stands between the parentheses, without white space around it.
func (c *call) whole() part { return c.inside.trimmed() }

// split gives what stands before the first comma, and what stands behind it.
func (c *call) split() (first, rest part, found bool) {
	if len(c.commas) == 0 {
		return c.whole(), part{}, false
	}
	i := c.commas[0]
	first = part{c.inside.text[:i], c.inside.at}
	rest = part{c.inside.text[i+1:], c.inside.at + i + 1}
	return first.trimmed(), rest.trimmed(), true
}

func (p part) trimmed() part {
	text := strings.TrimLeft(p.text, space)
	return part{strings.TrimRight(text, space), p.at + len(p.text) - len(text)}
}

const space = " \t\r\n"

// parseCalls takes the list of steps apart: calls, separated by commas, with white space where one likes.
func parseCalls(list string) ([]call, error) {
	var calls []call
	s := scanner{list: list}
	for s.skipSpace(); s.pos < len(list); s.skipSpace() {
		if len(calls) > 0 {
			if list[s.pos] != ',' {
				return nil, s.fault(s.pos, "want a comma before the next step")
			}
			s.pos++
			s.skipSpace()
		}
		c, err := s.call()
		if err != nil {
			return nil, err
		}
		calls = append(calls, c)
	}
	return calls, nil
}

// scanner reads a list of steps.
type scanner struct {
	list string
	pos  int
}

func (s *scanner) skipSpace() {
	for s.pos < len(s.list) && strings.IndexByte(space, s.list[s.pos]) >= 0 {
		s.pos++
	}
}

// fault is an error at a byte of the list; people count characters.
func (s *scanner) fault(at int, format string, args ...any) error {
	return fmt.Errorf("at character %d: %s", character(s.list, at), fmt.Sprintf(format, args...))
}

// character is the number of the character at a byte of the list, from 1 on.
func character(list string, at int) int { return utf8.RuneCountInString(list[:at]) + 1 }

func (s *scanner) call() (call, error) {
	start := s.pos
	for s.pos < len(s.list) && (s.list[s.pos] == '_' || 'a' <= s.list[s.pos] && s.list[s.pos] <= 'z') {
		s.pos++
	}
	c := call{name: s.list[start:s.pos]}
	if c.name == "" {
		return c, s.fault(start, "want the name of a step, such as where(status >= 400)")
	}
	s.skipSpace()
	if s.pos == len(s.list) || s.list[s.pos] != '(' {
		return c, s.fault(s.pos, "want an opening parenthesis after %s", c.name)
	}
	open := s.pos
	if err := s.enclosed(&c); err != nil {
		return c, err
	}
	c.part = part{s.list[start:s.pos], start}
	c.inside = part{s.list[open+1 : s.pos-1], open + 1}
	for i := range c.commas {
		c.commas[i] -= open + 1
	}
	return c, nil
}

// enclosed reads from an opening parenthesis to behind the one that closes it. Brackets of other kinds nest, too, and what
// stands in quotes does not count; so it is in expressions.
func (s *scanner) enclosed(c *call) error {
	var closing []byte
	begins := s.pos
	for s.pos < len(s.list) {
		switch b := s.list[s.pos]; b {
		case '(':
			closing = append(closing, ')')
		case '[':
			closing = append(closing, ']')
		case '{':
			closing = append(closing, '}')
		case ')', ']', '}':
			last := len(closing) - 1
			if b != closing[last] {
				return s.fault(s.pos, "%c closes nothing; want %c first", b, closing[last])
			}
			if closing = closing[:last]; last == 0 {
				s.pos++
				return nil
			}
		case ',':
			if len(closing) == 1 {
				c.commas = append(c.commas, s.pos)
			}
		case '"', '\'', '`':
			if err := s.quoted(b); err != nil {
				return err
			}
			continue
		}
		s.pos++
	}
	return s.fault(begins, "the parenthesis after %s is not closed", c.name)
}

// quoted reads a text in quotes. A backslash keeps the next character from ending it, but between backquotes.
func (s *scanner) quoted(quote byte) error {
	begins := s.pos
	for s.pos++; s.pos < len(s.list); s.pos++ {
		switch s.list[s.pos] {
		case quote:
			s.pos++
			return nil
		case '\\':
			if quote != '`' {
				s.pos++
			}
		}
	}
	return s.fault(begins, "the quote is not closed")
}
