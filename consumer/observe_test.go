package consumer

import (
	"errors"
	"log/slog"
	"maps"
	"testing"
)

// conditions are what an Observer was told to wait for.
type conditions struct {
	nobody
	waiting map[string]string
}

func (c conditions) NotReady(what, reason string) { c.waiting[what] = reason }
func (c conditions) Ready(what string)            { delete(c.waiting, what) }

// A read that succeeds says nothing of a commit that does not.
func TestReadinessIsOfEachOperation(t *testing.T) {
	c := conditions{waiting: map[string]string{}}
	o := observer{c, slog.New(slog.DiscardHandler)}
	o.retrying("shardId-1", "commit", errors.New("throttled"))
	o.retrying("", "heartbeat", errors.New("lost"))
	o.clear("shardId-1", "read")
	o.clear("", lookAtLeases)
	if want := map[string]string{"shardId-1: commit": "throttled", "worker: heartbeat": "lost"}; !maps.Equal(c.waiting, want) {
		t.Errorf("waiting for %v; want %v", c.waiting, want)
	}
	o.clear("shardId-1", "commit")
	o.clear("", "heartbeat")
	if len(c.waiting) > 0 {
		t.Errorf("still waiting for %v", c.waiting)
	}
}
