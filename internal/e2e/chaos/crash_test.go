package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
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
			worker := r.fleet.workers[random.IntN(len(r.fleet.workers))]
			if err := crashOnce(t, r, worker, plan); err != nil {
				return fmt.Errorf("%v: %w", plan, err)
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

// crashOnce lets a worker crash at a point, and waits until all is well again.
func crashOnce(t *testing.T, r *run, w *worker, c crashPlan) error {
	if err := w.hold(t.Context()); err != nil {
		return err
	}
	defer w.release()
	// A point can be missed: the shard that is to be given back may just be on its way to another worker.
	reached := false
	for attempt := 0; attempt < 3 && !reached; attempt++ {
		seen, err := r.crash(t.Context(), w, c, time.Minute)
		if err != nil {
			return err
		}
		t.Logf("%v: %s", c, seen)
		reached = strings.HasPrefix(seen, "reached")
	}
	if !reached {
		t.Errorf("%v was not reached", c)
	}
	if w.current().Ended() {
		if err := w.start(false); err != nil {
			return err
		}
	}
	_, err := r.catchUp(t.Context(), r.journal.Acknowledged(), r.settling())
	return err
}
