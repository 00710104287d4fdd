// Package backtest runs detectors over what is past, and tells what they would have flagged at other thresholds.
//
// What is past is series, which are judged alone (series.go); records in one of the formats, which go the same way as those of a stream as far
// as the detectors (records.go); or the rows of files that sluice has written, in the order in which they came (stored.go). What becomes of a
// row at each threshold is counted in judge.go, and printed in report.go. What a picture shows of it is kept in curve.go; who draws is another.
//
// No row is judged by a later one. Memory is bounded by the detectors' own bounds, and of stored rows by a commit of each shard that is
// read at the same time.
package backtest

import (
	"slices"
	"time"

	"github.com/sluice-etl/sluice/anomaly"
)

// Config is what all backtests have in common.
type Config struct {
	Detectors []anomaly.Settings // not of series
	Quiet     time.Duration      // after which an episode is over; 0: each detector's window
	Labels    Labels             // nil: it is not known where alerts are right

	// Progress is told how many bytes of all were read. No two calls are made at a time.
	Progress func(read, size int64)

	// Draw is told what there is to draw: of each detector at the end, of each series, with the name of its file, when it is read. nil: no
	// curves are kept.
	Draw func(name string, o *Outcome, right []Window) error
}

// draw has the outcomes of detectors drawn.
func (c Config) draw(outcomes []*Outcome) error {
	for _, o := range outcomes {
		if c.Draw == nil {
			break
		}
		if err := c.Draw(o.Settings.Name, o, c.Labels.all()); err != nil {
			return err
		}
	}
	return nil
}

// Result is what a backtest found.
type Result struct {
	What     string // the input, for a person
	Rows     int64
	Outcomes []*Outcome // one for each detector; of series one alone
	Labelled bool       // it is known where alerts are right
	Stored   bool       // it is known what was flagged before
	Notes    []string   // what a person should know who reads the figures
}

// Outcome is what one detector would have done. Slices are by threshold.
type Outcome struct {
	Settings   anomaly.Settings // complete; of series without a name
	Thresholds []float64        // ascending
	Chosen     int              // the place of the configured one

	Unusable int64   // rows without a number to judge
	Warming  int64   // rows that were seen before the detector could judge
	Flags    []int64 // flagged rows
	Alerts   []int64 // episodes: a key that is flagged again and again rings once
	Right    []int64 // alerts that begin within a window of the labels
	hits     [][]bool
	Before   int64 // rows that the detector had flagged when they were written,
	Both     int64 // and flags now

	Keys Keys // those that are flagged at the chosen threshold

	curves *curves // of the keys; nil if none is to be drawn
}

// tried are the thresholds at which alerts are counted beside the configured one.
var tried = map[string][]float64{
	anomaly.KindRate:     {0.5, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99999},
	anomaly.KindDistinct: {0.5, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99999},
	anomaly.KindValue:    {0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9},
	anomaly.KindSeries:   {0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9},
}

// newOutcome makes an empty outcome of complete settings.
func newOutcome(s anomaly.Settings, windows int) Outcome {
	all := append(slices.Clone(tried[s.Kind]), *s.Threshold)
	slices.Sort(all)
	all = slices.Compact(all)
	o := Outcome{Settings: s, Thresholds: all, Chosen: slices.Index(all, *s.Threshold), Flags: make([]int64, len(all)), Alerts: make([]int64, len(all)), Right: make([]int64, len(all))}
	for range windows {
		o.hits = append(o.hits, make([]bool, len(all)))
	}
	return o
}

// alert counts a row that is flagged at a threshold, and whether an alert begins with it, in a window of the labels or in none (-1).
func (o *Outcome) alert(threshold, window int, begins bool) {
	o.Flags[threshold]++
	if window >= 0 {
		o.hits[window][threshold] = true
	}
	if begins {
		o.Alerts[threshold]++
		if window >= 0 {
			o.Right[threshold]++
		}
	}
}

// Found is how many windows of the labels have a flagged row, and Windows how many there are.
func (o *Outcome) Found(threshold int) (n int64) {
	for _, w := range o.hits {
		if w[threshold] {
			n++
		}
	}
	return n
}

// Windows is how many windows the labels have.
func (o *Outcome) Windows() int64 { return int64(len(o.hits)) }

// add adds what the same detector did in another shard. The windows are the same.
func (o *Outcome) add(other *Outcome) {
	o.Unusable += other.Unusable
	o.Warming += other.Warming
	o.Before += other.Before
	o.Both += other.Both
	for _, sums := range [][2][]int64{{o.Flags, other.Flags}, {o.Alerts, other.Alerts}, {o.Right, other.Right}} {
		for i, n := range sums[1] {
			sums[0][i] += n
		}
	}
	for w := range o.hits {
		for i, hit := range other.hits[w] {
			o.hits[w][i] = o.hits[w][i] || hit
		}
	}
	o.Keys.join(&other.Keys)
	if o.curves != nil {
		o.curves.join(other.curves)
	}
}
