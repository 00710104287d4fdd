package kdg

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"time"
)

// Source is a template and how many of its records there are.
type Source struct {
	Template *Template
	Rate
}

// Stream merges the records of several sources in the order of their times. The same sources, seed, start and injections
// give the same bytes, and each source its own, whatever the others are. A Stream belongs to one goroutine.
type Stream struct {
	sources []streamSource
	start   time.Time
}

type streamSource struct {
	template *Template
	index    int // of its Source
	schedule *schedule
	key      [32]byte // of the random values,
	chacha   *rand.ChaCha8
	random   *rand.Rand
	repeats  bool          // every record has the same values, but for its time
	made     uint64        // records so far
	due      time.Duration // of the next one, from the start
}

// NewStream begins a stream. The first record of each source is due at start, the next ones as its rate has it; where
// several are due at once, they come in the order of sources.
func NewStream(sources []Source, seed uint64, start time.Time, injections ...Injection) *Stream {
	s := &Stream{start: start.Round(0)} // without the monotonic clock, which says nothing about simulated time
	for i, source := range sources {
		s.add(source, i, seed, uint64(i), newSchedule(source.Rate, injections, s.start))
	}
	for n, injection := range injections {
		if injection.Kind != Flood {
			continue
		}
		for i, source := range sources {
			s.add(source, i, seed, uint64(n+1)<<32+uint64(i), newFlood(source.Rate, injection, s.start))
			s.sources[len(s.sources)-1].repeats = true
		}
	}
	return s
}

func (s *Stream) add(source Source, index int, seed, number uint64, schedule *schedule) {
	next := streamSource{template: source.Template, index: index, schedule: schedule}
	binary.LittleEndian.PutUint64(next.key[:], seed)
	binary.LittleEndian.PutUint64(next.key[8:], number)
	next.chacha = rand.NewChaCha8(next.key)
	next.random = rand.New(next.chacha)
	next.due = schedule.due(0)
	s.sources = append(s.sources, next)
}

// Next appends the next record to dst, and tells the index of its source and when it is due, which is also the time it
// shows. A stream has no end; without sources it gives nothing, and the source -1.
func (s *Stream) Next(dst []byte) (rec []byte, source int, at time.Time) {
	var next *streamSource
	for i := range s.sources {
		if next == nil || s.sources[i].due < next.due {
			next = &s.sources[i]
		}
	}
	if next == nil {
		return dst, -1, s.start
	}
	at = s.start.Add(next.due)
	if next.repeats {
		next.chacha.Seed(next.key)
	}
	rec = next.template.Append(dst, next.random, at)
	next.made++
	next.due = next.schedule.due(next.made)
	return rec, next.index, at
}

// never is beyond all times: a Duration has 292 years.
const never = time.Duration(math.MaxInt64)
