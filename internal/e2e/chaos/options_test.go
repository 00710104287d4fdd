package chaos

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestUsage(t *testing.T) {
	good := Options{Workers: 2, Shards: 4, Rate: 100, Failover: 3 * time.Second, Flush: time.Second}
	if err := good.Usage(); err != nil {
		t.Error(err)
	}
	for want, spoil := range map[string]func(*Options){
		"no fault \"flood\"": func(o *Options) { o.Faults = []string{"kill", "flood"} },
		"duration":           func(o *Options) { o.Duration = -1 },
		"one worker":         func(o *Options) { o.Workers = 0 },
		"one shard":          func(o *Options) { o.Shards = 0 },
		"rate":               func(o *Options) { o.Rate = 0 },
		"failover":           func(o *Options) { o.Failover = 0 },
	} {
		o := good
		spoil(&o)
		if err := o.Usage(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
}

func TestFaultsHaveNamesOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range slices.Concat(Faults(), points, Measures()) {
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
	}
}

func TestQuantile(t *testing.T) {
	s := sample{5, 1, 4, 2, 3}
	for q, want := range map[float64]time.Duration{.5: 3, .99: 5, 1: 5, .2: 1} {
		if got := s.quantile(q); got != want {
			t.Errorf("%v: %d; want %d", q, got, want)
		}
	}
	if (sample{}).quantile(.5) != 0 {
		t.Error("an empty sample has a median")
	}
}

func TestSlope(t *testing.T) {
	if got := slope([]float64{1, 2, 3}, []float64{5, 7, 9}); got != 2 {
		t.Errorf("%v; want 2", got)
	}
}
