package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// measureCrashes lets a worker end at every crash point, as often as the options say, each time in another order, so that
// one crash finds what another one left.
func measureCrashes(ctx context.Context, r *run) error {
	return r.steady(ctx, func() error {
		random := rand.New(rand.NewPCG(r.options.Seed, streamOfFaults))
		for pass := range r.options.Passes {
			began := time.Now()
			for _, i := range random.Perm(len(points)) {
				if err := r.crashOnce(ctx, random, crashPlan{point: points[i], way: "exit", nth: 1}); err != nil {
					return err
				}
			}
			if err := r.mergeTo(ctx, random, r.options.Shards); err != nil {
				return err
			}
			r.say("%s pass %d: %d points in %v", r.since(time.Now()), pass+1, len(points), time.Since(began).Round(time.Second))
		}
		return nil
	})
}

// mergeTo merges shards until there are so many: a worker finishes one for each crash on the way, which is provoked by a split.
func (r *run) mergeTo(ctx context.Context, random *rand.Rand, shards int) error {
	for {
		open, err := r.world.Open(ctx)
		if err != nil || len(open) <= shards {
			return err
		}
		if _, _, err := r.world.Merge(ctx, random.IntN(len(open)-1)); err != nil {
			return err
		}
		if err := r.world.Active(ctx); err != nil {
			return err
		}
	}
}

// crashOnce lets one of the workers crash at a point, and waits until all is well again.
func (r *run) crashOnce(ctx context.Context, random *rand.Rand, c crashPlan) error {
	w := r.fleet.workers[random.IntN(len(r.fleet.workers))]
	if err := w.hold(ctx); err != nil {
		return err
	}
	defer w.release()
	// A point can be missed: the shard that is to be given back may just be on its way to another worker.
	reached := false
	for attempt := 0; attempt < 3 && !reached; attempt++ {
		seen, err := r.crash(ctx, w, c, time.Minute)
		if err != nil {
			return fmt.Errorf("%v: %w", c, err)
		}
		r.say("%s %v: %s", r.since(time.Now()), c, seen)
		reached = strings.HasPrefix(seen, "reached")
	}
	if !reached {
		r.breach("%v was not reached", c)
	}
	if w.current().Ended() {
		if err := w.start(false); err != nil {
			return fmt.Errorf("%v: %w", c, err)
		}
	}
	if _, err := r.catchUp(ctx, r.journal.Acknowledged(), r.settling()); err != nil {
		return fmt.Errorf("%v: %w", c, err)
	}
	return nil
}
