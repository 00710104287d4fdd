package backtest

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/internal/columns"
)

// judges are those of all detectors over the rows of one shard: a pipeline.Looker.
type judges struct {
	all  []*judge
	rows int64

	from, to int64 // the times of the rows lie between these, in milliseconds since 1970
	untold   int64 // rows with the time 0: see Records
}

// newJudges makes the judges of a shard of which nothing is known.
func (c Config) newJudges() (*judges, error) {
	s := &judges{from: math.MaxInt64, to: math.MinInt64}
	for _, settings := range c.Detectors {
		complete, err := settings.Complete()
		if err != nil {
			return nil, err
		}
		j := &judge{Outcome: newOutcome(complete, len(c.Labels.all())), windows: c.Labels.all(), quiet: c.Quiet.Milliseconds(), open: map[string][]int64{}}
		if c.Draw != nil {
			j.curves = newCurves(complete)
		}
		if j.quiet == 0 {
			j.quiet = complete.Window.Milliseconds()
		}
		thresholds := []float64{*complete.Threshold}
		if complete.Coupled() {
			thresholds = j.Thresholds
		}
		for _, threshold := range thresholds {
			at := complete
			at.Threshold = &threshold
			engine, err := anomaly.NewEngine([]anomaly.Settings{at})
			if err != nil {
				return nil, err
			}
			j.engines = append(j.engines, engine)
		}
		j.verdicts = make([]verdict, len(j.Thresholds))
		s.all = append(s.all, j)
	}
	return s, nil
}

// Bind implements pipeline.Looker.
func (s *judges) Bind(fields []columns.Field) error {
	for _, j := range s.all {
		for _, e := range j.engines {
			if err := e.Bind(fields); err != nil {
				return err
			}
		}
	}
	return nil
}

// columns are those that the detectors look at.
func (s *judges) columns() (names []string) {
	for _, j := range s.all {
		names = append(names, j.engines[0].Columns()...)
	}
	return names
}

// Row implements pipeline.Looker.
func (s *judges) Row(t *columns.Table, row int, at int64) {
	s.rows++
	if at == 0 {
		s.untold++
	} else {
		s.from, s.to = min(s.from, at), max(s.to, at)
	}
	for _, j := range s.all {
		j.row(t, row, at)
	}
}

// add adds what the same detectors did in another shard.
func (s *judges) add(other *judges) {
	s.rows += other.rows
	s.untold += other.untold
	s.from, s.to = min(s.from, other.from), max(s.to, other.to)
	for i, j := range s.all {
		j.Outcome.add(&other.all[i].Outcome)
	}
}

func (s *judges) outcomes() (all []*Outcome) {
	for _, j := range s.all {
		all = append(all, &j.Outcome)
	}
	return all
}

// judge counts what a detector finds in the rows of one shard, at each threshold what it would find if that were the configured one.
type judge struct {
	Outcome
	windows []Window
	quiet   int64 // milliseconds

	// One, with the configured threshold, and what its scores reach is flagged; or where that is not all that a threshold decides, one for
	// each.
	engines  []*anomaly.Engine
	verdicts []verdict // at each threshold on the present row

	open map[string][]int64 // by key: at each threshold when it was flagged last, or never
	full int                // how many keys of open make it worth to look for those that are over
	key  []byte
}

type verdict struct{ flagged, lasting bool }

const never = math.MinInt64

// row takes in a row.
func (j *judge) row(t *columns.Table, row int, at int64) {
	v, any := j.judge(t, row, at)
	draw := j.curves != nil && v.Scored && at != 0 // which is no time: see Records
	if !any && !draw {
		return
	}
	j.key = j.engines[0].AppendKey(j.key[:0], 0, t, row)
	if draw {
		j.curves.add(j.key, at, pointOf(j.Settings.Kind, &v.Verdict, v.Abnormal))
	}
	if !any {
		return
	}
	window := slices.IndexFunc(j.windows, func(w Window) bool { return w.holds(at) })
	last := j.lastFlags(at)
	for i, is := range j.verdicts {
		switch {
		case is.flagged:
			j.alert(i, window, last[i] == never || at-last[i] > j.quiet)
			last[i] = max(last[i], at)
		case is.lasting && last[i] != never:
			last[i] = max(last[i], at)
		}
	}
	if v.Abnormal {
		j.Keys.flag(j.key, v.Score, at, v.Reason)
	}
}

// judge asks the engines, and gives the verdict at the configured threshold; any tells whether there is something to count at any.
func (j *judge) judge(t *columns.Table, row int, at int64) (chosen *anomaly.RowVerdict, any bool) {
	if len(j.engines) > 1 {
		for i, e := range j.engines {
			v := e.Score(t, row, at)
			j.verdicts[i] = verdict{v.Scored && v.Abnormal, v.Scored && v.Lasting}
			any = any || v.Scored && (v.Abnormal || v.Lasting)
			if i == j.Chosen {
				chosen = v
			}
		}
	} else {
		chosen = j.engines[0].Score(t, row, at)
		any = chosen.Scored && !chosen.Warming && chosen.Score >= j.Thresholds[0] && j.often(chosen)
		for i := range j.verdicts {
			j.verdicts[i].flagged = any && chosen.Score >= j.Thresholds[i]
		}
		j.verdicts[j.Chosen].flagged = chosen.Abnormal // also where the score is the threshold but for rounding
	}
	if chosen.Scored && chosen.Warming {
		j.Warming++
	}
	return chosen, any || chosen.Abnormal
}

// often tells whether a count is one that may be flagged. Of other kinds the rest is warming up.
func (j *judge) often(v *anomaly.RowVerdict) bool {
	counts := j.Settings.Kind == anomaly.KindRate || j.Settings.Kind == anomaly.KindDistinct
	return !counts || int64(v.Count) >= *j.Settings.MinCount
}

// lastFlags gives the last flags of the key. Now and then it forgets those that are over at every threshold.
func (j *judge) lastFlags(now int64) []int64 {
	if last := j.open[string(j.key)]; last != nil {
		return last
	}
	if len(j.open) >= max(j.full, mostKeys) {
		for key, last := range j.open {
			if now-slices.Max(last) > j.quiet {
				delete(j.open, key)
			}
		}
		j.full = 2 * len(j.open)
	}
	last := make([]int64, len(j.Thresholds))
	for i := range last {
		last[i] = never
	}
	j.open[string(j.key)] = last
	return last
}

// finish takes what the engines have counted.
func (s *judges) finish() {
	for _, j := range s.all {
		j.Unusable = int64(j.engines[min(j.Chosen, len(j.engines)-1)].Unusable(0))
	}
}

// compare holds what was found of the last row against what was when it was written: the detectors that flagged it then, separated by
// commas.
func (s *judges) compare(before []byte) {
	if len(before) == 0 {
		return
	}
	for name := range bytes.SplitSeq(before, []byte(",")) {
		for _, j := range s.all {
			if j.Settings.Name != string(name) {
				continue
			}
			j.Before++
			if j.verdicts[j.Chosen].flagged {
				j.Both++
			}
		}
	}
}

// span tells of which time the rows are.
func (s *judges) span() string {
	if s.from > s.to {
		return ""
	}
	return fmt.Sprintf(", from %s to %s", time.UnixMilli(s.from).UTC().Format(time.RFC3339), time.UnixMilli(s.to).UTC().Format(time.RFC3339))
}
