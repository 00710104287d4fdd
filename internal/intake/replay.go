package intake

import (
	"sync"
	"time"

	"github.com/sluice-etl/sluice/internal/intake/sigv4"
)

// maxSeen bounds the signatures that are remembered: 3,000 puts a second for five minutes, in some 40 MB. Only signatures
// of known keys get here.
const maxSeen = 1 << 20

// mark tells a signature from others. Half of it does, since nobody without a secret can make one.
type mark [16]byte

// seen remembers the signatures of puts for as long as they are valid, so that each is carried out once. It is safe for
// concurrent use.
type seen struct {
	most int

	mu       sync.Mutex
	bySecond map[int64]map[mark]struct{} // by the second in which they were signed
	count    int
}

func newSeen(most int) *seen { return &seen{most: most, bySecond: map[int64]map[mark]struct{}{}} }

// lateness is more than what passes between the check of a signature and its being remembered: a replay that was checked in
// the last moment must still find it.
const lateness = 10 * time.Second

// verdict is what seen says of a signature.
type verdict int

const (
	isNew verdict = iota
	isReplay
	isFull // too many are remembered to remember this one
)

// add remembers a signature that is valid at a time.
func (s *seen) add(signature sigv4.Signature, now time.Time) verdict {
	second, m := signature.At.Unix(), mark(signature.Value[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.bySecond[second][m]; ok {
		return isReplay
	}
	// Requests come with the same few seconds again and again, so this finds something once a second.
	if s.bySecond[second] == nil {
		s.forget(now.Add(-sigv4.Window - lateness).Unix())
		s.bySecond[second] = map[mark]struct{}{}
	}
	if s.count >= s.most {
		return isFull
	}
	s.bySecond[second][m] = struct{}{}
	s.count++
	return isNew
}

// forget drops what was signed before a second, and is valid no more.
func (s *seen) forget(before int64) {
	for second, marks := range s.bySecond {
		if second < before {
			s.count -= len(marks)
			delete(s.bySecond, second)
		}
	}
}
