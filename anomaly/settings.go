package anomaly

import (
	"fmt"
	"time"
)

// Settings describe a detector. Thresholds may change between runs without losing what was learned; another window
// begins anew.
type Settings struct {
	Name      string
	Kind      string        // rate
	Key       []string      // columns; none: one key for all rows
	Window    time.Duration // 0: DefaultWindow
	Threshold *float64      // the score from which a record is abnormal, in [0,1]; nil: DefaultThreshold
	MinCount  *int64        // a key that came less often is never flagged; nil: DefaultMinCount
	MaxKeys   int           // 0: DefaultMaxKeys
	Baseline  string        // population, self or both; empty: population
}

// withDefaults fills in what is not set, and checks what is.
func (s Settings) withDefaults() (Settings, error) {
	threshold, minCount := float64(DefaultThreshold), int64(DefaultMinCount)
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
	fail := func(format string, args ...any) (Settings, error) {
		return s, fmt.Errorf("detector %s: %s", s.Name, fmt.Sprintf(format, args...))
	}
	switch {
	case s.Kind != "rate":
		return fail("there is no kind %q; there is rate", s.Kind)
	case s.Window < slots*time.Millisecond:
		return fail("the window %v is too short; it is at least %v", s.Window, slots*time.Millisecond)
	case !(*s.Threshold > 0 && *s.Threshold <= 1):
		return fail("the threshold %v is not above 0 and at most 1", *s.Threshold)
	case *s.MinCount < 0:
		return fail("the minimal count %d is negative", *s.MinCount)
	case s.MaxKeys < minKeys:
		return fail("%d keys are too few to tell what is usual; let it keep %d at least", s.MaxKeys, minKeys)
	case s.Baseline != Population && s.Baseline != Self && s.Baseline != Both:
		return fail("there is no baseline %q; there are population, self and both", s.Baseline)
	case s.Baseline != Self && len(s.Key) == 0:
		return fail("without a key there is no population of keys: name key columns, or take the baseline self")
	}
	return s, nil
}
