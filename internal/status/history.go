package status

import (
	"time"

	"github.com/sluice-etl/sluice/internal/ops"
)

const (
	tick      = time.Second
	kept      = 15 * 60 // samples that the charts show
	smoothing = 10      // samples over which a rate is taken: records come from Kinesis in portions
	shareOver = 60      // samples over which the share of anomalies is taken: rows come in whole batches
)

// sample is what was counted up to a moment.
type sample struct {
	at                             int64 // seconds since 1970
	received, rows, flags, commits uint64
	lag                            float64 // seconds, the highest of all shards; negative: none was read yet
	byDetector                     map[string]uint64
}

// history is the last samples, one for each tick, the newest last.
type history struct{ samples []sample }

func (h *history) add(at time.Time, s ops.Status) {
	one := sample{at: at.Unix(), received: s.Received, rows: s.Rows, flags: s.Anomalies, commits: s.Commits, lag: -1, byDetector: s.Flags}
	for _, sh := range s.Shards {
		if sh.Read {
			one.lag = max(one.lag, sh.Lag.Seconds())
		}
	}
	h.samples = append(h.samples, one)
	// One more than is shown, and what the first ones shown are compared with.
	if over := len(h.samples) - kept - shareOver; over > 0 {
		h.samples = append(h.samples[:0], h.samples[over:]...)
	}
}

// point is what the charts show of one moment. What is not known is nil.
type point struct {
	At      int64    `json:"t"`       // seconds since 1970
	Rate    *float64 `json:"rate"`    // Kinesis records a second
	Lag     *float64 `json:"lag"`     // seconds, the highest of all shards
	Commits *float64 `json:"commits"` // since the sample before
	Share   *float64 `json:"share"`   // flags for each row that was committed in the last minute; nil where there was none
}

// point is that of a sample, by its place.
func (h *history) point(i int) point {
	s := &h.samples[i]
	p := point{At: s.at}
	if s.lag >= 0 {
		p.Lag = &s.lag
	}
	if i == 0 {
		return p
	}
	before := &h.samples[max(0, i-smoothing)]
	rate := float64(s.received-before.received) / float64(max(1, s.at-before.at))
	commits := float64(s.commits - h.samples[i-1].commits)
	p.Rate, p.Commits = &rate, &commits
	before = &h.samples[max(0, i-shareOver)]
	if rows := s.rows - before.rows; rows > 0 {
		share := float64(s.flags-before.flags) / float64(rows)
		p.Share = &share
	}
	return p
}

func (h *history) newest() point { return h.point(len(h.samples) - 1) }

// points are all that the charts show.
func (h *history) points() []point {
	var out []point
	for i := max(0, len(h.samples)-kept); i < len(h.samples); i++ {
		out = append(out, h.point(i))
	}
	return out
}

// flagged is how many rows a detector flagged during the time that the charts show, or since the process began.
func (h *history) flagged(detector string) uint64 {
	newest := h.samples[len(h.samples)-1].byDetector[detector]
	if len(h.samples) <= kept {
		return newest
	}
	return newest - h.samples[len(h.samples)-1-kept].byDetector[detector]
}
