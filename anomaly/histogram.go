package anomaly

import "math/bits"

// histogram counts keys by their count: exactly up to 64, and in 32 steps for each doubling beyond, so that no count
// is off by more than a 32nd.
type histogram [64 + 27*32]uint32

// bucket is the place of a count.
func bucket(n uint32) int {
	if n < 64 {
		return int(n)
	}
	e := bits.Len32(n) - 6 // n>>e is in [32, 64)
	return 64 + (e-1)*32 + int(n>>e) - 32
}

// lowest is the smallest count in a bucket.
func lowest(b int) uint64 {
	if b < 64 {
		return uint64(b)
	}
	b -= 64
	return uint64(b%32+32) << (b/32 + 1)
}
