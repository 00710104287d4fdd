package pipeline

import (
	"sync"

	"github.com/sluice-etl/sluice/anomaly"
)

// announced announces what the last commit has made durable.
func (s *shard) announced() {
	notices := s.engine.Durable()
	for _, n := range notices {
		s.p.cfg.Metrics.Episode(n.Detector, n.Phase)
	}
	over := s.engine.Unannounced()
	s.p.cfg.Metrics.EpisodesPassedOver(int(over - s.passedOver))
	s.passedOver = over
	s.announce(notices)
}

func (s *shard) announce(notices []anomaly.Notice) {
	for _, n := range notices {
		s.p.cfg.Announcer.Announce(s.session.Shard(), n, func() { s.told.add(n.ID, n.Sequence) })
	}
}

// told gathers the notices that are done until the next snapshot leaves them out. It is safe for concurrent use.
type told struct {
	mu   sync.Mutex
	done []notice
}

type notice struct {
	id       string
	sequence int
}

func (t *told) add(id string, sequence int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done = append(t.done, notice{id, sequence})
}

func (t *told) take(f func(id string, sequence int)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.done {
		f(n.id, n.sequence)
	}
	t.done = nil
}
