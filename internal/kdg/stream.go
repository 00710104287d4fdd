package kdg

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"time"
)

// Source is a template and how many of its records there are per second. At Rate 0 they are for a caller that takes
// them as fast as it can; their times, which do not matter then, lie 1 ms apart.
type Source struct {
	Template *Template
	Rate     float64
}

const unpaced = 1000

// Stream merges the records of several sources in the order of their times. The same sources, seed and start give
// the same bytes, and each source its own, whatever the others are. A Stream belongs to one goroutine.
type Stream struct {
	sources []streamSource
	start   time.Time
}

type streamSource struct {
	Source
	random *rand.Rand
	made   uint64        // records so far
	due    time.Duration // of the next one, from the start
}

// NewStream begins a stream. The first record of each source is due at start, the next ones at equal distances; where
// several are due at once, they come in the order of sources. A rate that is no positive number counts as 0.
func NewStream(sources []Source, seed uint64, start time.Time) *Stream {
	s := &Stream{start: start.Round(0)} // without the monotonic clock, which says nothing about simulated time
	for i, source := range sources {
		if !(source.Rate > 0) || math.IsInf(source.Rate, 1) {
			source.Rate = unpaced
		}
		var key [32]byte
		binary.LittleEndian.PutUint64(key[:], seed)
		binary.LittleEndian.PutUint64(key[8:], uint64(i))
		s.sources = append(s.sources, streamSource{Source: source, random: rand.New(rand.NewChaCha8(key))})
	}
	return s
}

// Next appends the next record to dst, and tells the index of its source and when it is due, which is also the time it
// shows. A stream has no end; without sources it gives nothing, and the source -1.
func (s *Stream) Next(dst []byte) (rec []byte, source int, at time.Time) {
	source = -1
	for i := range s.sources {
		if source < 0 || s.sources[i].due < s.sources[source].due {
			source = i
		}
	}
	if source < 0 {
		return dst, source, s.start
	}
	next := &s.sources[source]
	at = s.start.Add(next.due)
	rec = next.Template.Append(dst, next.random, at)
	next.made++
	next.due = dueAt(next.made, next.Rate)
	return rec, source, at
}

// dueAt multiplies, where adding up distances would drift. Beyond the 292 years of a Duration time stands still.
func dueAt(n uint64, rate float64) time.Duration {
	due := float64(n) / rate * float64(time.Second)
	if due >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(due)
}
