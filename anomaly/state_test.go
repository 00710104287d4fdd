package anomaly

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// What a key takes in memory is bounded: at most 64 bytes for the kind rate, 1 KiB for others, beside its name.
func TestStateSizes(t *testing.T) {
	bytes := func(numbers func(func(*float64))) (n int) {
		numbers(func(*float64) { n += 8 })
		return n
	}
	for _, kind := range []struct {
		name        string
		size, limit int
	}{
		{"rate", 4*slots + 4 + 10, 64}, {"distinct", slots*registers + 4 + 10, 1024},
		{"value", bytes(new(values1).numbers), 1024}, {"series", bytes(new(aggregate).numbers), 1024},
	} {
		t.Logf("%s: %d bytes a key", kind.name, kind.size)
		if kind.size > kind.limit {
			t.Errorf("%s takes %d bytes a key; want at most %d", kind.name, kind.size, kind.limit)
		}
	}
}

// A sketch counts few values exactly and many with an error of about an eighth; a window's slots go, and two sketches count together
// what one would have.
func TestDistinctValues(t *testing.T) {
	for _, n := range []int{1, 10, 64, 65, 200, 1000, 100_000} {
		off, joined := 0.0, 0.0
		const runs = 50
		for run := range runs {
			var whole, left, right values
			for i := range n {
				h := hash(fmt.Appendf(nil, "%d %d", run, i))
				for range 2 {
					whole.add(i%slots, h)
				}
				if i%3 == 0 {
					left.add(i%slots, h)
				} else {
					right.add(i%slots, h)
				}
			}
			off += math.Pow(float64(whole.number)/float64(n)-1, 2) / runs
			joined = max(joined, math.Abs(float64(left.join(&right))/float64(whole.number)-1))
			for slot := range slots - 1 {
				whole.expire(slot)
			}
			if most := (n + slots - 1) / slots; n <= fewValues && int(whole.number) > most {
				t.Errorf("%d values, and %d are left in the last slot", n, whole.number)
			}
			if whole.expire(slots-1) != 0 {
				t.Errorf("an empty window counts %d values", whole.number)
			}
		}
		t.Logf("%d values: off by %.1f%%", n, 100*math.Sqrt(off))
		if n <= fewValues && off > 0 || math.Sqrt(off) > 0.17 || joined > 0.05 {
			t.Errorf("%d values are off by %.3f, and by %.3f after a merge", n, math.Sqrt(off), joined)
		}
	}
}

// The arithmetic of states agrees with the library's.
func TestArithmetic(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		x := math.Ldexp(random.Float64()+1e-9, random.IntN(200)-100)
		if got, want := log2(x), math.Log2(x); math.Abs(got-want) > 1e-13*max(1, math.Abs(want)) {
			t.Fatalf("log2(%v) = %v, want %v", x, got, want)
		}
		y := (random.Float64() - 0.5) * 2000
		if got, want := exp2(y), math.Exp2(y); math.Abs(got-want) > 1e-13*want {
			t.Fatalf("exp2(%v) = %v, want %v", y, got, want)
		}
		if m := magnitude(x); math.Abs(m-math.Log2(1+x)) > 0.09 || magnitude(-x) != -m {
			t.Fatalf("magnitude(%v) = %v", x, m)
		}
	}
	if exp2(2000) != math.Inf(1) || exp2(-2000) != 0 || exp2(0) != 1 || log2(8) != 3 || exp(1) != math.E && math.Abs(exp(1)-math.E) > 1e-15 {
		t.Error("the ends are off")
	}
}
