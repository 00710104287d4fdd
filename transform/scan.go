package transform

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// maxDepth is the deepest nesting of a record; the record itself is level 1. The stack of skip has a bit for each.
const maxDepth = 64

// fault says what is wrong with a record. Its code is empty where nothing is.
type fault struct {
	code string
	what string
	at   int // offset in the payload
}

// scanner reads JSON's tokens out of data. Its methods take the place to read at, and return the place behind what they
// read, or -1 after they set fault. Strings are not checked to be UTF-8.
type scanner struct {
	data  []byte
	fault fault
}

func (s *scanner) fail(code string, at int, what string) int {
	s.fault = fault{code: code, what: what, at: at}
	return -1
}

// unexpected is the fault that something else than what stands at pos was wanted.
func (s *scanner) unexpected(pos int, wanted string) int {
	return s.fail(CodeInvalidJSON, pos, wanted)
}

func isSpace(c byte) bool { return c <= ' ' && (c == ' ' || c == '\n' || c == '\r' || c == '\t') }

func (s *scanner) space(pos int) int {
	for pos < len(s.data) && isSpace(s.data[pos]) {
		pos++
	}
	return pos
}

const (
	ones   = 0x0101010101010101
	quotes = ones * '"'
	slants = ones * '\\'
	spaces = ones * ' '
	highs  = ones * 0x80
)

// specials marks, by its high bit, the first of eight bytes that ends or interrupts the plain text of a string: a quote,
// a backslash or a control character. Bytes after the first may be marked wrongly, as borrows run upwards.
func specials(x uint64) uint64 {
	return ((x - spaces) | ((x ^ quotes) - ones) | ((x ^ slants) - ones)) & ^x & highs
}

// plain returns the place of the first byte from pos on that is not plain text of a string.
func plain(data []byte, pos int) int {
	for pos+8 <= len(data) {
		if m := specials(binary.LittleEndian.Uint64(data[pos:])); m != 0 {
			return pos + bits.TrailingZeros64(m)/8
		}
		pos += 8
	}
	for pos < len(data) && data[pos] >= ' ' && data[pos] != '"' && data[pos] != '\\' {
		pos++
	}
	return pos
}

// str reads a string, from the byte behind its opening quote, and tells whether it holds escapes.
func (s *scanner) str(pos int) (end int, escaped bool) {
	if pos = plain(s.data, pos); pos < len(s.data) && s.data[pos] == '"' {
		return pos + 1, false
	}
	return s.escapedStr(pos), true
}

func (s *scanner) escapedStr(pos int) int {
	for ; ; pos = plain(s.data, pos) {
		if pos >= len(s.data) {
			return s.unexpected(pos, "the end of the string")
		}
		switch s.data[pos] {
		case '"':
			return pos + 1
		case '\\':
			if pos = s.escape(pos); pos < 0 {
				return -1
			}
		default:
			return s.unexpected(pos, "no control character within a string")
		}
	}
}

// escape reads an escape sequence from its backslash on.
func (s *scanner) escape(pos int) int {
	rest := s.data[pos+1:]
	if len(rest) == 0 {
		return s.unexpected(pos+1, "the end of the string")
	}
	switch rest[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return pos + 2
	case 'u':
		if hex4(rest[1:]) < 0 {
			return s.unexpected(pos, "four hexadecimal digits after \\u")
		}
		return pos + 6
	}
	return s.unexpected(pos, "an escape sequence that JSON knows")
}

// literal reads true, false or null, of which the first letter is known.
func (s *scanner) literal(pos int) int {
	want := "null"
	switch s.data[pos] {
	case 't':
		want = "true"
	case 'f':
		want = "false"
	}
	if end := pos + len(want); end <= len(s.data) && string(s.data[pos:end]) == want {
		return end
	}
	return s.unexpected(pos, want)
}

// scalar reads a value that is no object and no array.
func (s *scanner) scalar(pos int) int {
	if pos >= len(s.data) {
		return s.unexpected(pos, "a value")
	}
	switch s.data[pos] {
	case '"':
		end, _ := s.str(pos + 1)
		return end
	case 't', 'f', 'n':
		return s.literal(pos)
	}
	_, end := s.number(pos)
	return end
}

// member reads white space, a key and its colon.
func (s *scanner) member(pos int) int {
	pos = s.space(pos)
	if pos >= len(s.data) || s.data[pos] != '"' {
		return s.unexpected(pos, "a key")
	}
	if pos, _ = s.str(pos + 1); pos < 0 {
		return -1
	}
	return s.colon(pos)
}

func (s *scanner) colon(pos int) int {
	if pos = s.space(pos); pos >= len(s.data) || s.data[pos] != ':' {
		return s.unexpected(pos, "a colon after the key")
	}
	return pos + 1
}

// skip reads a value of any kind that stands within depth levels.
func (s *scanner) skip(pos, depth int) int {
	outer := depth
	objects := uint64(0) // a bit for each open level, the innermost lowest: it is an object, no array
	for {
		pos = s.space(pos)
		if pos < len(s.data) && (s.data[pos] == '{' || s.data[pos] == '[') {
			if depth == maxDepth {
				return s.fail(CodeTooDeep, pos, "at most 64 levels of nesting")
			}
			depth++
			objects <<= 1
			closing := byte(']')
			if s.data[pos] == '{' {
				objects |= 1
				closing = '}'
			}
			pos = s.space(pos + 1)
			if pos >= len(s.data) || s.data[pos] != closing {
				if objects&1 != 0 {
					if pos = s.member(pos); pos < 0 {
						return -1
					}
				}
				continue
			}
		} else if pos = s.scalar(pos); pos < 0 {
			return -1
		} else if depth == outer {
			return pos
		}
		// Behind a value, or on the bracket that closes an empty one.
		var more bool
		for !more {
			pos = s.space(pos)
			if pos >= len(s.data) {
				return s.unexpected(pos, "a comma or a closing bracket")
			}
			switch c := s.data[pos]; {
			case c == ',':
				more = true
			case c == '}' && objects&1 != 0, c == ']' && objects&1 == 0:
				objects >>= 1
				if depth--; depth == outer {
					return pos + 1
				}
			default:
				return s.unexpected(pos, "a comma or a closing bracket")
			}
			pos++
		}
		if objects&1 != 0 {
			if pos = s.member(pos); pos < 0 {
				return -1
			}
		}
	}
}

// balanced finds the end of a value too deep for skip: the bracket, before limit, that closes the first. It returns -1
// if there is none.
func (s *scanner) balanced(pos, limit int) int {
	line := scanner{data: s.data[:limit]}
	for depth := 0; pos < limit; {
		switch line.data[pos] {
		case '"':
			if pos, _ = line.str(pos + 1); pos < 0 {
				return -1
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return pos + 1
			}
		}
		pos++
	}
	return -1
}

// start is where the payload begins behind a byte order mark.
func (s *scanner) start() int {
	if len(s.data) >= 3 && string(s.data[:3]) == "\xef\xbb\xbf" {
		return 3
	}
	return 0
}

// lineEnd is the place of the next newline, or the end of data.
func (s *scanner) lineEnd(pos int) int {
	if i := bytes.IndexByte(s.data[pos:], '\n'); i >= 0 {
		return pos + i
	}
	return len(s.data)
}
