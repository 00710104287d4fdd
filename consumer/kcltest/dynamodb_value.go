package kcltest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
)

// value is an attribute's value.
type value struct {
	kind string           // S, N, B, BOOL, NULL, M, L, SS, NS or BS
	text string           // of S, of N in its shortest form, of B the bytes
	flag bool             // of BOOL
	m    map[string]value // of M
	l    []value          // of L, and the members of a set
}

// attributes are an item.
type attributes = map[string]value

// elements are the kinds of sets, and what they are sets of.
var elements = map[string]string{"SS": "S", "NS": "N", "BS": "B"}

// UnmarshalJSON reads the form {"S":"text"}.
func (v *value) UnmarshalJSON(text []byte) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return err
	}
	if len(members) != 1 {
		return refuse("Supplied AttributeValue has %d datatypes set, must contain exactly one of the supported datatypes", len(members))
	}
	for kind, raw := range members {
		v.kind = kind
		switch kind {
		case "S":
			return json.Unmarshal(raw, &v.text)
		case "N":
			var text string
			if err := json.Unmarshal(raw, &text); err != nil {
				return err
			}
			n, err := parseNumber(text)
			v.text = n
			return err
		case "B":
			var b []byte
			err := json.Unmarshal(raw, &b)
			v.text = string(b)
			return err
		case "BOOL":
			return json.Unmarshal(raw, &v.flag)
		case "NULL":
			return nil
		case "M":
			return json.Unmarshal(raw, &v.m)
		case "L":
			return json.Unmarshal(raw, &v.l)
		case "SS", "NS", "BS":
			var list []json.RawMessage
			if err := json.Unmarshal(raw, &list); err != nil {
				return err
			}
			for _, one := range list {
				var member value
				if err := member.UnmarshalJSON(fmt.Appendf(nil, `{%q:%s}`, elements[kind], one)); err != nil {
					return err
				}
				if v.has(member) {
					return refuse("One or more parameter values were invalid: Input collection contains duplicates")
				}
				v.l = append(v.l, member)
			}
			if len(v.l) == 0 {
				return refuse("One or more parameter values were invalid: An string set  may not be empty")
			}
			return nil
		default:
			return refuse("Supplied AttributeValue has the unknown datatype %s", kind)
		}
	}
	return nil
}

// MarshalJSON writes the form {"S":"text"}.
func (v value) MarshalJSON() ([]byte, error) {
	var inner any
	switch v.kind {
	case "S", "N":
		inner = v.text
	case "B":
		inner = []byte(v.text)
	case "BOOL":
		inner = v.flag
	case "NULL":
		inner = true
	case "M":
		inner = v.m
		if v.m == nil {
			inner = attributes{}
		}
	case "L":
		inner = v.l
		if v.l == nil {
			inner = []value{}
		}
	default:
		var list []any
		for _, member := range v.l {
			if v.kind == "BS" {
				list = append(list, []byte(member.text))
			} else {
				list = append(list, member.text)
			}
		}
		inner = list
	}
	return json.Marshal(map[string]any{v.kind: inner})
}

// parseNumber checks a number and gives its shortest decimal form. DynamoDB keeps 38 significant digits, from 1e-130 to
// 9.99e125.
func parseNumber(text string) (string, error) {
	bad := refuse("The parameter cannot be converted to a numeric value: %s", text)
	if len(text) > 200 || strings.ContainsAny(text, "/_xXpPbBoO") {
		return "", bad
	}
	mantissa, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	if len(strings.TrimLeft(exponent, "+-0")) > 3 {
		return "", bad
	}
	n, ok := new(big.Rat).SetString(text)
	if !ok {
		return "", bad
	}
	digits := strings.Trim(strings.Replace(strings.TrimLeft(mantissa, "+-"), ".", "", 1), "0")
	if len(digits) > 38 {
		return "", refuse("Attempting to store more than 38 significant digits in a Number")
	}
	places, _ := n.FloatPrec()
	short := n.FloatString(places)
	whole, _, _ := strings.Cut(strings.TrimPrefix(short, "-"), ".")
	switch {
	case len(whole) > 126:
		return "", refuse("Number overflow. Attempting to store a number with magnitude larger than supported range")
	case places > 130+38:
		return "", refuse("Number underflow. Attempting to store a number with magnitude smaller than supported range")
	}
	return short, nil
}

func (v value) number() *big.Rat {
	n, ok := new(big.Rat).SetString(v.text)
	if !ok {
		return new(big.Rat)
	}
	return n
}

func numberValue(n *big.Rat) (value, error) {
	places, exact := n.FloatPrec()
	if !exact {
		return value{}, fmt.Errorf("a number without an end")
	}
	text, err := parseNumber(n.FloatString(places))
	return value{kind: "N", text: text}, err
}

// has tells whether a set has a member.
func (v value) has(member value) bool { return slices.ContainsFunc(v.l, member.equal) }

// equal compares by type and value; sets have no order.
func (v value) equal(w value) bool {
	if v.kind != w.kind {
		return false
	}
	switch v.kind {
	case "BOOL":
		return v.flag == w.flag
	case "NULL":
		return true
	case "M":
		return maps.EqualFunc(v.m, w.m, value.equal)
	case "L":
		return slices.EqualFunc(v.l, w.l, value.equal)
	case "SS", "NS", "BS":
		return len(v.l) == len(w.l) && !slices.ContainsFunc(v.l, func(member value) bool { return !w.has(member) })
	}
	return v.text == w.text // numbers have one form each
}

// compare orders strings, numbers and bytes. It is false for other types, and for two that differ.
func (v value) compare(w value) (order int, ok bool) {
	if v.kind != w.kind {
		return 0, false
	}
	switch v.kind {
	case "N":
		return v.number().Cmp(w.number()), true
	case "S", "B":
		return bytes.Compare([]byte(v.text), []byte(w.text)), true
	}
	return 0, false
}

// clone copies a value, so that a change of one leaves the other.
func (v value) clone() value {
	if v.m != nil {
		v.m = cloneItem(v.m)
	}
	if v.l != nil {
		list := make([]value, len(v.l))
		for i, member := range v.l {
			list[i] = member.clone()
		}
		v.l = list
	}
	return v
}

func cloneItem(it attributes) attributes {
	out := make(attributes, len(it))
	for name, v := range it {
		out[name] = v.clone()
	}
	return out
}

// size is about what DynamoDB counts for a value.
func (v value) size() int {
	n := 1
	switch v.kind {
	case "S", "B":
		n = len(v.text)
	case "N":
		n = len(v.text)/2 + 1
	case "M":
		n = 3 + itemSize(v.m)
	case "L", "SS", "NS", "BS":
		n = 3
		for _, member := range v.l {
			n += member.size() + 1
		}
	}
	return n
}

func itemSize(it attributes) int {
	n := 0
	for name, v := range it {
		n += len(name) + v.size()
	}
	return n
}

// refusal says what is wrong with a request, in DynamoDB's own words.
type refusal string

func (r refusal) Error() string { return string(r) }

func refuse(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }
