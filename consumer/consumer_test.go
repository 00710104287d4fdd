package consumer

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/sluice-etl/sluice/consumer/kcltest"
)

func TestOneWorkerReadsEverything(t *testing.T) {
	t.Parallel()
	l := newLab(t, 3)
	l.feed(2000)
	w := l.start("one")
	l.wait("full batches are visible", func() bool { return l.visible() > 1800 })
	l.feed(20) // too few for a batch: they are committed because the worker stops, or read by the next
	w.stop()
	if err := <-w.done; err != nil {
		t.Fatal(err)
	}
	again := l.start("two", func(c *Config) { c.Process = copyRecords(1) })
	l.wait("the rest is visible", func() bool { return l.visible() == 2020 })
	again.stop()
	if err := <-again.done; err != nil {
		t.Fatal(err)
	}
	l.exact()
}

func TestAKilledWorkerIsReplaced(t *testing.T) {
	t.Parallel()
	l := newLab(t, 2)
	l.feed(1000)
	first := l.start("first")
	l.wait("the first worker has committed something", func() bool { return l.visible() > 100 })
	first.kill()
	l.feed(1000)
	second := l.start("second", func(c *Config) { c.Process = copyRecords(1) })
	l.wait("the second worker has read on", func() bool { return l.visible() == 2000 })
	second.stop()
	if err := <-second.done; err != nil {
		t.Fatal(err)
	}
	l.exact()
}

func TestReshardingKeepsEverything(t *testing.T) {
	t.Parallel()
	l := newLab(t, 2)
	l.feed(500)
	a, b := l.start("a", every), l.start("b", every)
	l.wait("reading has begun", func() bool { return l.visible() > 0 })
	if _, err := l.k.SplitShard(t.Context(), &kinesis.SplitShardInput{StreamName: aws.String(labStream), ShardToSplit: aws.String("shardId-000000000000"), NewStartingHashKey: aws.String("85070591730234615865843651857942052863")}); err != nil {
		t.Fatal(err)
	}
	l.feed(500)
	if _, err := l.k.MergeShards(t.Context(), &kinesis.MergeShardsInput{StreamName: aws.String(labStream), ShardToMerge: aws.String("shardId-000000000003"), AdjacentShardToMerge: aws.String("shardId-000000000001")}); err != nil {
		t.Fatal(err)
	}
	l.feed(500)
	// The listing is 10 s old at most; the children are found with the next one.
	l.wait("the child shards are read", func() bool { return l.visible() == 1500 })
	for _, w := range []*labWorker{a, b} {
		w.stop()
		if err := <-w.done; err != nil {
			t.Fatal(err)
		}
	}
	l.exact()
}

// TestEveryStepLostOrApplied makes each call of a commit fail, once applied and once not, and looks that the batch is
// visible exactly once.
func TestEveryStepLostOrApplied(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"Upload", "Put", "Publish", "Delete"} {
		for _, applied := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/applied=%v", operation, applied), func(t *testing.T) {
				t.Parallel()
				l := newLab(t, 1)
				var once sync.Once
				failed := false
				l.store.fail = func(op, _ string) (bool, error) {
					apply, err := true, error(nil)
					if op == operation {
						once.Do(func() { apply, err, failed = applied, errors.New("injected"), true })
					}
					return apply, err
				}
				l.feed(300)
				w := l.start("one", func(c *Config) { c.Process = copyRecords(1) })
				l.wait("all is visible", func() bool { return l.visible() == 300 })
				w.stop()
				if err := <-w.done; err != nil {
					t.Fatal(err)
				}
				l.store.mu.Lock()
				ok := failed
				l.store.mu.Unlock()
				if !ok && operation != "Delete" {
					t.Error("nothing has failed")
				}
				l.exact()
			})
		}
	}
}

func TestAFencedWorkerDropsItsBatch(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	l.feed(100)
	w := l.start("one", func(c *Config) { c.Process = copyRecords(1) })
	l.wait("something is committed", func() bool { return l.visible() > 0 })
	// Another owner takes the shard behind the worker's back.
	if _, err := l.steal("other"); err != nil {
		t.Fatal(err)
	}
	before := l.visible()
	l.feed(100)
	l.wait("the worker has given the shard up", func() bool { return w.c.session("shardId-000000000000") == nil })
	if l.visible() != before {
		t.Error("a fenced worker has published")
	}
	// The other never shows a heartbeat: it is dead, and the worker takes the shard back with a later epoch.
	l.wait("all is visible", func() bool { return l.visible() == 200 })
	l.exact()
}

// Nobody can tell who is dead while the table does not answer. After an outage of several failover times all hold what they
// held, and go on.
func TestAnOutageOfTheTableMovesNoShard(t *testing.T) {
	t.Parallel()
	l := newLab(t, 4)
	l.feed(200)
	const failover = 2 * time.Second
	slow := func(c *Config) { c.Failover = failover }
	a, b := l.start("a", every, slow), l.start("b", every, slow)
	l.wait("both have their share", func() bool { return a.holds() == 2 && b.holds() == 2 })
	l.wait("all is visible", func() bool { return l.visible() == 200 })
	before := l.owners()
	for _, operation := range []string{"UpdateItem", "Scan", "GetItem"} {
		l.server.Inject(kcltest.Fault{Operation: operation, Code: "ProvisionedThroughputExceededException", Count: -1})
	}
	l.feed(200)
	outage := time.Now()
	l.wait("the outage has lasted for three failover times", func() bool { return time.Since(outage) > 3*failover })
	if n := l.visible(); n != 200 {
		t.Errorf("%d records are visible during the outage; 200 can be", n)
	}
	l.server.ClearFaults()
	l.wait("all is visible", func() bool { return l.visible() == 400 })
	if after := l.owners(); !maps.Equal(after, before) {
		t.Errorf("the owners and epochs are %v; before the outage %v", after, before)
	}
	l.exact()
}

// A worker that is asked to stop gives its shards back one commit after another, and the others wait for them: no shard
// stands still for long, and nobody is fenced.
func TestAPlannedStopLeavesNoGap(t *testing.T) {
	t.Parallel()
	l := newLab(t, 4)
	var lost lossCounter
	heard := func(c *Config) { c.Observe, c.Failover = &lost, 10*time.Second }
	a := l.start("a", every, heard)
	b := l.start("b", every, heard)
	l.wait("both have their share", func() bool { return a.holds() == 2 && b.holds() == 2 })
	flow := func(until func() bool) func() bool { return func() bool { l.feed(10); return until() } }
	l.wait("records flow", flow(func() bool { return l.visible() > 0 }))
	b.stop()
	l.wait("the worker has ended", flow(func() bool {
		select {
		case err := <-b.done:
			if err != nil {
				t.Error(err)
			}
			return true
		default:
			return false
		}
	}))
	gone := time.Now()
	l.wait("the other has all", flow(func() bool { return a.holds() == 4 }))
	if took := time.Since(gone); took > 9*time.Second {
		t.Errorf("the other has all shards %v after the end; a failover time is 10 s", took)
	}
	l.wait("all is visible", func() bool { return l.visible() == l.n })
	l.exact()
	if n := lost.Load(); n != 0 {
		t.Errorf("%d shards were taken from a worker that was about to give them back", n)
	}
}

func TestTheSameWorkerIDTwice(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	first := l.start("same")
	l.wait("the first is at work", func() bool { return first.c.session("shardId-000000000000") != nil })
	second := l.start("same")
	// The second sees the heart of the first beat, and goes; or, where this machine held the first up for a failover
	// time, takes its name, and the first goes.
	var err error
	select {
	case err = <-first.done:
	case err = <-second.done:
	}
	if !errors.Is(err, errDuplicateWorker) {
		t.Errorf("one of two processes with the same name ended with %v", err)
	}
}

// TestOnDynalite repeats what matters most with a table that others wrote.
func TestOnDynalite(t *testing.T) {
	t.Run("one worker", TestOneWorkerReadsEverything)
	t.Run("a killed worker", TestAKilledWorkerIsReplaced)
	t.Run("resharding", TestReshardingKeepsEverything)
	t.Run("a fenced worker", TestAFencedWorkerDropsItsBatch)
	t.Run("the same worker id", TestTheSameWorkerIDTwice)
}
