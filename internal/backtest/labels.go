package backtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Labels tell where alerts are right: by the names of files. They are what sluice generate --labels writes, in the form of the labels of the
// Numenta Anomaly Benchmark.
type Labels map[string][]Window

// Window is a time, its ends included.
type Window struct{ From, To time.Time }

func (w Window) holds(ms int64) bool { return w.From.UnixMilli() <= ms && ms <= w.To.UnixMilli() }

// all are the windows of all names.
func (l Labels) all() (windows []Window) {
	for _, name := range slices.Sorted(maps.Keys(l)) {
		windows = append(windows, l[name]...)
	}
	return windows
}

// ParseLabels reads {"FILE": [["FROM", "TO"], ...]}.
func ParseLabels(text []byte) (Labels, error) {
	var written map[string][][2]string
	if err := json.Unmarshal(text, &written); err != nil {
		return nil, fmt.Errorf("want {\"FILE\": [[\"FROM\", \"TO\"], ...]}: %w", err)
	}
	labels := Labels{}
	for name, windows := range written {
		labels[name] = nil
		for _, w := range windows {
			from, err := parseTimestamp(w[0])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			to, err := parseTimestamp(w[1])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			labels[name] = append(labels[name], Window{from, to})
		}
	}
	return labels, nil
}

// timestampLayouts are tried in this order; each takes a fraction of the second, too.
var timestampLayouts = []string{time.DateTime, time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02"}

// parseTimestamp takes the usual forms, and seconds since 1970. What has no offset is UTC.
func parseTimestamp(text string) (time.Time, error) {
	for _, layout := range timestampLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds > -1e11 && seconds < 1e11 {
		return time.UnixMilli(int64(seconds * 1000)), nil
	}
	return time.Time{}, fmt.Errorf("%q is no timestamp such as 2026-01-31 12:00:00, 2026-01-31T12:00:00Z, or seconds since 1970", text)
}
