package pipeline

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
