package consumer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/vmware/vmware-go-kcl-v2/clientlibrary/checkpoint"
	"github.com/vmware/vmware-go-kcl-v2/clientlibrary/interfaces"
	"github.com/vmware/vmware-go-kcl-v2/clientlibrary/partition"

	"github.com/sluice-etl/sluice/consumer/kcltest"
	"github.com/sluice-etl/sluice/consumer/protocol"
)

// hand is a worker that is open and runs nothing: the test calls what the library's goroutines would, in the order
// that it wants to look at, and moves the worker's clock.
type hand struct {
	*Consumer
	l       *lab
	library leases
	ahead   *atomic.Int64 // of the worker's clock
}

func (l *lab) hand(name string, change ...func(*Config)) *hand {
	l.t.Helper()
	h := &hand{Consumer: l.consumer(name, change...), l: l, ahead: new(atomic.Int64)}
	h.library = leases{h.Consumer}
	h.now = func() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }
	h.ctx, h.cancel = context.WithCancelCause(context.Background())
	l.t.Cleanup(func() {
		h.cancel(errEnded)
		for _, s := range h.sessions {
			select {
			case <-s.started:
				l.returns("a session", func() { <-s.done })
			default:
			}
		}
	})
	if err := h.open(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
	return h
}

// pass lets time pass on the worker's clock alone.
func (h *hand) pass(d time.Duration) { h.ahead.Add(int64(d)) }

// see makes the worker look at the table.
func (h *hand) see() {
	h.l.t.Helper()
	if err := h.look(h.l.t.Context()); err != nil {
		h.l.t.Fatal(err)
	}
}

// ask does what the event loop does with a shard that it does not hold, in each of its rounds. It tells whether the
// shard was taken.
func (h *hand) ask(shard string) bool {
	h.l.t.Helper()
	h.listing()
	status := &partition.ShardStatus{ID: shard, Mux: new(sync.RWMutex)}
	if err := h.library.FetchCheckpoint(status); err != nil && !errors.Is(err, checkpoint.ErrSequenceIDNotFound) {
		h.l.t.Fatal(err)
	}
	if status.GetCheckpoint() == checkpoint.ShardEnd {
		return false
	}
	return h.lease(status)
}

// lease asks for a shard, or for its renewal.
func (h *hand) lease(status *partition.ShardStatus) bool {
	h.l.t.Helper()
	err := h.library.GetLease(status, h.cfg.Worker)
	if err != nil && !errors.As(err, new(checkpoint.ErrLeaseNotAcquired)) {
		h.l.t.Fatal(err)
	}
	return err == nil
}

// process begins what the library's consumer of a shard does.
func (h *hand) process(shard string) interfaces.IRecordProcessor {
	p := processors{h.Consumer}.CreateProcessor()
	p.Initialize(&interfaces.InitializationInput{ShardId: shard})
	return p
}

// read makes one read as the library does, and gives the processor's part of it.
func (h *hand) read(shard string) (*interfaces.ProcessRecordsInput, error) {
	out, err := h.getRecords(&kinesis.GetRecordsInput{ShardIterator: &shard, Limit: aws.Int32(10_000)})
	if err != nil {
		return nil, err
	}
	return &interfaces.ProcessRecordsInput{Records: out.Records, MillisBehindLatest: aws.ToInt64(out.MillisBehindLatest)}, nil
}

// giveBack is the end of the library's consumer of a shard.
func (h *hand) giveBack(shard string) {
	if err := h.library.RemoveLeaseOwner(shard); err != nil {
		h.l.t.Error(err)
	}
}

// returns fails the test unless f ends: what does not end there would hold up the library for ever.
func (l *lab) returns(what string, f func()) {
	l.t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		l.t.Fatalf("after 30 s this goes on: %s", what)
	}
}

// A worker is dead when its counter was seen to stand still, and not when nobody looked: who was held up for an hour,
// or could not read the table, must not take the leases of all others.
func TestOnlyAHeartSeenToStandStillIsDead(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	const failover = 20 * time.Second // so that this machine may be slow
	patient := func(c *Config) { c.Failover = failover }
	holder, other := l.hand("holder", patient), l.hand("other", patient)
	if !holder.ask(onlyShard) {
		t.Fatal("the shard is not taken")
	}
	other.see()
	other.pass(time.Hour)
	if other.ask(onlyShard) {
		t.Error("a worker that was held up takes the others for dead before it looks")
	}
	if err := holder.beat(t.Context()); err != nil {
		t.Fatal(err)
	}
	other.see()
	if other.ask(onlyShard) {
		t.Error("a heart that has beaten since the last look is taken for dead")
	}
	l.server.Inject(kcltest.Fault{Operation: "Scan", BeforeApply: func() { other.pass(time.Hour) }})
	other.see()
	if other.ask(onlyShard) {
		t.Error("the time that a look took is counted as one in which the heart stood still")
	}
	for range 6 {
		other.pass(failover / 5)
		other.see()
	}
	if !other.ask(onlyShard) {
		t.Error("the shard of a worker whose heart stands still is not taken")
	}
}

// The library renews by the call that takes a lease, and its renewals may come when its consumer of the shard is about
// to end, or has: who renews then must not become a holder that reads nothing.
func TestALateRenewalTakesNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	h := l.hand("one")
	status := &partition.ShardStatus{ID: onlyShard, Mux: new(sync.RWMutex)}
	if h.lease(status) || h.session(onlyShard) != nil {
		t.Error("a renewal has taken a shard")
	}
	if !h.ask(onlyShard) {
		t.Fatal("the event loop does not get the shard")
	}
	session := h.session(onlyShard)
	if h.ask(onlyShard) || h.session(onlyShard) != session {
		t.Error("the shard is taken twice")
	}
	h.giveBack(onlyShard)
	h.see()
	if h.lease(status) || h.session(onlyShard) != nil {
		t.Error("a renewal that came after the end has taken the shard")
	}
}

// When the library ends its consumer of a shard by itself, it gives the lease back without a Shutdown: what was taken
// is committed all the same, before anybody may have the shard.
func TestAConsumerThatEndsWithoutShutdownIsFlushed(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	l.feed(100)
	h := l.hand("one", func(c *Config) { c.Process = copyRecords(1000) })
	if !h.ask(onlyShard) {
		t.Fatal("the shard is not taken")
	}
	p := h.process(onlyShard)
	in, err := h.read(onlyShard)
	if err != nil {
		t.Fatal(err)
	}
	l.returns("the records are handed over", func() { p.ProcessRecords(in) })
	l.returns("the lease is given back", func() { h.giveBack(onlyShard) })
	if n := l.visible(); n != 100 {
		t.Errorf("%d of 100 records are visible after the lease was given back", n)
	}
	if owner := l.row(onlyShard).Owner; owner != "" || h.session(onlyShard) != nil {
		t.Errorf("the shard still belongs to %q", owner)
	}
	l.exact()
}

// When another worker holds the shard, the library goes on with what it has in hand, and knows nothing: it is not held
// up, nothing of it is taken, and its next read ends its consumer.
func TestNothingGoesOnAfterASession(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	l.feed(100)
	h := l.hand("one", every)
	if !h.ask(onlyShard) {
		t.Fatal("the shard is not taken")
	}
	p := h.process(onlyShard)
	in, err := h.read(onlyShard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.steal("other"); err != nil {
		t.Fatal(err)
	}
	session := h.session(onlyShard)
	l.returns("the records are handed over", func() { p.ProcessRecords(in) })
	l.returns("the session", func() { <-session.done })
	l.returns("records are handed to a session that is over", func() { p.ProcessRecords(in) })
	if _, err := h.read(onlyShard); err == nil {
		t.Error("the library may read on in a shard that another worker holds")
	}
	l.returns("the library's consumer is shut down", func() {
		p.Shutdown(&interfaces.ShutdownInput{ShutdownReason: interfaces.REQUESTED})
	})
	l.returns("the lease is given back", func() { h.giveBack(onlyShard) })
	if row := l.row(onlyShard); row.Owner != "other" || row.CommitNo != 0 || h.session(onlyShard) != nil {
		t.Errorf("after the end of its session the worker has changed the row: %+v", row)
	}
}

// A shard that was read to its end is never leased again, neither by the library's rule nor by our plan.
func TestAFinishedShardIsNotLeased(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	h := l.hand("one")
	if !h.ask(onlyShard) {
		t.Fatal("the shard is not taken")
	}
	l.returns("a session that reads the end", func() {
		h.process(onlyShard).Shutdown(&interfaces.ShutdownInput{ShutdownReason: interfaces.TERMINATE})
	})
	h.giveBack(onlyShard)
	if row := l.row(onlyShard); !row.Finished {
		t.Fatalf("the shard is not finished: %+v", row)
	}
	h.see()
	status := &partition.ShardStatus{ID: onlyShard, Mux: new(sync.RWMutex)}
	if err := h.library.FetchCheckpoint(status); err != nil || status.GetCheckpoint() != checkpoint.ShardEnd {
		t.Errorf("the library is told that the shard is at %q, %v", status.GetCheckpoint(), err)
	}
	h.listing()
	if h.lease(status) {
		t.Error("the shard is leased again")
	}
	// A first commit that is given up leaves the shard before its beginning, also for a library that saw its end.
	h.rows[onlyShard] = &protocol.Lease{Shard: onlyShard}
	if err := h.library.FetchCheckpoint(status); !errors.Is(err, checkpoint.ErrSequenceIDNotFound) || status.GetCheckpoint() != "" {
		t.Errorf("the library is told that the shard is at %q, %v", status.GetCheckpoint(), err)
	}
}

// crowd is a worker of ten that hold a stream's shards, and want no other.
func crowd(shards int) *Consumer {
	c := New(Config{Worker: "w0", Failover: 10 * time.Second}, Clients{}, nil)
	c.looked = c.now()
	for i := range shards {
		id, worker := fmt.Sprintf("shardId-%012d", i), fmt.Sprint("w", i%10)
		c.listed = append(c.listed, protocol.Shard{ID: id})
		c.rows[id] = &protocol.Lease{Shard: id, Owner: worker, Checkpoint: "1"}
		c.workers[worker] = heartbeat{workerRow{ID: worker}, c.looked}
		if worker == "w0" {
			c.sessions[id] = &Session{}
		}
	}
	return c
}

// round is one of the event loop's in which there is nothing to take.
func (c *Consumer) round(t testing.TB) {
	for _, s := range c.listing() {
		if id := *s.ShardId; c.session(id) == nil {
			c.arm(id)
			if err := c.acquire(id); !errors.Is(err, errNotOurs) {
				t.Fatal(err)
			}
		}
	}
}

// A round comes twelve times in a second, and looks at each shard: with ten times as many it may take ten times as long, and not a
// hundred times.
func TestARoundIsLinear(t *testing.T) {
	taken := func(shards int) (bytes uint64) {
		c := crowd(shards)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c.round(t)
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	if few, many := taken(100), taken(1000); many > 20*few {
		t.Errorf("a round takes %d bytes with 100 shards, and %d with 1,000", few, many)
	}
}

func BenchmarkRound(b *testing.B) {
	for _, shards := range []int{20, 100, 1000} {
		c := crowd(shards)
		b.Run(fmt.Sprint(shards, " shards"), func(b *testing.B) {
			for range b.N {
				c.round(b)
			}
		})
	}
}
