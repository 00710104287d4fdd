package transform

import (
	"bytes"
	"unicode/utf8"
)

// Apache writes into its log \" and \\ for quotes and backslashes, \b, \n, \r, \t and \v for these control characters,
// and \xhh for other bytes that are not printable ASCII.

const hexDigits = "0123456789abcdef"

// undoEscapes adds text to dst with Apache's escapes undone. A backslash that begins none of them stands for itself.
func undoEscapes(dst, text []byte) []byte {
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 || i+1 == len(text) {
			return append(dst, text...)
		}
		dst = append(dst, text[:i]...)
		c, size := escapedByte(text[i:])
		dst = append(dst, c)
		text = text[i+size:]
	}
}

// escapedByte reads the escape that text begins with; where it is none, the backslash.
func escapedByte(text []byte) (c byte, size int) {
	switch c = text[1]; c {
	case '"', '\\':
		return c, 2
	case 'b', 'n', 'r', 't':
		return unescaped(c), 2
	case 'v':
		return '\v', 2
	case 'x':
		if len(text) >= 4 {
			high, low := hexDigit(text[2]), hexDigit(text[3])
			if high >= 0 && low >= 0 {
				return byte(high<<4 | low), 4
			}
		}
	}
	return '\\', 1
}

// appendQuoted adds text to dst as a JSON string, in Apache's escapes: \\ for a backslash, and \xhh for a byte that is not
// part of valid UTF-8. So no byte is lost, and all are visible. Where text is escaped already, its backslashes stay.
func appendQuoted(dst, text []byte, escaped bool) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '"':
			dst = append(dst, `\"`...)
		case c == '\\' && escaped:
			dst = append(dst, `\\`...)
		case c == '\\':
			dst = append(dst, `\\\\`...)
		case c < ' ':
			dst = append(dst, `\u00`...)
			dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			_, size := utf8.DecodeRune(text[i:])
			if size == 1 {
				dst = append(dst, `\\x`...)
				dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
			} else {
				dst = append(dst, text[i:i+size]...)
			}
			i += size
			continue
		}
		i++
	}
	return append(dst, '"')
}

// appendValid adds text to dst with U+FFFD for each byte that is not part of valid UTF-8.
func appendValid(dst, text []byte) []byte {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		dst = utf8.AppendRune(dst, r)
		text = text[size:]
	}
	return dst
}
