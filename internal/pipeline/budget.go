package pipeline

import "sync/atomic"

// budget keeps the open batches of all shards within a limit. Each tells of its growth; when there is no more room,
// a batch of at least the average size has to end, which the biggest always is.
type budget struct {
	limit   int64
	total   atomic.Int64
	batches atomic.Int64 // that hold anything
}

// resize tells that a batch changed its size, and whether it must end.
func (b *budget) resize(from, to int64) (full bool) {
	switch {
	case from == 0 && to > 0:
		b.batches.Add(1)
	case from > 0 && to == 0:
		b.batches.Add(-1)
	}
	total := b.total.Add(to - from)
	return to > 0 && total > b.limit && to*b.batches.Load() >= total
}
