package kcltest

import (
	"math/big"
	"math/rand/v2"
	"testing"
)

func TestSequenceRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		created, index := random.Int64N(1<<34), random.Uint32N(1<<31)
		position, second := random.Uint64N(lastPosition)+1, random.Int64N(1<<34)
		s := sequenceAt(created, index, position, second)
		text := s.String()
		want := new(big.Int).SetUint64(s.high)
		want.Lsh(want, 64).Or(want, new(big.Int).SetUint64(s.mid))
		want.Lsh(want, 64).Or(want, new(big.Int).SetUint64(s.low))
		if text != want.String() {
			t.Fatalf("digits of %x are %s, want %s", s, text, want)
		}
		got, ok := parseSequence(text)
		if !ok || got != s {
			t.Fatalf("parseSequence(%s) = %x, %v, want %x", text, got, ok, s)
		}
		if got.created() != created || got.index() != index || got.position() != position {
			t.Fatalf("%s: created %d, index %d, position %d, want %d, %d, %d", text, got.created(), got.index(), got.position(), created, index, position)
		}
	}
}

func TestSequenceOrder(t *testing.T) {
	// Each larger than the one before: by position, then across a reshard whatever the positions and the clock did.
	ordered := []sequence{
		sequenceAt(1_700_000_000, 7, 0, 1_700_000_000),
		sequenceAt(1_700_000_000, 7, 1, 1_700_000_009),
		sequenceAt(1_700_000_000, 7, 2, 1_700_000_001),
		sequenceAt(1_700_000_000, 7, 1<<48, 1_700_000_001),
		sequenceAt(1_700_000_000, 7, lastPosition, 1_700_000_001),
		sequenceAt(1_700_000_001, 16, 0, 1_600_000_000),
		sequenceAt(1_700_000_001, 16, 1, 1_600_000_000),
	}
	for i := 1; i < len(ordered); i++ {
		before, after := ordered[i-1].String(), ordered[i].String()
		if before >= after || len(before) != 56 || len(after) != 56 {
			t.Errorf("%s is not before %s", before, after)
		}
	}
	if got := sequenceAt(1_700_000_000, 0, 1, 1_700_000_000).String(); got[:2] != "49" {
		t.Errorf("%s does not look like the real ones, which begin with 49", got)
	}
}

func TestParseSequenceRefuses(t *testing.T) {
	for _, text := range []string{"", "0", "-1", "49", "abc", "+4958" + "0000000000000000000000000000000000000000000000000000", sequenceAt(1, 1, 1, 1).String() + "0"} {
		if s, ok := parseSequence(text); ok {
			t.Errorf("parseSequence(%q) = %x, want a refusal", text, s)
		}
	}
}
