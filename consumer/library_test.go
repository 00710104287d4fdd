package consumer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go/middleware"

	"github.com/sluice-etl/sluice/consumer/kcltest"
	"github.com/sluice-etl/sluice/consumer/protocol"
)

// What the library does when it runs, and what is done about it; the tests of hand_test.go look at what its goroutines may do
// in an order that is rare. Of each of its faults, these tests fail where nothing is done about it:
//
//	a position is put without a condition   ALateCommitIsRefused, AFencedWorkerDropsItsBatch, AWriteThatComesTooLateChangesNothing, TheLibraryWritesNothing
//	one bad aggregate spoils an answer,
//	and a bad index of a key the process    ABadAggregateSpoilsNoNeighbour
//	a renewal that fails ends a lease       NoRenewalEndsASession, AHeartThatBeatsKeepsItsShards, ALateRenewalTakesNothing
//	... without a word, and records go on   AConsumerThatEndsWithoutShutdownIsFlushed, NothingGoesOnAfterASession
//	a child does not wait for both parents  TheChildOfAMergeWaitsForBothParents, AShardWaitsForAllItsParents
//	... or waits deaf to all else           TheChildOfAMergeWaitsForBothParents, WaitingChildrenDoNotHoldUpTheEnd
//	a row goes when a listing lacks it      AListingThatLacksAShardForgetsNothing, Listings, ARowLeavesWhenNobodyNeedsIt
//	a lease a round, a round a minute       ShardsAreTakenOneRoundAfterTheOther, which counts the listings, too
//	the end is asked between two reads,
//	and waited for without a limit          TheEndIsToldAtOnce, HangingCallsDoNotHoldUpTheEnd
//	stealing takes leases that live         AShardIsHandedOverAndNeverStolen, AHeartThatBeatsKeepsItsShards
//	LATEST is for children, too             Latest, LatestIsDecidedOnce
//	calls have no time limit                CallsThatHangEndInTime, AHeartbeatThatHangsIsNotTheLast, ACallThatHangsIsMadeAgain
//	no MillisBehindLatest is a panic        WhateverGetRecordsAnswers
//	an expired iterator ends the reading    AnExpiredIteratorIsReplaced, WhateverGetRecordsAnswers

// counted counts the sessions that a Process was given: more than one for a shard is one that ended too early.
func counted(n *atomic.Int32, process func(context.Context, *Session) error) func(context.Context, *Session) error {
	return func(ctx context.Context, s *Session) error { n.Add(1); return process(ctx, s) }
}

// doer is an HTTP client of the SDK that is a function.
type doer func(*http.Request) (*http.Response, error)

func (f doer) Do(r *http.Request) (*http.Response, error) { return f(r) }

// operation is the call that a request makes.
func operation(r *http.Request) string {
	_, name, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	return name
}

// lines are the messages of a log.
type lines struct {
	mu   sync.Mutex
	text []string
}

func (*lines) Enabled(context.Context, slog.Level) bool { return true }
func (h *lines) WithAttrs([]slog.Attr) slog.Handler     { return h }
func (h *lines) WithGroup(string) slog.Handler          { return h }
func (h *lines) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text = append(h.text, r.Message)
	return nil
}

func (h *lines) clear() { h.mu.Lock(); defer h.mu.Unlock(); h.text = nil }
func (h *lines) has(line string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.text, line)
}

// The library takes one lease in a round, and its rounds are a minute apart; to make them fast must not cost a
// ListShards each, of which an account has few.
func TestShardsAreTakenOneRoundAfterTheOther(t *testing.T) {
	t.Parallel()
	l := newLab(t, 8)
	begun := time.Now()
	w := l.start("one")
	l.wait("all shards are taken", func() bool { return w.holds() == 8 })
	calls := l.server.Calls("ListShards")
	if most := 1 + int(time.Since(begun)/(5*time.Second)); calls > most { // one is made at the start, the others 5 to 15 s apart
		t.Errorf("in %v, and at least 8 rounds, ListShards was called %d times; want at most %d", time.Since(begun), calls, most)
	}
	l.end(w)
}

// A renewal is due 2.5 s after the library's consumer began. It must not ask for anything that may fail: one that
// failed would end the library's consumer, without a word to whoever processes the records.
func TestNoRenewalEndsASession(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	l.feed(100)
	var sessions atomic.Int32
	w := l.start("one", func(c *Config) { c.Process = counted(&sessions, copyRecords(1)) })
	// From then on the session itself wants nothing of the table, and reads.
	l.wait("all is committed and published", func() bool { return l.visible() == 100 && l.row(onlyShard).Pending == nil })
	session := w.c.session(onlyShard)
	for _, operation := range []string{"UpdateItem", "Scan", "GetItem", "PutItem", "DeleteItem"} {
		l.server.Inject(kcltest.Fault{Operation: operation, Code: "AccessDeniedException", Count: -1})
	}
	before := l.server.Calls("GetRecords")
	// The library pauses for half a second after a read without records.
	l.wait("a renewal was due", func() bool { return l.server.Calls("GetRecords") > before+8 || w.c.session(onlyShard) != session })
	l.server.ClearFaults()
	l.feed(100)
	l.wait("the rest is visible", func() bool { return l.visible() == 200 })
	if n := sessions.Load(); n != 1 {
		t.Errorf("the shard was read by %d sessions, one after the other; want one for all the time", n)
	}
	l.end(w)
	l.exact()
}

// beats is the counter of a worker.
func (l *lab) beats(worker string) int64 {
	l.t.Helper()
	row, _, err := (&table{client: l.d, name: "leases"}).worker(l.t.Context(), worker)
	if err != nil {
		l.t.Fatal(err)
	}
	return row.Heartbeat
}

// The heartbeat alone keeps a worker's leases, however long another worker looks on.
func TestAHeartThatBeatsKeepsItsShards(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	w := l.start("one")
	l.wait("the shard is taken", func() bool { return w.c.session(onlyShard) != nil })
	other := l.hand("other")
	for range 3 {
		before := l.beats("one")
		l.wait("the heart beats", func() bool { return l.beats("one") > before })
		other.pass(time.Hour)
		other.see()
		if other.ask(onlyShard) {
			t.Fatal("the shard of a worker that lives is taken")
		}
	}
	l.end(w)
	other.see()
	if !other.ask(onlyShard) {
		t.Error("the shard of a worker that has left is not taken")
	}
}

// A connection that died takes one heartbeat with it, and not all that would follow: others take the shards of a worker
// whose counter stands still.
func TestAHeartbeatThatHangsIsNotTheLast(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	w := l.start("one")
	l.wait("the shard is taken", func() bool { return w.c.session(onlyShard) != nil })
	hangs, once := make(chan struct{}), sync.Once{}
	l.server.Inject(kcltest.Fault{Operation: "UpdateItem", Delay: time.Hour, Match: func(body []byte) bool {
		beat := bytes.Contains(body, []byte("ADD heartbeat"))
		if beat {
			once.Do(func() { close(hangs) })
		}
		return beat
	}})
	<-hangs
	before := l.beats("one")
	// The one that hangs may be applied late.
	l.wait("the heart beats on", func() bool { return l.beats("one") > before+1 })
	l.end(w)
}

// copied is the batch of one fetch, of records that are no aggregates.
func copied(s *Session, f Fetch) Batch {
	var body bytes.Buffer
	for _, r := range f.Records {
		fmt.Fprintf(&body, "%s/%s/0 %s\n", s.Shard(), r.SequenceNumber, r.Data)
	}
	return Batch{Checkpoint: f.Records[len(f.Records)-1].SequenceNumber, Files: []File{{Prefix: "data/", Extension: "txt", Body: body.Bytes()}}}
}

// Two shards are merged while one of them is read slowly, or has not come to its first commit, which the library takes for
// one that nobody reads. The child waits for it, too; and the worker can be stopped while it does.
func TestTheChildOfAMergeWaitsForBothParents(t *testing.T) {
	for name, committed := range map[string]bool{"that is read slowly": true, "without a checkpoint": false} {
		t.Run(name, func(t *testing.T) { t.Parallel(); waitsForBothParents(t, committed) })
	}
}

// waitsForBothParents merges two shards, of which the second has committed something, or nothing.
func waitsForBothParents(t *testing.T, committed bool) {
	l := newLab(t, 2)
	l.grace = time.Hour
	const slow, child = "shardId-000000000001", "shardId-000000000002"
	l.feed(100)
	rows := &table{client: l.d, name: "leases"}
	looking := func(c *Config) {
		c.Process = func(ctx context.Context, s *Session) error {
			if s.Shard() == child {
				for _, parent := range []string{onlyShard, slow} {
					if row, err := rows.read(ctx, parent); err != nil || row == nil || !row.Finished {
						t.Errorf("the child has begun, and its parent is %+v, %v", row, err)
					}
				}
			}
			return copyRecords(1)(ctx, s)
		}
	}
	taken := make(chan struct{})
	one := l.start("one", looking, func(c *Config) {
		others := c.Process
		c.Process = func(ctx context.Context, s *Session) error {
			if s.Shard() != slow {
				return others(ctx, s)
			}
			f := <-s.Fetches()
			close(taken)
			var err error
			if committed {
				err = s.Commit(ctx, copied(s, f))
			}
			<-s.Stopping()
			return err
		}
	})
	<-taken
	visible := 0
	for place := range l.put {
		if committed || strings.HasPrefix(place, onlyShard) {
			visible++
		}
	}
	l.wait("what is committed is visible", func() bool { return l.visible() == visible })
	if _, err := l.k.MergeShards(t.Context(), &kinesis.MergeShardsInput{StreamName: aws.String(labStream),
		ShardToMerge: aws.String(onlyShard), AdjacentShardToMerge: aws.String(slow)}); err != nil {
		t.Fatal(err)
	}
	l.feed(100)
	l.wait("one parent is finished and the child is found", func() bool {
		one.c.mu.Lock()
		defer one.c.mu.Unlock()
		row := one.c.rows[onlyShard]
		return row != nil && row.Finished && len(one.c.listed) == 3
	})
	if row := l.row(slow); row.Begun() != committed {
		t.Fatalf("the other parent is %+v", row)
	}
	h := &hand{Consumer: one.c, l: l, library: leases{one.c}}
	if h.ask(child) || one.c.session(child) != nil {
		t.Error("the child is taken before its second parent is finished")
	}
	// The library waits for the first parent on its own, and neither renews nor listens meanwhile; so it knows of none.
	out, _, err := one.c.answer(t.Context(), middleware.InitializeInput{Parameters: &kinesis.ListShardsInput{}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range out.Result.(*kinesis.ListShardsOutput).Shards {
		if s.ParentShardId != nil || s.AdjacentParentShardId != nil {
			t.Errorf("the library is told of the parents of %s", *s.ShardId)
		}
	}
	l.end(one)
	two := l.start("two", looking)
	l.wait("all is visible", func() bool { return l.visible() == 200 })
	l.end(two)
	l.exact()
}

// What is the first listing, and which time LATEST is, the group's first worker decides for all: a worker that comes
// later, and finds children of which it never heard, reads them from their first record; and what came before a crash
// is read after it.
func TestLatestIsDecidedOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	latest := func(c *Config) { c.Start = Start{Latest: true} }
	first := l.hand("first", latest)
	if !first.ask(onlyShard) {
		t.Fatal("the shard is not taken")
	}
	start := l.row(onlyShard).Start
	if _, ok := parseStart(start); !ok {
		t.Errorf("the shard of the first listing starts at %q; want the time of the first listing", start)
	}
	// The first worker has read nothing, and dies.
	l.feed(100)
	l.split()
	l.feed(100)
	second := l.start("second", latest, every)
	l.wait("all is visible", func() bool { return l.visible() == 200 })
	l.end(second)
	l.exact()
	if now := l.row(onlyShard).Start; now != start {
		t.Errorf("the start of the shard was %q, and is %q", start, now)
	}
	for _, child := range []string{"shardId-000000000001", "shardId-000000000002"} {
		if start := l.row(child).Start; start != startOldest {
			t.Errorf("%s starts at %q; want the oldest record of each child", child, start)
		}
	}
}

// A ListShards that lacks a shard, as some of Kinesis's answers do for a moment, makes the library forget the shard,
// and the row that says what was read of it.
func TestAListingThatLacksAShardForgetsNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t, 2)
	l.feed(200)
	var lacking atomic.Value // the beginning of the ids that ListShards does not show
	lacking.Store("none")
	l.k = kinesis.NewFromConfig(l.aws, func(o *kinesis.Options) {
		plain := o.HTTPClient
		o.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
			answer, err := plain.Do(r)
			if err == nil && operation(r) == "ListShards" {
				err = withoutShards(answer, lacking.Load().(string))
			}
			return answer, err
		})
	})
	var sessions atomic.Int32
	log := &lines{}
	w := l.start("one", func(c *Config) { c.Log, c.Process = slog.New(log), counted(&sessions, copyRecords(1)) })
	l.wait("all is visible", func() bool { return l.visible() == 200 })

	lacking.Store("shardId-000000000001")
	if err := w.c.list(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.wait("the library has noticed", func() bool { return log.has("kcl: Found 1 shards") })
	lacking.Store("none")
	log.clear()
	if err := w.c.list(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.wait("the library has found the shard again", func() bool { return log.has("kcl: Found 2 shards") })
	lacking.Store("shardId-")
	if err := w.c.list(t.Context()); err == nil || len(w.c.listing()) != 2 {
		t.Errorf("a listing without any shard is believed: %v", err)
	}
	l.feed(200)
	l.wait("the rest is visible", func() bool { return l.visible() == 400 })
	l.end(w)
	l.exact()
	if n := sessions.Load(); n != 2 {
		t.Errorf("two shards were read by %d sessions", n)
	}
}

// withoutShards takes the shards whose ids begin so out of an answer of ListShards.
func withoutShards(answer *http.Response, prefix string) error {
	var listing struct {
		Shards []map[string]any
	}
	err := json.NewDecoder(answer.Body).Decode(&listing)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return err
	}
	listing.Shards = slices.DeleteFunc(listing.Shards, func(s map[string]any) bool { return strings.HasPrefix(s["ShardId"].(string), prefix) })
	text, err := json.Marshal(listing)
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	return err
}

// Iterators live for five minutes. Another is asked for, after the last record that was read.
func TestAnExpiredIteratorIsReplaced(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	l := newLab(t, 1, func(o *kcltest.Options) {
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	l.feed(100)
	var sessions atomic.Int32
	w := l.start("one", func(c *Config) { c.Process = counted(&sessions, copyRecords(1)) })
	for _, visible := range []int{100, 200, 300} {
		l.wait("all is visible", func() bool { return l.visible() == visible })
		ahead.Add(int64(6 * time.Minute))
		l.feed(100)
	}
	l.wait("the rest is visible", func() bool { return l.visible() == 400 })
	l.end(w)
	l.exact()
	if n := sessions.Load(); n != 1 {
		t.Errorf("the shard was read by %d sessions; an iterator that expires must end none", n)
	}
}

// counter counts the failures of a reader.
type counter struct{ failures *int }

func (c counter) retrying(string, string, error) { *c.failures++ }
func (counter) clear(string, string)             {}
func (counter) Trimmed(string, string, string)   {}

// The library calls without a time limit. Of what it waits for, nothing hangs for ever: a read is made again, a take that is
// not answered lets the event loop go on with the other shards, and a listing gives way to the next.
func TestCallsThatHangEndInTime(t *testing.T) {
	t.Parallel()
	hanging := func(hung string) aws.Config {
		var once sync.Once
		return aws.Config{Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
			HTTPClient: doer(func(r *http.Request) (*http.Response, error) {
				if operation(r) == hung {
					hang := false
					once.Do(func() { hang = true })
					if hang {
						<-r.Context().Done()
						return nil, r.Context().Err()
					}
				}
				return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}},
					Body: io.NopCloser(strings.NewReader(`{"ShardIterator":"next","NextShardIterator":"next","Records":[]}`))}, nil
			})}
	}
	for _, operation := range []string{"GetShardIterator", "GetRecords"} {
		t.Run(operation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun, failures := time.Now(), 0
				r := newReader(kinesis.NewFromConfig(hanging(operation)), streamID{name: aws.String(labStream)}, &protocol.Lease{Shard: onlyShard}, time.Now, counter{&failures})
				if _, err := r.next(t.Context(), nil); err != nil || failures != 1 {
					t.Errorf("after one call that hangs: %v, and %d failures", err, failures)
				}
				if took := time.Since(begun); took > time.Minute {
					t.Errorf("it took %v to read on", took)
				}
			})
		})
	}
	t.Run("ListShards", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			c := New(Config{Stream: labStream, Worker: "one", Log: slog.New(slog.DiscardHandler)}, Clients{Kinesis: kinesis.NewFromConfig(hanging("ListShards"))}, nil)
			if err := c.list(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a listing that hangs ends with %v", err)
			}
			if took := time.Since(begun); took > time.Minute {
				t.Errorf("it took %v", took)
			}
		})
	})
	t.Run("the table", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			leases := &table{client: NewClients(hanging("GetItem")).DynamoDB, name: "leases"}
			if _, err := leases.get(t.Context(), onlyShard); err != nil {
				t.Errorf("after one call that hangs: %v", err)
			}
			if took := time.Since(begun); took > 10*time.Second {
				t.Errorf("it took %v to ask again", took)
			}
		})
	})
	for name, row := range map[string]*protocol.Lease{"create": nil, "take": {Shard: onlyShard}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				c := New(Config{Worker: "one", Log: slog.New(slog.DiscardHandler)}, Clients{DynamoDB: dynamodb.NewFromConfig(hanging("UpdateItem"))}, nil)
				c.ctx, c.listed, c.armed[onlyShard] = t.Context(), []protocol.Shard{{ID: onlyShard}}, true
				if row != nil {
					c.rows[onlyShard] = row
				}
				c.listing()
				if err := c.acquire(onlyShard); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a take that hangs ends with %v", err)
				}
				if took := time.Since(begun); took > time.Minute {
					t.Errorf("it held up the event loop for %v", took)
				}
			})
		})
	}
}

// The library's stealing takes leases from workers that live. It is off; what it would need refuses it; and a shard goes
// to a worker that has fewer because its holder commits, gives it back, and leaves it alone.
func TestAShardIsHandedOverAndNeverStolen(t *testing.T) {
	t.Parallel()
	l := newLab(t, 2)
	l.feed(100)
	var lost lossCounter
	patient := func(c *Config) { c.Failover, c.Observe = 5*time.Second, &lost }
	one := l.start("one", every, patient)
	l.wait("one has both shards", func() bool { return one.holds() == 2 })
	library := reflect.ValueOf(newRunner(one.c).(kclRunner).worker).Elem().FieldByName("kclConfig").Elem()
	if library.FieldByName("EnableLeaseStealing").Bool() {
		t.Error("the library may steal leases")
	}
	if _, err := (leases{one.c}).ListActiveWorkers(nil); err == nil {
		t.Error("the library is told from whom it could steal")
	}
	if err := (leases{one.c}).ClaimShard(nil, "one"); err == nil {
		t.Error("the library may claim a shard")
	}
	epochs := map[string]int64{}
	for shard := range held(one.c) {
		epochs[shard] = l.row(shard).Epoch
	}
	two := l.start("two", every, patient)
	l.wait("each has one shard", func() bool { return one.holds() == 1 && two.holds() == 1 })
	l.feed(100)
	l.wait("all is visible", func() bool { return l.visible() == 200 })
	for shard, before := range epochs {
		want := before
		if held(two.c)[shard] {
			want++
		}
		if epoch := l.row(shard).Epoch; epoch != want {
			t.Errorf("%s has the epoch %d, and had %d before the second worker came; want %d", shard, epoch, before, want)
		}
	}
	l.end(one)
	l.end(two)
	l.exact()
	if n := lost.Load(); n != 0 {
		t.Errorf("%d shards were taken from a worker that lives", n)
	}
}

// lossCounter counts the shards that workers have lost.
type lossCounter struct {
	nobody
	atomic.Int32
}

func (c *lossCounter) Lost(string) { c.Add(1) }

// held are the shards of a worker.
func held(c *Consumer) map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	shards := map[string]bool{}
	for id := range c.sessions {
		shards[id] = true
	}
	return shards
}

// The library's Shutdown asks its consumers only between two reads. A session that reads nothing, because it has much to
// do, is told at once: it commits what it has, and its shard is free when the worker has ended.
func TestTheEndIsToldAtOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	l.grace = time.Hour
	l.feed(100)
	taken := make(chan struct{})
	w := l.start("one", func(c *Config) {
		c.Process = func(ctx context.Context, s *Session) error {
			f := <-s.Fetches()
			close(taken)
			<-s.Stopping()
			return s.Commit(ctx, copied(s, f))
		}
	})
	<-taken
	l.wait("the library waits for its next records to be taken", func() bool { return l.server.Calls("GetRecords") > 1 })
	l.end(w)
	l.exact()
	if row := l.row(onlyShard); row.Owner != "" || row.Checkpoint == "" || row.Pending != nil {
		t.Errorf("after the end the row is %+v; want it committed, published, and without an owner", row)
	}
	rows, workers, err := (&table{client: l.d, name: "leases"}).scan(t.Context())
	if err != nil || len(rows) != 1 || len(workers) != 0 {
		t.Errorf("the table has %d shards and %d workers, %v; want one and none", len(rows), len(workers), err)
	}
}
