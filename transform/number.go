package transform

import (
	"math"
	"strconv"

	"github.com/sluice-etl/sluice/internal/columns"
)

// number is a number as it was read: mantissa * 10^exponent, where the mantissa is complete up to 19 digits.
type number struct {
	literal  []byte
	mantissa uint64
	digits   int // the significant ones: all from the first that is not zero
	exponent int
	negative bool
	integer  bool // neither a fraction nor an exponent
}

// maxExponent bounds the exponent that is read from a literal: beyond it every mantissa that fits a payload is out of
// the range of a double.
const maxExponent = 1 << 30

// number reads a number.
func (s *scanner) number(pos int) (n number, end int) {
	data, start := s.data, pos
	if pos < len(data) && data[pos] == '-' {
		n.negative = true
		pos++
	}
	first := pos
	for pos < len(data) && data[pos]-'0' <= 9 {
		n.mantissa = n.mantissa*10 + uint64(data[pos]-'0')
		pos++
	}
	switch {
	case pos == first:
		return n, s.unexpected(pos, "a value")
	case data[first] != '0':
		n.digits = pos - first
	case pos > first+1:
		return n, s.unexpected(first+1, "no digit after a leading zero")
	}
	n.integer = true
	if pos < len(data) && (data[pos] == '.' || data[pos]|0x20 == 'e') {
		if pos = s.inexact(&n, pos); pos < 0 {
			return n, -1
		}
	}
	n.literal = data[start:pos]
	return n, pos
}

// inexact reads the fraction and the exponent of a number.
func (s *scanner) inexact(n *number, pos int) int {
	data := s.data
	n.integer = false
	if data[pos] == '.' {
		pos++
		first := pos
		for ; pos < len(data) && data[pos]-'0' <= 9; pos++ {
			c := data[pos] - '0'
			n.mantissa = n.mantissa*10 + uint64(c)
			if n.digits > 0 || c != 0 {
				n.digits++
			}
		}
		if pos == first {
			return s.unexpected(pos, "a digit after the decimal point")
		}
		n.exponent = first - pos
	}
	if pos >= len(data) || data[pos]|0x20 != 'e' {
		return pos
	}
	pos++
	negative := false
	if pos < len(data) && (data[pos] == '+' || data[pos] == '-') {
		negative = data[pos] == '-'
		pos++
	}
	first, exponent := pos, 0
	for ; pos < len(data) && data[pos]-'0' <= 9; pos++ {
		exponent = min(exponent*10+int(data[pos]-'0'), maxExponent)
	}
	if pos == first {
		return s.unexpected(pos, "a digit in the exponent")
	}
	if negative {
		exponent = -exponent
	}
	n.exponent += exponent
	return pos
}

// int64 gives the value of an integer that fits.
func (n *number) int64() (v int64, fits bool) {
	if !n.integer || n.digits > 19 {
		return 0, false
	}
	if n.negative {
		return -int64(n.mantissa), n.mantissa <= -math.MinInt64
	}
	return int64(n.mantissa), n.mantissa <= math.MaxInt64
}

func (n *number) negativeZero() bool { return n.negative && n.digits == 0 }

// powers of ten that a double holds exactly
var powers = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// maxDigits is the number of significant digits that every double within its normal range keeps.
const maxDigits = 15

// minNormal is the least double of full precision.
const minNormal = 0x1p-1022

// double gives the nearest double, if there is a finite one, and whether all digits can be got back from it.
func (n *number) double() (v float64, finite, exact bool) {
	switch {
	case n.digits == 0:
		v = 0
	case n.digits > maxDigits:
		return n.parse()
	case n.exponent == 0:
		v = float64(n.mantissa)
	case -22 <= n.exponent && n.exponent < 0:
		v = float64(n.mantissa) / powers[-n.exponent] // both are exact, so that the one rounding is the right one
	case 0 < n.exponent && n.exponent <= 22:
		v = float64(n.mantissa) * powers[n.exponent]
	default:
		return n.parse()
	}
	if n.negative {
		v = math.Copysign(v, -1)
	}
	return v, true, true
}

func (n *number) parse() (v float64, finite, exact bool) {
	v, err := strconv.ParseFloat(string(n.literal), 64)
	if err != nil { // out of range, as the syntax is right
		return 0, false, false
	}
	return v, true, n.digits <= maxDigits && math.Abs(v) >= minNormal
}

// tens are the powers of ten up to that of a decimal's digits.
var tens = [columns.MaxPrecision + 1]uint64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
}

// decimal gives the number times ten to the power of scale, if that is an integer of at most so many digits.
func (n *number) decimal(precision, scale int) (v int64, fits bool) {
	mantissa, exponent := n.mantissa, n.exponent+scale
	if n.digits > 19 { // the mantissa is not complete; without zeros at its end it may be
		var ok bool
		if mantissa, exponent, ok = n.trimmed(); !ok {
			return 0, false
		}
		exponent += scale
	}
	if mantissa == 0 {
		return 0, true
	}
	for ; exponent < 0; exponent++ {
		if mantissa%10 != 0 {
			return 0, false
		}
		mantissa /= 10
	}
	for ; exponent > 0 && mantissa < tens[precision]; exponent-- {
		mantissa *= 10
	}
	if mantissa >= tens[precision] {
		return 0, false
	}
	if n.negative {
		return -int64(mantissa), true
	}
	return int64(mantissa), true
}

// trimmed gives the mantissa without the zeros at its end, and the exponent that belongs to it, where no more digits are
// left than a decimal has.
func (n *number) trimmed() (mantissa uint64, exponent int, ok bool) {
	zeros, digits := 0, 0
	for _, c := range n.literal {
		switch {
		case c|0x20 == 'e':
			return mantissa, n.exponent + zeros, true
		case c == '0':
			zeros++
		case c-'1' < 9:
			if mantissa == 0 {
				zeros = 0
			}
			if digits += zeros + 1; digits > columns.MaxPrecision {
				return 0, 0, false
			}
			for ; zeros > 0; zeros-- {
				mantissa *= 10
			}
			mantissa = mantissa*10 + uint64(c-'0')
		}
	}
	return mantissa, n.exponent + zeros, true
}

// appendNumber adds a number to an Int64, Double or Decimal column: null, where the column does not take it. It tells whether
// the column says all that the number says.
func appendNumber(c *columns.Column, n *number) (whole bool) {
	if c.Type == columns.Int64 || c.Type == columns.Decimal {
		v, fits := int64(0), false
		if c.Type == columns.Int64 {
			v, fits = n.int64()
		} else {
			v, fits = n.decimal(int(c.Precision), int(c.Scale))
		}
		if !fits {
			c.AppendNull()
			return false
		}
		c.AppendInt(v)
		return !n.negativeZero()
	}
	v, finite, exact := n.double()
	if !finite {
		c.AppendNull()
		return false
	}
	c.AppendDouble(v)
	return exact
}
