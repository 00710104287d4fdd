package consumer

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// tell is a Process whose every commit tells others the shard's id, and which gives what others tell to a channel.
func tell(heard chan<- string) func(context.Context, *Session) error {
	return func(ctx context.Context, s *Session) error {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case f := <-s.Fetches():
				if len(f.Records) == 0 {
					continue
				}
				b := Batch{Checkpoint: f.Records[len(f.Records)-1].SequenceNumber, State: []byte(s.Shard() + " and what is its own"), Summary: len(s.Shard()), Trigger: "test"}
				if err := s.Commit(ctx, b); err != nil {
					return err
				}
			case <-tick.C:
				summaries, ok := s.Peers()
				for _, summary := range summaries {
					select {
					case heard <- fmt.Sprintf("%s hears %s %v", s.Shard(), summary, ok):
					default:
					}
				}
			case <-s.Stopping():
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

// A shard hears what the last commit of another tells, and no more of its snapshot.
func TestPeersHearWhatIsCommitted(t *testing.T) {
	t.Parallel()
	l := newLab(t, 2)
	l.feed(100)
	heard := make(chan string, 1)
	w := l.start("one", func(c *Config) { c.Process = tell(heard) })
	want := map[string]bool{}
	for _, pair := range [][2]int{{0, 1}, {1, 0}} {
		want[fmt.Sprintf("shardId-%012d hears shardId-%012d true", pair[0], pair[1])] = true
	}
	deadline := time.After(30 * time.Second)
	for len(want) > 0 {
		select {
		case line := <-heard:
			delete(want, line)
		case <-deadline:
			t.Fatalf("not heard: %v", want)
		}
	}
	w.stop()
	if err := <-w.done; err != nil {
		t.Error(err)
	}
}
