package picture

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// Of every range some values are marked, and not too many; and a mark says where it is.
func TestTicks(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	any := func() float64 { return (random.Float64() - 0.5) * math.Pow(10, float64(random.IntN(600)-300)) }
	for i := range 100_000 {
		from := any()
		to := []float64{any(), from + math.Abs(from)*2e-9 + 1e-40, from + 1, 0}[i%4]
		from, to = min(from, to), max(from, to)
		if to-from < 2e-9*max(math.Abs(from), math.Abs(to)) {
			continue // an axis is longer
		}
		marks := valueTicks(from, to)
		if len(marks) < 3 || len(marks) > 2*ticks {
			t.Fatalf("from %v to %v: %d marks", from, to, len(marks))
		}
		for k, m := range marks {
			told, err := strconv.ParseFloat(m.Label, 64)
			if err != nil || math.Abs(told-m.Value) > (to-from)/100 || m.Value < from-(to-from)/100 || m.Value > to || k > 0 && m.Value <= marks[k-1].Value {
				t.Fatalf("from %v to %v: %+v", from, to, marks)
			}
		}
	}
	for _, span := range []float64{1, 10, 59_999, 1e6, 86_400_000, 1e9, 1e12, 3e14} {
		if marks := timeTicks(1.772e12, 1.772e12+span); len(marks) > 2*ticks || len(marks) < 1 {
			t.Errorf("%v ms have the marks %+v", span, marks)
		}
	}
}
