package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/sluice-etl/sluice/internal/ops"
)

// watch sees how far the service has read.
type watch struct {
	*ops.Metrics

	mu    sync.Mutex
	quiet map[string]int // reads of each shard, one after the other, that found nothing behind them
}

func newWatch(m *ops.Metrics) *watch { return &watch{Metrics: m, quiet: map[string]int{}} }

// Lag hears of every read, before its records are handed on.
func (w *watch) Lag(shard string, behind time.Duration) {
	w.Metrics.Lag(shard, behind)
	w.mu.Lock()
	defer w.mu.Unlock()
	if behind == 0 {
		w.quiet[shard]++
	} else {
		w.quiet[shard] = 0
	}
}

// settle waits until everything that is in the stream now is read. The first read that begins after now may be the
// second one heard of; that its records were taken is known when the next is heard of.
func (w *watch) settle(limit time.Duration) {
	w.mu.Lock()
	clear(w.quiet)
	w.mu.Unlock()
	deadline := time.Now().Add(limit)
	for time.Now().Before(deadline) && !w.settled() {
		time.Sleep(20 * time.Millisecond)
	}
}

func (w *watch) settled() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, reads := range w.quiet {
		if reads >= 3 {
			n++
		}
	}
	return n == shards
}

// clearLine goes to the beginning of a terminal's line, and clears it.
const clearLine = "\r\x1b[K"

// progress tells on a terminal, once a second, what the service does.
type progress struct {
	quit, done chan struct{}
}

func startProgress(m *ops.Metrics, terminal bool) *progress {
	p := &progress{make(chan struct{}), make(chan struct{})}
	go func() {
		defer close(p.done)
		if terminal {
			p.run(m, os.Stderr)
		}
	}()
	return p
}

func (p *progress) stop() {
	close(p.quit)
	<-p.done
}

func (p *progress) run(m *ops.Metrics, w io.Writer) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	received := 0.0
	for {
		select {
		case <-p.quit:
			fmt.Fprint(w, clearLine)
			return
		case <-tick.C:
		}
		families, err := m.Gather()
		if err != nil {
			continue // the status page tells of it
		}
		now := value(families, "sluice_records_received_total", sum)
		fmt.Fprintf(w, clearLine+"%8.0f records/s  %10.0f rows committed  lag %5.1f s  %8.0f anomalies",
			now-received, value(families, "sluice_rows_committed_total", sum),
			value(families, "sluice_lag_seconds", func(a, b float64) float64 { return max(a, b) }),
			value(families, "sluice_anomalies_total", sum))
		received = now
	}
}

func sum(a, b float64) float64 { return a + b }

// value combines the values of a metric, over all its labels.
func value(families []*dto.MetricFamily, name string, combine func(a, b float64) float64) (v float64) {
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			v = combine(v, m.GetCounter().GetValue()+m.GetGauge().GetValue())
		}
	}
	return v
}
