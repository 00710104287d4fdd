package simulate

import (
	"bytes"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// seeds is how many runs the tests make at most; with -short, for the race detector, fewer.
func seeds() int {
	if testing.Short() {
		return 1_000
	}
	return 20_000
}

// each makes runs with the seeds from 1 on, until f says that it has seen enough.
func each(mutation Mutation, f func(Stats, error) (enough bool)) {
	var next atomic.Uint64
	var done atomic.Bool
	var mu sync.Mutex
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for !done.Load() {
				seed := next.Add(1)
				if seed > uint64(seeds()) {
					return
				}
				stats, err := Run(Options{Seed: seed, Mutation: mutation})
				mu.Lock()
				if f(stats, err) {
					done.Store(true)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
}

func TestEveryRecordIsVisibleExactlyOnce(t *testing.T) {
	var sum Stats
	each(None, func(s Stats, err error) bool {
		sum.Add(s)
		if err != nil {
			t.Error(err)
		}
		return err != nil
	})
	t.Logf("%+v", sum)
	// A day on which nothing happens shows nothing.
	for what, n := range map[string]int{
		"commits": sum.Commits, "takes": sum.Takes, "crashes": sum.Crashes, "pauses": sum.Pauses, "fenced": sum.Fenced, "lost": sum.Lost,
		"unanswered": sum.Unanswered, "late": sum.Late, "aborted": sum.Aborted, "reshards": sum.Reshards, "left": sum.Left, "given up": sum.GivenUp,
	} {
		if n < seeds()/20 && !t.Failed() {
			t.Errorf("%s: only %d in %d runs", what, n, seeds())
		}
	}
}

// What each part of the protocol is for: without it, a run finds a fault.
func TestWithoutAPart(t *testing.T) {
	for _, mutation := range Mutations() {
		t.Run(string(mutation), func(t *testing.T) {
			runs, bad := 0, 0
			var first error
			each(mutation, func(_ Stats, err error) bool {
				runs++
				if err != nil {
					bad++
					if first == nil {
						first = err
					}
				}
				return bad >= 10
			})
			if bad == 0 {
				t.Errorf("%d runs, and no fault", runs)
			}
			t.Logf("%d of %d runs are bad; the first: %v", bad, runs, first)
		})
	}
}

// A run can be told again.
func TestARunIsItsSeed(t *testing.T) {
	for seed := range uint64(50) {
		var a, b bytes.Buffer
		one, errOne := Run(Options{Seed: seed, Mutation: NoFence, Trace: &a})
		two, errTwo := Run(Options{Seed: seed, Mutation: NoFence, Trace: &b})
		if one != two || (errOne == nil) != (errTwo == nil) || !bytes.Equal(a.Bytes(), b.Bytes()) {
			t.Fatalf("seed %d gives two runs:\n%s\n%s", seed, a.String(), b.String())
		}
		var fault *Fault
		if errOne != nil && (!errors.As(errOne, &fault) || fault.Seed != seed || !bytes.Contains(a.Bytes(), []byte("FAULT: "+fault.What))) {
			t.Errorf("seed %d: %v is not the end of its trace", seed, errOne)
		}
	}
}
