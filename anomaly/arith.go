package anomaly

import "math"

// What is kept in a state must be the same on every machine. Two things stand in the way, and are avoided in whatever
// reaches a state or a verdict: math.Exp, math.Log and their kin have assembly of their own on some machines, so there
// are log2 and exp2 here; and a compiler may fuse x*y+z into one instruction that rounds once, where the machine has
// it, unless the product is converted explicitly, as in float64(x*y) + z (The Go Programming Language Specification,
// Floating-point operators).

// log2 is the logarithm of a positive number, to about 15 digits: the series of the inverse hyperbolic tangent, which
// converges fast as the mantissa is kept between the square roots of a half and of two.
func log2(x float64) float64 {
	mantissa, exponent := math.Frexp(x)
	if mantissa < math.Sqrt2/2 {
		mantissa *= 2
		exponent--
	}
	z := (mantissa - 1) / (mantissa + 1)
	square := float64(z * z)
	sum := 0.0
	for _, inverse := range odd {
		sum = float64(sum*square) + inverse
	}
	return float64(2/math.Ln2*float64(z*sum)) + float64(exponent)
}

// odd are the coefficients of that series, from the last term on; to multiply is several times faster than to divide.
var odd = [...]float64{1. / 21, 1. / 19, 1. / 17, 1. / 15, 1. / 13, 1. / 11, 1. / 9, 1. / 7, 1. / 5, 1. / 3, 1}

// exp2 is 2 to the power of x, to about 15 digits: of the whole steps in x of a 64th by a table, and by the exponential series of what is left,
// of which the next term would be below 2^-56.
func exp2(x float64) float64 {
	switch {
	case x > 1024:
		return math.Inf(1)
	case x < -1080:
		return 0
	}
	steps := math.Floor(64*x + 0.5)
	r := float64((x - steps/64) * math.Ln2)
	sum := 1 + float64(r*(1+float64(r*(1./2+float64(r*(1./6+float64(r*(1./24+float64(r*(1./120))))))))))
	whole := int(steps) >> 6 // rounds down
	return math.Ldexp(float64(roots[int(steps)&63]*sum), whole)
}

// roots are the powers of the 64th root of two.
var roots = func() (powers [64]float64) {
	for i := range powers {
		sum, term := 0.0, 1.0
		for k := 1.0; term > 1e-20; k++ {
			sum, term = sum+term, term*(float64(i)*(math.Ln2/64))/k
		}
		powers[i] = sum
	}
	return powers
}()

// exp is e to the power of x.
func exp(x float64) float64 { return exp2(float64(x * math.Log2E)) }

// toward moves a mean to a value by a share of the distance.
func toward(mean, share, value float64) float64 { return mean + float64(share*(value-mean)) }

// halving is the share by which a mean moves with each value if the weight of a value is to halve after so many others.
func halving(values float64) float64 { return 1 - exp2(-1/values) }

// magnitude compresses a number to the logarithm of its size: about log2(1+|x|), with x's sign. Between powers of two it
// is a straight line, so that it is exact arithmetic.
func magnitude(x float64) float64 {
	mantissa, exponent := math.Frexp(1 + math.Abs(x)) // in [1/2, 1)
	return math.Copysign(float64(exponent)-1+(2*mantissa-1), x)
}
