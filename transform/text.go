package transform

import (
	"unicode/utf16"
	"unicode/utf8"
)

// unescape adds the text of a valid JSON string, given without its quotes, to dst. A surrogate that is not half of a
// pair becomes U+FFFD, and lone tells that there was one.
func unescape(dst, raw []byte) (text []byte, lone bool) {
	for {
		n := plain(raw, 0)
		dst = append(dst, raw[:n]...)
		if raw = raw[n:]; len(raw) == 0 {
			return dst, lone
		}
		// raw begins with a backslash, as it is valid
		if raw[1] != 'u' {
			dst = append(dst, unescaped(raw[1]))
			raw = raw[2:]
			continue
		}
		r := hex4(raw[2:])
		raw = raw[6:]
		if utf16.IsSurrogate(r) {
			pair := rune(utf8.RuneError)
			if len(raw) >= 6 && raw[0] == '\\' && raw[1] == 'u' {
				pair = utf16.DecodeRune(r, hex4(raw[2:]))
			}
			if r = pair; r != utf8.RuneError {
				raw = raw[6:]
			} else {
				lone = true
			}
		}
		dst = utf8.AppendRune(dst, r)
	}
}

// unescaped is the byte that an escape of one letter stands for.
func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// hex4 reads four hexadecimal digits; -1 if b does not begin with them.
func hex4(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	var r rune
	for _, c := range b[:4] {
		digit := hexDigit(c)
		if digit < 0 {
			return -1
		}
		r = r<<4 | digit
	}
	return r
}

// hexDigit is the value of a hexadecimal digit; -1 if c is none.
func hexDigit(c byte) rune {
	switch {
	case '0' <= c && c <= '9':
		return rune(c - '0')
	case 'a' <= c && c <= 'f':
		return rune(c - 'a' + 10)
	case 'A' <= c && c <= 'F':
		return rune(c - 'A' + 10)
	}
	return -1
}

// compact adds a valid JSON value to dst without the white space between its tokens.
func compact(dst, value []byte) []byte {
	s := scanner{data: value}
	for pos := 0; pos < len(value); {
		switch c := value[pos]; {
		case isSpace(c):
			pos++
		case c == '"':
			end, _ := s.str(pos + 1)
			dst = append(dst, value[pos:end]...)
			pos = end
		default:
			dst = append(dst, c)
			pos++
		}
	}
	return dst
}
