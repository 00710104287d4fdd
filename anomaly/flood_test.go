package anomaly_test

import (
	"encoding/binary"
	"testing"
	"time"
)

// Ten million keys, each of which comes once, leave no more behind than the detector may keep.
func TestTenMillionKeys(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds, and minutes with the race detector; it runs without -short")
	}
	settings := bySource
	settings.MaxKeys = 10_000
	e := newEngine(t, settings)
	const flood = 10_000_000
	var key [8]byte
	for i := range uint64(flood) {
		binary.BigEndian.PutUint64(key[:], i)
		e.score(key[:], noon.Add(time.Duration(i)*10*time.Microsecond))
	}
	if e.Keys(0) > settings.MaxKeys || e.Evictions(0) < flood-2*uint64(settings.MaxKeys) {
		t.Errorf("%d keys, %d evictions", e.Keys(0), e.Evictions(0))
	}
	if n := len(e.Snapshot(nil)); n > 100*settings.MaxKeys {
		t.Errorf("the snapshot has %d bytes", n)
	}
}
