package sink

import "time"

// Partitioner numbers the partitions of a batch: one for each different prefix. It is not safe for concurrent use.
type Partitioner struct {
	prefix   *Prefix
	location *time.Location
	unit     int64 // milliseconds

	numbers map[string]int32
	keys    []string
	text    []byte

	from, to int64 // of the last time, while it is sure to have the same number
	last     int32
}

// NewPartitioner makes a partitioner without partitions. Prefixes show the times of a location.
func NewPartitioner(p *Prefix, location *time.Location) *Partitioner {
	return &Partitioner{prefix: p, location: location, unit: p.unit().Milliseconds(), numbers: map[string]int32{}}
}

// Partition gives the number of the partition of a time, in milliseconds since 1970. Numbers count from 0 in the order
// of their first use.
func (p *Partitioner) Partition(ms int64) int32 {
	if ms >= p.from && ms < p.to {
		return p.last
	}
	at := time.UnixMilli(ms).In(p.location)
	p.text = p.prefix.Append(p.text[:0], at, "")
	n, ok := p.numbers[string(p.text)]
	if !ok {
		n = int32(len(p.keys))
		key := string(p.text)
		p.numbers[key] = n
		p.keys = append(p.keys, key)
	}
	p.from, p.to = p.around(at)
	p.last = n
	return n
}

// around is the time, from a millisecond to one that it does not hold, in which the clock of a time's location shows
// the same unit. It ends where the clock changes its offset.
func (p *Partitioner) around(at time.Time) (from, to int64) {
	_, offset := at.Zone()
	ms := at.UnixMilli()
	from = ms - mod(ms+int64(offset)*1000, p.unit)
	to = from + p.unit
	start, end := at.ZoneBounds()
	if !start.IsZero() {
		from = max(from, start.UnixMilli())
	}
	if !end.IsZero() {
		to = min(to, end.UnixMilli())
	}
	return from, to
}

// mod is the remainder that is never negative.
func mod(a, b int64) int64 { return ((a % b) + b) % b }

// Key is the prefix of a partition.
func (p *Partitioner) Key(n int32) string { return p.keys[n] }

// Len is the number of partitions.
func (p *Partitioner) Len() int { return len(p.keys) }

// Reset forgets all partitions.
func (p *Partitioner) Reset() {
	clear(p.numbers)
	p.keys = p.keys[:0]
	p.from, p.to = 0, 0
}
