package ops

import (
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// maxSeries bounds the series of one counter. The sets of label values are closed where they are made; this is for the
// day when one is not, because every series costs memory here and in Prometheus for ever.
const maxSeries = 200

// counters are the series of a counter with labels. Beyond the bound, all that is new is counted as "other".
type counters struct {
	vec *prometheus.CounterVec

	mu     sync.Mutex
	series map[string]prometheus.Counter // by the label values
}

func newCounters(r prometheus.Registerer, name, help string, labels ...string) *counters {
	c := &counters{series: map[string]prometheus.Counter{},
		vec: prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)}
	r.MustRegister(c.vec)
	return c
}

// with gives the series of the label values, one for each label.
func (c *counters) with(values ...string) prometheus.Counter {
	key := strings.Join(values, "\x00")
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.series[key]; ok {
		return s
	}
	full := len(c.series) >= maxSeries
	labels := make([]string, len(values))
	for i, v := range values {
		// An empty value is none to Prometheus, and the library panics at what is not UTF-8.
		if labels[i] = strings.ToValidUTF8(v, "?"); full || v == "" {
			labels[i] = "other"
		}
	}
	s := c.vec.WithLabelValues(labels...)
	if !full {
		c.series[key] = s
	}
	return s
}
