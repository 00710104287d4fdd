package kdg

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// decimals is a range of decimal numbers, as integers of the unit 10^-places, in which nothing is rounded:
// low, low+step, low+2*step, and so on for steps steps.
type decimals struct {
	low, step int64
	steps     uint64
	places    int
	fixed     bool // write all places, as money is written; otherwise as short as possible
}

func (d *decimals) generate(dst []byte, r *rand.Rand, _ time.Time) []byte {
	return appendDecimal(dst, d.low+int64(r.Uint64N(d.steps+1))*d.step, d.places, d.fixed)
}

func appendDecimal(dst []byte, units int64, places int, fixed bool) []byte {
	if places == 0 {
		return strconv.AppendInt(dst, units, 10)
	}
	if units < 0 {
		dst = append(dst, '-')
		units = -units
	}
	unit := pow10(places)
	dst = strconv.AppendInt(dst, units/unit, 10)
	dst = append(dst, '.')
	fraction := units % unit
	for place := unit / 10; place > 0; place /= 10 {
		dst = append(dst, byte('0'+fraction/place%10))
	}
	if !fixed {
		for dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
		if dst[len(dst)-1] == '.' {
			dst = dst[:len(dst)-1]
		}
	}
	return dst
}

func pow10(n int) int64 {
	p := int64(1)
	for range n {
		p *= 10
	}
	return p
}

// places counts the decimals of x as one would write it.
func places(x float64) int {
	text := strconv.FormatFloat(x, 'f', -1, 64)
	if i := strings.IndexByte(text, '.'); i >= 0 {
		return len(text) - i - 1
	}
	return 0
}

// Beyond 2^53 a JSON number of the template has already lost digits.
const (
	maxPlaces = 15
	maxUnits  = 1 << 53
)

// toUnits gives x in units of 10^-places; x has no more places than that.
func toUnits(x float64, places int) (int64, bool) {
	units := math.Round(x * float64(pow10(places)))
	return int64(units), math.Abs(units) <= maxUnits
}

// newDecimals gives the multiples of step from low to high, both included.
func (c *call) newDecimals(low, high, step float64) (*decimals, error) {
	digits := max(places(low), places(high), places(step))
	tooLong := faultAt(c.at, "the numbers of %s have too many digits together: 15 are possible", c.name)
	if digits > maxPlaces {
		return nil, tooLong
	}
	lowest, ok1 := toUnits(low, digits)
	highest, ok2 := toUnits(high, digits)
	width, ok3 := toUnits(step, digits)
	if !ok1 || !ok2 || !ok3 {
		return nil, tooLong
	}
	if width <= 0 {
		return nil, faultAt(c.at, "the precision of %s is above 0, such as 0.01", c.name)
	}
	if lowest > highest {
		return nil, faultAt(c.at, "the maximum of %s, %v, is below its minimum, %v", c.name, high, low)
	}
	first, last := -floorDiv(-lowest, width), floorDiv(highest, width)
	if first > last {
		return nil, faultAt(c.at, "%s has no multiple of %v between %v and %v", c.name, step, low, high)
	}
	return &decimals{low: first * width, step: width, steps: uint64(last - first), places: digits}, nil
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// randomNumber builds random.number and random.float, whose default precision differs.
func randomNumber(precision float64) builder {
	return func(c *call) (generator, error) {
		const defaultMax = 99999
		v := []value{{}, {}, {}}
		if len(c.arguments) == 1 && c.arguments[0].kind != objectKind {
			v[1] = c.arguments[0] // a single number is the maximum
		} else {
			var err error
			if v, err = c.named("min", "max", "precision"); err != nil {
				return nil, err
			}
		}
		low, err1 := c.numberOr(v[0], "min", 0)
		high, err2 := c.numberOr(v[1], "max", defaultMax)
		step, err3 := c.numberOr(v[2], "precision", precision)
		if err := firstOf(err1, err2, err3); err != nil {
			return nil, err
		}
		d, err := c.newDecimals(low, high, step)
		if err != nil {
			return nil, err
		}
		return d.generate, nil
	}
}

// money builds commerce.price and finance.amount.
func money(c *call) (generator, error) {
	v, err := c.named("min", "max", "dec", "symbol")
	if err != nil {
		return nil, err
	}
	low, err1 := c.numberOr(v[0], "min", 0)
	high, err2 := c.numberOr(v[1], "max", 1000)
	dec, err3 := c.numberOr(v[2], "dec", 2)
	if err := firstOf(err1, err2, err3); err != nil {
		return nil, err
	}
	if dec != math.Trunc(dec) || dec < 0 || dec > maxPlaces {
		return nil, faultAt(v[2].at, "the dec of %s is a whole number from 0 to %d, not %s", c.name, maxPlaces, v[2].text)
	}
	symbol := v[3]
	if symbol.kind != textKind && symbol.kind != nullKind {
		return nil, faultAt(symbol.at, "the symbol of %s is a text, not %s", c.name, describe(symbol))
	}
	d, err := c.newDecimals(low, high, math.Pow10(-int(dec)))
	if err != nil {
		return nil, err
	}
	// Limits finer than the amounts have places that are zero in every amount.
	for ; d.places > int(dec); d.places-- {
		d.low, d.step = d.low/10, d.step/10
	}
	d.fixed = true
	if symbol.kind == nullKind {
		return d.generate, nil
	}
	return sequence(text(symbol.text), d.generate), nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
