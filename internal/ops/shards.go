package ops

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// staleAfter is how long a shard may go without a read before its lag is taken to grow: it is read about once a second.
const staleAfter = 5 * time.Second

// shards is what is known of the shards that are held: the collector of all series that end with a shard.
type shards struct {
	now                          func() time.Time
	waiting                      func() map[string]time.Duration // see Health.failing
	lag, lastCommit, failing     *prometheus.Desc
	detectorKeys, detectorEvicts *prometheus.Desc

	mu     sync.Mutex
	held   map[string]*shard
	totals map[string]uint64 // evictions by detector, also of shards that are gone: a counter never falls
}

// shard is guarded by the mutex of shards.
type shard struct {
	behind    time.Duration // at the last read
	read      time.Time     // zero before the first
	committed time.Time     // likewise
	keys      map[string]int
	evictions map[string]uint64 // of this shard's engine
}

func newShards(now func() time.Time, waiting func() map[string]time.Duration) *shards {
	return &shards{
		now: now, waiting: waiting, held: map[string]*shard{}, totals: map[string]uint64{},
		lag: prometheus.NewDesc("sluice_lag_seconds",
			"How far the last read was behind the end of the shard, plus the time since when the shard is no longer read. Worry when it keeps growing: it must never come near the stream's retention.",
			[]string{"shard"}, nil),
		lastCommit: prometheus.NewDesc("sluice_last_commit_timestamp_seconds",
			"When a batch of the shard last became visible, in seconds since 1970. A shard that gets no records commits nothing; worry when it is old while records are received.",
			[]string{"shard"}, nil),
		failing: prometheus.NewDesc("sluice_failing_seconds",
			"For how long something of the shard has failed and been tried again, 0 while nothing does; the shard worker stands for what is of no single shard. Worry when it lasts: /readyz and the log tell what fails, and why.",
			[]string{"shard"}, nil),
		detectorKeys: prometheus.NewDesc("sluice_detector_keys",
			"Keys that the detector keeps statistics of, over the shards held. At the detector's MAX_KEYS times the shards, it forgets.",
			[]string{"detector"}, nil),
		detectorEvicts: prometheus.NewDesc("sluice_detector_evictions_total",
			"Keys that the detector forgot for want of room. Worry when it keeps growing: raise MAX_KEYS, or abnormal keys may go unseen.",
			[]string{"detector"}, nil),
	}
}

// of is the shard's entry. The caller holds the mutex.
func (s *shards) of(id string) *shard {
	sh := s.held[id]
	if sh == nil {
		sh = &shard{keys: map[string]int{}, evictions: map[string]uint64{}}
		s.held[id] = sh
	}
	return sh
}

func (s *shards) wasRead(id string, behind time.Duration) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.of(id)
	sh.behind, sh.read = behind, now
}

func (s *shards) hasCommitted(id string) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of(id).committed = now
}

func (s *shards) detector(name, id string, keys int, evictions uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sh := s.of(id)
	sh.keys[name] = keys
	before := sh.evictions[name]
	if evictions < before {
		before = 0 // another engine, which began anew
	}
	s.totals[name] += evictions - before
	sh.evictions[name] = evictions
}

func (s *shards) expect(detector string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.totals[detector] += 0
}

func (s *shards) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, id)
}

// lagging is the shard's lag. A read that does not come back says nothing, so the lag of a shard that is read no more
// grows with time.
func (sh *shard) lagging(now time.Time) time.Duration {
	return sh.behind + max(0, now.Sub(sh.read)-staleAfter)
}

// Describe implements prometheus.Collector.
func (s *shards) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{s.lag, s.lastCommit, s.failing, s.detectorKeys, s.detectorEvicts} {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (s *shards) Collect(out chan<- prometheus.Metric) {
	for _, m := range s.metrics() {
		out <- m
	}
}

// metrics are collected under the mutex and sent without it, so that a slow scrape holds up nobody.
func (s *shards) metrics() (out []prometheus.Metric) {
	now, failing := s.now(), s.waiting()
	failing["worker"] += 0
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := make(map[string]int, len(s.totals))
	for id, sh := range s.held {
		failing[id] += 0
		id = strings.ToValidUTF8(id, "?")
		if !sh.read.IsZero() {
			out = append(out, prometheus.MustNewConstMetric(s.lag, prometheus.GaugeValue, sh.lagging(now).Seconds(), id))
		}
		if !sh.committed.IsZero() {
			out = append(out, prometheus.MustNewConstMetric(s.lastCommit, prometheus.GaugeValue, float64(sh.committed.UnixMilli())/1000, id))
		}
		for name, n := range sh.keys {
			keys[name] += n
		}
	}
	for id, d := range failing {
		out = append(out, prometheus.MustNewConstMetric(s.failing, prometheus.GaugeValue, d.Seconds(), strings.ToValidUTF8(id, "?")))
	}
	for name, evicted := range s.totals {
		label := strings.ToValidUTF8(name, "?")
		out = append(out,
			prometheus.MustNewConstMetric(s.detectorKeys, prometheus.GaugeValue, float64(keys[name]), label),
			prometheus.MustNewConstMetric(s.detectorEvicts, prometheus.CounterValue, float64(evicted), label))
	}
	return out
}

// keys sums up, by detector, the keys that are known.
func (s *shards) keys() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := make(map[string]int, len(s.totals))
	for _, sh := range s.held {
		for name, n := range sh.keys {
			keys[name] += n
		}
	}
	return keys
}

// status lists the shards by their ids.
func (s *shards) status() []ShardStatus {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]ShardStatus, 0, len(s.held))
	for _, id := range slices.Sorted(maps.Keys(s.held)) {
		sh := s.held[id]
		status := ShardStatus{Shard: id, Read: !sh.read.IsZero(), Committed: sh.committed}
		if status.Read {
			status.Lag = sh.lagging(now)
		}
		out = append(out, status)
	}
	return out
}
