package check

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// added is the set of columns that do not come from the record.
var added = map[string]bool{
	"rescued": true, "ingest_time": true, "ingest_shard": true, "ingest_seq": true, "ingest_sub": true,
	"anomaly": true, "anomaly_score": true, "anomaly_detector": true, "anomaly_reason": true,
	"anomaly_expected": true, "anomaly_lower": true, "anomaly_upper": true, "anomaly_samples": true,
}

const (
	maxDepth = 64
	maxKeys  = 1000
)

// isRecord tells whether a payload must become a row; all others must be rejected.
func isRecord(payload []byte) bool {
	text := trim(payload)
	if !utf8.Valid(text) || !json.Valid(text) || text[0] != '{' || depth(text) > maxDepth {
		return false
	}
	members, err := membersOf(text)
	return err == nil && len(members) <= maxKeys
}

// trim takes away a byte order mark and white space around.
func trim(payload []byte) []byte {
	return bytes.Trim(bytes.TrimPrefix(payload, []byte("\ufeff")), " \t\r\n")
}

// depth is the deepest nesting of valid JSON.
func depth(text []byte) int {
	deepest, level, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			level++
			deepest = max(deepest, level)
		case c == '}' || c == ']':
			level--
		}
	}
	return deepest
}

// member is a key of an object, and its value as it came.
type member struct {
	key   string
	value json.RawMessage
}

// membersOf takes the top of a JSON object apart.
func membersOf(text []byte) ([]member, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if _, err := decoder.Token(); err != nil {
		return nil, err
	}
	var members []member
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		key, ok := token.(string)
		if !ok {
			return nil, fmt.Errorf("key %v", token)
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, err
		}
		members = append(members, member{key, value})
	}
	if _, err := decoder.Token(); err != nil {
		return nil, err
	}
	return members, nil
}

// compareValues holds a row against the payload it came from, and adds what differs.
func compareValues(row Row, payload []byte, differ func(format string, args ...any)) {
	members, err := membersOf(trim(payload))
	if err != nil {
		differ("a row, but its payload cannot be read: %v", err)
		return
	}
	places := make(map[string]int, len(row.Columns))
	for i, c := range row.Columns {
		places[c.Name] = i
	}
	var want [64]any
	values := append(want[:0], make([]any, len(row.Columns))...)
	rescued := map[string]json.RawMessage{}
	for _, m := range members {
		name := columnName(m.key)
		delete(rescued, strings.ToLower(m.key)) // the last of equal keys wins
		i, ok := places[name]
		if !ok {
			rescued[strings.ToLower(m.key)] = m.value
			continue
		}
		var whole bool
		if values[i], whole = expected(row.Columns[i].Type, m.value); !whole {
			rescued[strings.ToLower(m.key)] = m.value
		}
	}
	for i, c := range row.Columns {
		if !added[c.Name] && !equal(row.Values[i], values[i]) {
			differ("column %s is %v, the record has %v", c.Name, show(row.Values[i]), show(values[i]))
		}
	}
	if i, ok := places["rescued"]; !ok {
		differ("there is no column rescued")
	} else if err := compareRescued(row.Values[i], rescued); err != nil {
		differ("column rescued is %v: %v", show(row.Values[i]), err)
	}
}

func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return clip(strconv.Quote(v))
	case time.Time:
		return v.Format(time.RFC3339Nano)
	}
	return fmt.Sprint(v)
}

// columnName is the column that a key goes to, if there is such a column.
func columnName(key string) string {
	name := strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(key))
	if added[name] {
		return "source_" + name
	}
	return name
}

var (
	isoTime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?(Z|[+-]\d\d:\d\d)$`)
	integer = regexp.MustCompile(`^-?\d+$`)
)

// expected is the value that a column of a type must have for a JSON value, and whether it says all that the JSON value
// says: if not, the JSON value must be in the column rescued.
func expected(t Type, raw json.RawMessage) (value any, whole bool) {
	literal := string(raw)
	if literal == "null" {
		return nil, true
	}
	number := literal[0] == '-' || '0' <= literal[0] && literal[0] <= '9'
	if precision, scale, ok := t.digits(); ok {
		return expectedDecimal(literal, precision, scale)
	}
	switch t {
	case Text:
		return expectedText(raw)
	case Integer:
		n, err := strconv.ParseInt(literal, 10, 64)
		if !number || !integer.MatchString(literal) || err != nil {
			return nil, false
		}
		return n, literal != "-0"
	case Double:
		f, err := strconv.ParseFloat(literal, 64)
		if !number || err != nil || math.IsInf(f, 0) {
			return nil, false
		}
		return f, significant(literal) <= 15 && (f != 0 || significant(literal) == 0)
	case Boolean:
		if literal == "true" || literal == "false" {
			return literal == "true", true
		}
	case Timestamp:
		var text string
		if json.Unmarshal(raw, &text) == nil && isoTime.MatchString(text) {
			if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
				return at.UTC(), true
			}
		}
	}
	return nil, false
}

var numeral = regexp.MustCompile(`^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d{1,3})?$`)

// expectedDecimal takes numbers, and strings of one, that have no digit more than the decimal.
func expectedDecimal(literal string, precision, scale int64) (value any, whole bool) {
	text := strings.Trim(literal, `"`)
	v, ok := new(big.Rat).SetString(text)
	if !ok || !numeral.MatchString(text) {
		return nil, false
	}
	digits := strings.TrimLeft(strings.TrimPrefix(v.FloatString(int(scale)), "-"), "0.")
	if same, _ := new(big.Rat).SetString(v.FloatString(int(scale))); same.Cmp(v) != 0 || int64(len(strings.Replace(digits, ".", "", 1))) > precision {
		return nil, false
	}
	return v.FloatString(int(scale)), v.Sign() != 0 || literal[0] != '-'
}

func expectedText(raw json.RawMessage) (value any, whole bool) {
	switch raw[0] {
	case '"':
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return nil, false
		}
		return text, !loneSurrogate(raw)
	case '{', '[':
		var compact bytes.Buffer
		if err := json.Compact(&compact, raw); err != nil {
			return nil, false
		}
		return compact.String(), true
	}
	return string(raw), true
}

// significant counts a number's digits from the first that is not zero to the last, without the exponent.
func significant(literal string) int {
	mantissa, _, _ := strings.Cut(strings.ToLower(literal), "e")
	return len(strings.TrimLeft(strings.NewReplacer("-", "", ".", "").Replace(mantissa), "0"))
}

var escaped = regexp.MustCompile(`\\(?:u[0-9a-fA-F]{4}|[^u])`)

// loneSurrogate tells whether a JSON string has half of a surrogate pair.
func loneSurrogate(raw []byte) bool {
	last := -1 // where an unpaired high surrogate ended
	for _, at := range escaped.FindAllIndex(raw, -1) {
		if raw[at[0]+1] != 'u' {
			continue
		}
		unit, _ := strconv.ParseUint(string(raw[at[0]+2:at[1]]), 16, 16)
		low := 0xdc00 <= unit && unit < 0xe000
		switch {
		case low && last == at[0]:
			last = -1
		case low || last >= 0:
			return true
		case utf16.IsSurrogate(rune(unit)):
			last = at[1]
		}
	}
	return last >= 0
}

// compareRescued holds the column rescued against the values that must be in it, by their keys in lower case. A number may
// be there as a string of its digits.
func compareRescued(have any, want map[string]json.RawMessage) error {
	if have == nil && len(want) == 0 {
		return nil
	}
	text, ok := have.(string)
	if !ok {
		return fmt.Errorf("%d values must be rescued", len(want))
	}
	members, err := membersOf([]byte(text))
	if err != nil {
		return err
	}
	if len(members) != len(want) {
		return fmt.Errorf("%d values must be rescued", len(want))
	}
	for _, m := range members {
		value, ok := want[strings.ToLower(m.key)]
		if !ok {
			return fmt.Errorf("key %q needs no rescue", m.key)
		}
		if string(m.value) != string(value) && string(m.value) != `"`+string(value)+`"` && !sameJSON(m.value, value) {
			return fmt.Errorf("key %q must hold %s", m.key, clip(string(value)))
		}
	}
	return nil
}

// sameJSON tells whether two JSON values differ in nothing but white space, escapes and the order of keys.
func sameJSON(a, b []byte) bool {
	var values [2]any
	for i, text := range [][]byte{a, b} {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		if decoder.Decode(&values[i]) != nil {
			return false
		}
	}
	return reflect.DeepEqual(values[0], values[1])
}
