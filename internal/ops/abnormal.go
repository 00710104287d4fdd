package ops

import (
	"bytes"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/sluice-etl/sluice/internal/pipeline"
)

// Abnormal is a committed row that detectors flagged. Its texts are UTF-8, and bounded.
type Abnormal struct {
	Number    uint64   `json:"number"` // from 1, as they were committed
	Shard     string   `json:"shard"`
	Arrival   int64    `json:"arrival"` // milliseconds since 1970
	Detectors string   `json:"detectors"`
	Key       string   `json:"key,omitempty"` // of the detector that is named first; empty also where keys are not shown
	Reason    string   `json:"reason"`
	Score     float64  `json:"score"`
	Expected  *float64 `json:"expected,omitempty"` // nil, as the next two: there is none
	Lower     *float64 `json:"lower,omitempty"`
	Upper     *float64 `json:"upper,omitempty"`
	Samples   int64    `json:"samples"`
}

// LastAbnormal is how many rows are remembered.
const LastAbnormal = 100

const (
	maxText   = 300 // bytes of a key or a reason that are remembered
	hiddenKey = "(key not shown)"
)

// abnormal remembers the last flagged rows, and counts all flags by detector.
type abnormal struct {
	mu     sync.Mutex
	told   uint64
	last   []Abnormal // at most LastAbnormal, the newest last
	totals map[string]uint64
}

func (a *abnormal) add(rows []pipeline.Abnormal, keys bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range rows {
		a.told++
		one := Abnormal{Number: a.told, Shard: shown([]byte(r.Shard)), Arrival: r.Arrival, Detectors: r.Detectors, Score: r.Score, Samples: r.Samples}
		if r.Band {
			one.Expected, one.Lower, one.Upper = finite(r.Expected), finite(r.Lower), finite(r.Upper)
		}
		reason := r.Reason
		if keys && len(r.Keys) > 0 {
			one.Key = shown(r.Keys[0])
		}
		if !keys {
			reason = withoutKeys(reason, r.Keys)
		}
		one.Reason = shown(reason)
		a.last = append(a.last, one)
	}
	if over := len(a.last) - LastAbnormal; over > 0 {
		a.last = append(a.last[:0], a.last[over:]...)
	}
}

// withoutKeys is a reason in which no key stands. One key may be the beginning of another, so the longest go first.
func withoutKeys(reason []byte, keys [][]byte) []byte {
	longest := slices.SortedFunc(slices.Values(keys), func(a, b []byte) int { return len(b) - len(a) })
	for _, key := range longest {
		if len(key) > 0 {
			reason = bytes.ReplaceAll(reason, key, []byte(hiddenKey))
		}
	}
	return reason
}

// finite is a number that JSON can have; nil for another.
func finite(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

// shown is a text as far as it is shown.
func shown(text []byte) string {
	if len(text) > maxText {
		return strings.ToValidUTF8(string(text[:maxText]), "\uFFFD") + "\u2026"
	}
	return strings.ToValidUTF8(string(text), "\uFFFD")
}

func (a *abnormal) count(detector string, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.totals[detector] += uint64(n)
}

// since gives the remembered rows after a number.
func (a *abnormal) since(number uint64) []Abnormal {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := min(a.told-number, uint64(len(a.last)))
	return append([]Abnormal{}, a.last[uint64(len(a.last))-n:]...)
}

func (a *abnormal) flags() map[string]uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.totals)
}

// Abnormal remembers flagged rows, of which the last LastAbnormal are shown.
func (m *Metrics) Abnormal(rows []pipeline.Abnormal) { m.abnormal.add(rows, m.keys) }

// AbnormalSince gives the remembered rows whose number is above one, the newest last.
func (m *Metrics) AbnormalSince(number uint64) []Abnormal { return m.abnormal.since(number) }
