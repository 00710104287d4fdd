package kdg

import (
	"math/rand/v2"
	"time"

	"github.com/brianvoe/gofakeit/v7"
	"github.com/brianvoe/gofakeit/v7/data"
)

// list gives a word of one of gofakeit's lists. The list is read here and not by gofakeit's function, which would
// allocate in every record.
func list(category, key string) generator { return either(data.GetSubData(category, key)...) }

// listed is a function without arguments that gives a word of one of gofakeit's lists.
func listed(category, key string) builder { return plain(list(category, key)) }

// lower is list, in what a name on the internet can have: small letters and digits.
func lower(category, key string) generator {
	word := list(category, key)
	return func(dst []byte, r *rand.Rand, at time.Time) []byte {
		kept := len(dst)
		dst = word(dst, r, at)
		for _, c := range dst[kept:] {
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
				dst[kept] = c
				kept++
			}
		}
		return dst[:kept]
	}
}

// words is a function that gives some words of a list; its argument says how many.
func words(category, key string) builder {
	word := list(category, key)
	return func(c *call) (generator, error) {
		n, err := c.count(3)
		return func(dst []byte, r *rand.Rand, at time.Time) []byte {
			for i := range n {
				if i > 0 {
					dst = append(dst, ' ')
				}
				dst = word(dst, r, at)
			}
			return dst
		}, err
	}
}

func text(s string) generator {
	return func(dst []byte, _ *rand.Rand, _ time.Time) []byte { return append(dst, s...) }
}

// digits replaces each # of a format by a digit.
func digits(format string) generator {
	return func(dst []byte, r *rand.Rand, _ time.Time) []byte {
		start := len(dst)
		dst = append(dst, format...)
		for i := start; i < len(dst); i++ {
			if dst[i] == '#' {
				dst[i] = byte('0' + r.IntN(10))
			}
		}
		return dst
	}
}

// digitFormat is a function whose argument is a format for digits.
func digitFormat(otherwise string) builder {
	return func(c *call) (generator, error) {
		format, err := c.format(otherwise)
		return digits(format), err
	}
}

// compose is a function without arguments that puts values one after the other.
func compose(generators ...generator) builder { return plain(sequence(generators...)) }

func sequence(generators ...generator) generator {
	return func(dst []byte, r *rand.Rand, at time.Time) []byte {
		for _, g := range generators {
			dst = g(dst, r, at)
		}
		return dst
	}
}

// oneOf gives the value of one of the generators.
func oneOf(generators ...generator) generator {
	return func(dst []byte, r *rand.Rand, at time.Time) []byte {
		return generators[r.IntN(len(generators))](dst, r, at)
	}
}

func streetName() []generator {
	return []generator{list("person", "last"), text(" "), list("address", "street_name")}
}

func secondaryAddress() generator { return oneOf(digits("Apt. ###"), digits("Suite ###")) }

// streetAddress has the flat or suite as well if its argument is true.
func streetAddress(c *call) (generator, error) {
	full, err := c.flag()
	parts := append([]generator{oneOf(digits("###"), digits("####"), digits("#####")), text(" ")}, streetName()...)
	if full {
		parts = append(parts, text(" "), secondaryAddress())
	}
	return sequence(parts...), err
}

// state gives the two letters if its argument is true.
func state(c *call) (generator, error) {
	short, err := c.flag()
	if short {
		return list("address", "state_abr"), err
	}
	return list("address", "state"), err
}

// coordinate is a function without arguments: degrees with four decimals.
func coordinate(degrees int64) builder {
	d := decimals{low: -degrees * 10_000, step: 1, steps: uint64(2 * degrees * 10_000), places: 4, fixed: true}
	return plain(d.generate)
}

// userAgent leaves out gofakeit's Firefox, which depends on the current year: the same seed gives the same bytes.
func userAgent(dst []byte, r *rand.Rand, _ time.Time) []byte {
	f := gofakeit.Faker{Rand: r}
	switch r.IntN(3) {
	case 0:
		return append(dst, f.ChromeUserAgent()...)
	case 1:
		return append(dst, f.SafariUserAgent()...)
	default:
		return append(dst, f.OperaUserAgent()...)
	}
}
