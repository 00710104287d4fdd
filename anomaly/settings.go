package anomaly

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The kinds of detectors.
const (
	KindRate     = "rate"
	KindDistinct = "distinct"
	KindValue    = "value"
	KindSeries   = "series"
	KindRule     = "rule"
)

// Kinds are all there are.
func Kinds() []string { return []string{KindRate, KindDistinct, KindValue, KindRule, KindSeries} }

// The baselines of the kinds rate and distinct.
const (
	Population = "population"
	Self       = "self"
	Both       = "both"
)

// The scopes of the kinds rate and distinct: whose counts a key is judged by.
const (
	ScopeShard  = "shard"
	ScopeStream = "stream"
)

// Defaults of all kinds.
const (
	DefaultMaxKeys = 100_000
	DefaultWindow  = 5 * time.Minute
)

// SeriesThreshold is the default of the kind series: a quarter of a band's width outside it.
const SeriesThreshold = 0.2

// defaults are those that depend on the kind.
var defaults = map[string]struct {
	threshold float64
	minCount  int64
}{
	KindRate:     {0.999, 5}, // one window in a thousand in which nothing is wrong
	KindDistinct: {0.999, 5},
	KindValue:    {0.3, firstValues},
	KindSeries:   {SeriesThreshold, bandWarming},
	KindRule:     {1, 0},
}

// Settings describe a detector. They may change between runs: what was learned stays.
type Settings struct {
	Name       string
	Kind       string
	Key        []string      // columns; none: one key for all rows
	Metric     string        // of value and distinct a column, of series an aggregate
	Window     time.Duration // 0: DefaultWindow
	Threshold  *float64      // the score from which a record is abnormal, above 0, at most 1; nil: as the kind has it
	MinCount   *int64        // fewer observations are never flagged; nil: as the kind has it
	MaxKeys    int           // 0: DefaultMaxKeys
	Baseline   string        // population, self or both; empty: population
	Scope      string        // shard or stream; empty: shard
	Expression string        // of rule: true when the record is in order
}

// Complete gives the settings with the defaults of their kind in the place of what is not set, or says what is wrong with them.
func (s Settings) Complete() (Settings, error) { return s.withDefaults() }

// Streamwide tells whether a detector is of the scope stream.
func Streamwide(settings []Settings) bool {
	return slices.ContainsFunc(settings, func(s Settings) bool { return s.Scope == ScopeStream })
}

// Coupled tells whether the threshold decides more than from which score on a row is flagged: by the baselines self and both a key's past is
// clipped at it, and a row of a series is flagged where an episode begins. Of others the scores are the same at every threshold.
func (s Settings) Coupled() bool {
	return s.Kind == KindSeries || s.Baseline == Self || s.Baseline == Both
}

// withDefaults fills in what is not set, and checks what is.
func (s Settings) withDefaults() (Settings, error) {
	fail := func(format string, args ...any) (Settings, error) {
		return s, fmt.Errorf("detector %s: %s", s.Name, fmt.Sprintf(format, args...))
	}
	if !slices.Contains(Kinds(), s.Kind) {
		return fail("there is no kind %q; there are %s", s.Kind, strings.Join(Kinds(), ", "))
	}
	threshold, minCount := defaults[s.Kind].threshold, defaults[s.Kind].minCount
	if s.Threshold == nil {
		s.Threshold = &threshold
	}
	if s.MinCount == nil {
		s.MinCount = &minCount
	}
	if s.Window == 0 {
		s.Window = DefaultWindow
	}
	if s.MaxKeys == 0 {
		s.MaxKeys = DefaultMaxKeys
	}
	if s.Baseline == "" {
		s.Baseline = Population
	}
	if s.Scope == "" {
		s.Scope = ScopeShard
	}
	counts := s.Kind == KindRate || s.Kind == KindDistinct
	switch {
	case s.Window < slots*time.Millisecond:
		return fail("the window %v is too short; it is at least %v", s.Window, slots*time.Millisecond)
	case !(*s.Threshold > 0 && *s.Threshold <= 1):
		return fail("the threshold %v is not above 0 and at most 1", *s.Threshold)
	case *s.MinCount < 0:
		return fail("the minimal count %d is negative", *s.MinCount)
	case counts && s.MaxKeys < minKeys:
		return fail("%d keys are too few to tell what is usual; let it keep %d at least", s.MaxKeys, minKeys)
	case s.Baseline != Population && s.Baseline != Self && s.Baseline != Both:
		return fail("there is no baseline %q; there are population, self and both", s.Baseline)
	case s.Scope != ScopeShard && s.Scope != ScopeStream:
		return fail("there is no scope %q; there are shard and stream", s.Scope)
	case s.Scope == ScopeStream && (!counts || s.Baseline != Population):
		return fail("the scope stream is of the kinds rate and distinct with the baseline population only: a shard knows no more than its own of a key's past; let it be shard")
	case counts && s.Baseline != Self && len(s.Key) == 0:
		return fail("without a key there is no population of keys: name key columns, or take the baseline self")
	case s.Kind == KindValue && s.Metric == "", s.Kind == KindDistinct && s.Metric == "":
		return fail("the kind %s needs a metric: the column that it looks at", s.Kind)
	case s.Kind == KindSeries && s.Metric == "":
		return fail("the kind series needs a metric: %s", aggregates)
	case s.Kind == KindRule && s.Expression == "":
		return fail("the kind rule needs an expression, which is true when the record is in order")
	case s.Kind != KindRule && s.Expression != "":
		return fail("an expression is of the kind rule only")
	case (s.Kind == KindRate || s.Kind == KindRule) && s.Metric != "":
		return fail("the kind %s has no metric", s.Kind)
	}
	if s.Kind != KindSeries {
		s.Metric = strings.ToLower(s.Metric)
	}
	return s, nil
}
