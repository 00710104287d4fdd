package chaos

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// TestEveryCrashPoint lets one of two workers crash at each point of the protocol, in each way. Most of the time is spent
// waiting for a failover: so there are several worlds at once, each with a part of the points.
func TestEveryCrashPoint(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	const parts = 3
	var worlds sync.WaitGroup
	for _, way := range ways {
		for part := range parts {
			o := short(t)
			o.Seed, o.Rate, o.Shards, o.Failover, o.Flush = uint64(part), 50, 4, time.Second, 300*time.Millisecond
			var plans []crashPlan
			for i := part; i < len(points); i += parts {
				plans = append(plans, crashPlan{point: points[i], way: way, nth: 1})
			}
			worlds.Go(func() {
				if err := crashEverywhere(t, o, plans); err != nil {
					t.Errorf("%s, part %d: %v", way, part, err)
				}
			})
		}
	}
	worlds.Wait()
}

// crashEverywhere makes a world, carries out the plans in it, and checks every invariant.
func crashEverywhere(t *testing.T, o Options, plans []crashPlan) (err error) {
	r, err := start(t.Context(), o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.fleet.start(o.Workers); err != nil {
		return err
	}
	err = r.steady(t.Context(), func() error {
		random := rand.New(rand.NewPCG(o.Seed, streamOfFaults))
		for _, plan := range plans {
			if err := r.crashOnce(t.Context(), random, plan); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	e, err := r.finish(t.Context())
	if err != nil {
		return err
	}
	defer e.close()
	r.judge(e)
	if !r.verdict() {
		return errors.New("an invariant does not hold")
	}
	return nil
}
