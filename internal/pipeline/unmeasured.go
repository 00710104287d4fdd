package pipeline

import "sync"

// Unmeasured are Metrics that nobody wants: to be embedded by those that want some of them.
type Unmeasured struct{}

// Received and the rest do nothing.
func (Unmeasured) Received(int, int)                    {}
func (Unmeasured) Rejected(string, int)                 {}
func (Unmeasured) Rescued(int)                          {}
func (Unmeasured) Skewed(int)                           {}
func (Unmeasured) Duplicates(int)                       {}
func (Unmeasured) Filtered(int)                         {}
func (Unmeasured) ExpressionFaults(int)                 {}
func (Unmeasured) Anomalies(string, int, []byte)        {}
func (Unmeasured) Abnormal([]Abnormal)                  {}
func (Unmeasured) Unusable(string, int)                 {}
func (Unmeasured) Episode(string, string)               {}
func (Unmeasured) EpisodesPassedOver(int)               {}
func (Unmeasured) SnapshotLost()                        {}
func (Unmeasured) PeersLost()                           {}
func (Unmeasured) Buffered(int64)                       {}
func (Unmeasured) Detector(string, string, int, uint64) {}

// Counted are Metrics of which only what becomes of rows is counted. They are read when the pipeline has ended.
type Counted struct {
	Unmeasured
	mu                        sync.Mutex
	Rejects, LeftOut, Flagged int
}

// Rejected counts records and lines that became rejects.
func (c *Counted) Rejected(_ string, n int) { c.add(&c.Rejects, n) }

// Filtered counts rows that were left out.
func (c *Counted) Filtered(n int) { c.add(&c.LeftOut, n) }

// Anomalies counts rows that are flagged, once for each detector.
func (c *Counted) Anomalies(_ string, n int, _ []byte) { c.add(&c.Flagged, n) }

func (c *Counted) add(sum *int, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*sum += n
}
