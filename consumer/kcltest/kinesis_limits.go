package kcltest

import (
	"sync"
	"time"
)

// What a shard takes and gives, as AWS documents it.
const (
	readsPerSecond      = 5
	readBytesPerSecond  = 2 << 20
	maxAnswerBytes      = 10 << 20
	maxAnswerRecords    = 10_000
	writesPerSecond     = 1000
	writeBytesPerSecond = 1 << 20
)

// meter is a bucket that fills with what is used and drains at a rate a second, which is also what it holds.
type meter struct {
	level float64
	at    time.Time
}

func (m *meter) drain(now time.Time, rate float64) {
	if passed := now.Sub(m.at).Seconds(); passed > 0 {
		m.level = max(0, m.level-passed*rate)
	}
	m.at = now
}

// writeLimit holds one shard to its records and bytes a second. The caller serialises.
type writeLimit struct{ records, bytes meter }

func (l *writeLimit) take(now time.Time, size int) bool {
	l.records.drain(now, writesPerSecond)
	l.bytes.drain(now, writeBytesPerSecond)
	// A record of more than a second's bytes passes when nothing else did for a while: the service has such records burst, too.
	if l.records.level+1 > writesPerSecond || l.bytes.level > 0 && l.bytes.level+float64(size) > writeBytesPerSecond {
		return false
	}
	l.records.level++
	l.bytes.level += float64(size)
	return true
}

// readLimit holds one shard to its reads and bytes a second. It is safe for concurrent use, as readers share the lock of the streams.
type readLimit struct {
	mu           sync.Mutex
	calls, bytes meter
	blocked      time.Time // no read succeeds before
}

// take counts a read; false refuses it. Whether calls are limited is said by the caller; bytes are, where gave was called.
func (l *readLimit) take(now time.Time, limitCalls bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls.drain(now, readsPerSecond)
	if now.Before(l.blocked) || limitCalls && l.calls.level+1 > readsPerSecond {
		return false
	}
	l.calls.level++
	return true
}

// gave counts what a read answered. Two megabytes block the shard for a second, the ten of the largest answer for five.
func (l *readLimit) gave(now time.Time, size int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes.drain(now, readBytesPerSecond)
	l.bytes.level += float64(size)
	if l.bytes.level >= readBytesPerSecond {
		l.blocked = now.Add(time.Duration(l.bytes.level / readBytesPerSecond * float64(time.Second)))
	}
}
