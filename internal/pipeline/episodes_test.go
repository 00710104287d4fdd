package pipeline

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/consumer"
)

// listener is told of episodes. It is done with what it hears where takes is true.
type listener struct {
	takes bool
	shard *fakeShard

	mu      sync.Mutex
	heard   []anomaly.Notice
	commits []int // before each
}

func (l *listener) Announce(_ string, n anomaly.Notice, done func()) {
	l.mu.Lock()
	l.heard = append(l.heard, n)
	l.commits = append(l.commits, l.shard.commits())
	l.mu.Unlock()
	if l.takes {
		done()
	}
}

func (l *listener) phases() (all []string) {
	for _, n := range l.heard {
		all = append(all, n.Phase)
	}
	return all
}

func watched(l *listener, states ...[]byte) func(*Config, *fakeShard) {
	return func(c *Config, s *fakeShard) {
		l.shard, s.states = s, states
		c.Detectors = []anomaly.Settings{{Name: "high", Kind: anomaly.KindRule, Key: []string{"ip"}, Expression: "x < 100"}}
		c.Quiet, c.Announcer = 10*time.Second, l
	}
}

const abnormal, ordinary = `{"ip":"a","x":1000}`, `{"ip":"b","x":1}`

// An episode is announced when the commit that holds it is durable, and not again after a restart; it closes there.
func TestEpisodesOutliveARestart(t *testing.T) {
	first := &listener{takes: true}
	l := newLab(t, watched(first))
	l.give(l.record(abnormal), l.record(abnormal), l.record(ordinary))
	if len(first.heard) > 0 {
		t.Error("it is announced before it is committed")
	}
	l.stop()
	if !slices.Equal(first.phases(), []string{anomaly.Opens}) || first.commits[0] != 1 || !slices.Equal(l.counts.episodes, []string{anomaly.Opens}) {
		t.Fatalf("%+v after %v commits", first.heard, first.commits)
	}
	// The state is of the commit before done was heard: the notice comes again, and is the same.
	second := &listener{takes: true}
	after := newLab(t, watched(second, l.shard.batches[0].State))
	after.n = l.n
	after.give(after.record(abnormal))
	for range 20 {
		after.give(after.record(ordinary))
	}
	after.stop()
	if !slices.Equal(second.phases(), []string{anomaly.Opens, anomaly.Closes}) || second.heard[0] != first.heard[0] || second.heard[1].ID != first.heard[0].ID || second.heard[1].Rows != 3 {
		t.Errorf("%+v; before %+v", second.heard, first.heard)
	}
	if second.commits[0] != 0 || !slices.Equal(after.counts.episodes, []string{anomaly.Closes}) {
		t.Errorf("after %v commits; counted %v", second.commits, after.counts.episodes)
	}
	// That state, made after done was heard, has only what closed.
	third := &listener{takes: true}
	again := newLab(t, watched(third, after.shard.batches[0].State))
	again.stop()
	if !slices.Equal(third.phases(), []string{anomaly.Closes}) {
		t.Errorf("%+v", third.heard)
	}
}

// What another process commits is not announced by this one.
func TestNothingIsAnnouncedBehindAFence(t *testing.T) {
	heard := &listener{}
	l := newLab(t, watched(heard), func(_ *Config, s *fakeShard) { s.fenced = true })
	l.give(l.record(abnormal))
	close(l.shard.stopping)
	if err := <-l.done; !errors.Is(err, consumer.ErrFenced) || len(heard.heard) > 0 {
		t.Errorf("%v, %+v", err, heard.heard)
	}
}
