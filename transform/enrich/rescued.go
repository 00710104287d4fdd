package enrich

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sluice-etl/sluice/internal/columns"
)

// cleaning writes the column of what was rescued anew, without the values of hidden columns.
type cleaning struct {
	from, to int
	keys     []string // lower-case
	text     []byte
}

// hide adds keys whose values must not be shown.
func (c *cleaning) hide(keys []string) {
	for _, key := range keys {
		if key = lower(key); !slices.Contains(c.keys, key) {
			c.keys = append(c.keys, key)
		}
	}
}

// lower compares keys as the decoder of JSON does: rune by rune.
func lower(key string) string { return strings.Map(unicode.ToLower, key) }

func (c *cleaning) do(t *columns.Table, row int) bool {
	from, to := &t.Columns[c.from], &t.Columns[c.to]
	if !from.Valid[row] {
		to.AppendNull()
		return true
	}
	if c.text = c.without(c.text[:0], from.TextAt(row)); len(c.text) == 0 {
		to.AppendNull()
	} else {
		to.AppendText(c.text)
	}
	return true
}

// without adds a JSON object to dst, without white space as the decoders write it, but for the hidden keys; or nothing, where
// no key is left. If it is no such object, it adds nothing: better a value too few than one that must not be seen.
func (c *cleaning) without(dst, object []byte) []byte {
	if len(object) < 2 || object[0] != '{' || object[len(object)-1] != '}' {
		return dst
	}
	start := len(dst)
	for pos := 1; pos < len(object)-1; {
		colon := endOfValue(object, pos)
		key, ok := unquoted(object[pos:colon])
		if !ok || object[colon] != ':' {
			return dst[:start]
		}
		end := endOfValue(object, colon+1)
		if !slices.ContainsFunc(c.keys, func(hidden string) bool { return lowers(key, hidden) }) {
			mark := byte(',')
			if len(dst) == start {
				mark = '{'
			}
			dst = append(append(dst, mark), object[pos:end]...)
		}
		pos = end + 1
	}
	if len(dst) == start {
		return dst
	}
	return append(dst, '}')
}

// lowers tells whether a key in lower case is the given one. It is lower(string(key)) == lowered, without an allocation.
func lowers(key []byte, lowered string) bool {
	for _, r := range string(key) {
		want, size := utf8.DecodeRuneInString(lowered)
		if size == 0 || unicode.ToLower(r) != want {
			return false
		}
		lowered = lowered[size:]
	}
	return lowered == ""
}

// unquoted gives the text of a JSON string.
func unquoted(token []byte) (text []byte, ok bool) {
	if len(token) < 2 || token[0] != '"' || token[len(token)-1] != '"' {
		return nil, false
	}
	if bytes.IndexByte(token, '\\') < 0 {
		return token[1 : len(token)-1], true
	}
	var s string
	err := json.Unmarshal(token, &s)
	return []byte(s), err == nil
}

// endOfValue finds the comma, the colon or the closing bracket behind the value at pos, in a text that ends with such a
// bracket.
func endOfValue(text []byte, pos int) int {
	depth, quoted := 0, false
	for ; pos < len(text)-1; pos++ {
		switch b := text[pos]; {
		case quoted && b == '\\':
			pos++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '{' || b == '[':
			depth++
		case b == '}' || b == ']':
			depth--
		case depth == 0 && (b == ',' || b == ':'):
			return pos
		}
	}
	return len(text) - 1
}
