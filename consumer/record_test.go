package consumer

import "testing"

func TestSequenceNumbersOrder(t *testing.T) {
	ordered := []string{"9", "10", "49590338271490256608559692538361571095921575989136588898", "49590338271490256608559692538361571095921575989136588899", "149590338271490256608559692538361571095921575989136588898"}
	for i, a := range ordered {
		for j, b := range ordered {
			if after(a, b) != (i > j) {
				t.Errorf("after(%s, %s) is %v", a, b, !(i > j))
			}
		}
	}
}
