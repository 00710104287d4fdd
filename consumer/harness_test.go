package consumer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluice-etl/sluice/consumer/kcltest"
	"github.com/sluice-etl/sluice/consumer/kpl/kpltest"
	"github.com/sluice-etl/sluice/consumer/protocol"
)

// onlyShard is the shard of a lab with one.
const onlyShard = "shardId-000000000000"

// every is a worker that commits each read.
func every(c *Config) { c.Process = copyRecords(1) }

// What Kinesis may answer, and what would end the library's own consumer, or the whole process, or double records.
func TestWhateverGetRecordsAnswers(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]kcltest.Fault{
		"throttled":             {Code: "ProvisionedThroughputExceededException", Count: 4},
		"an expired iterator":   {Code: "ExpiredIteratorException", Nth: 2, Count: 2},
		"a failure":             {Status: 500, Code: "InternalFailure", Count: 3},
		"a lost answer":         {DropAnswer: true, Count: 3},
		"no MillisBehindLatest": {AlterRecords: func(a *kcltest.RecordsAnswer) { a.MillisBehindLatest = nil }, Count: -1},
		"records again":         {AlterRecords: func(a *kcltest.RecordsAnswer) { a.Records = append(a.Records, a.Records...) }, Count: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, 1)
			fault.Operation = "GetRecords"
			l.server.Inject(fault)
			l.feed(300)
			var sessions atomic.Int32
			w := l.start("one", func(c *Config) { c.Process = counted(&sessions, copyRecords(1)) })
			l.wait("all is visible", func() bool { return l.visible() == 300 })
			l.feed(300)
			l.wait("the rest is visible", func() bool { return l.visible() == 600 })
			l.end(w)
			l.exact()
			if n := sessions.Load(); n != 1 {
				t.Errorf("the shard was read by %d sessions; no answer may end one", n)
			}
		})
	}
}

// A KPL aggregate is taken apart alone: a bad one spoils no neighbour. The library passes on the first of these as a
// record, drops all records of the answer for the second, and panics at the third.
func TestABadAggregateSpoilsNoNeighbour(t *testing.T) {
	t.Parallel()
	good := kpltest.Aggregate([]string{"a", "b"}, [][]byte{[]byte("first"), []byte("second")})
	checksum := bytes.Clone(good)
	checksum[len(checksum)-1] ^= 1
	record := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 7)
	record = protowire.AppendString(protowire.AppendTag(record, 3, protowire.BytesType), "payload")
	for name, spoilt := range map[string][]byte{
		"a wrong checksum":      checksum,
		"no protobuf message":   kpltest.Seal([]byte("\x0a\xff")),
		"a key that is missing": kpltest.Seal(protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), record)),
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); spoilsNoNeighbour(t, good, spoilt) })
	}
}

// spoilsNoNeighbour puts a spoilt aggregate between good records, which one read gives.
func spoilsNoNeighbour(t *testing.T, good, spoilt []byte) {
	l := newLab(t, 1)
	var mu sync.Mutex
	var refused []Record
	process := func(ctx context.Context, s *Session) error {
		for {
			select {
			case f := <-s.Fetches():
				var body bytes.Buffer
				for _, r := range f.Records {
					for _, user := range r.User {
						fmt.Fprintf(&body, "%s\n", user)
					}
					if r.Err != nil {
						mu.Lock()
						refused = append(refused, r)
						mu.Unlock()
					}
				}
				if len(f.Records) == 0 {
					continue
				}
				err := s.Commit(ctx, Batch{Checkpoint: f.Records[len(f.Records)-1].SequenceNumber, Files: []File{{Prefix: "data/", Extension: "txt", Body: body.Bytes()}}})
				if err != nil {
					return err
				}
			case <-s.Stopping():
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
	var entries []types.PutRecordsRequestEntry
	for _, data := range [][]byte{[]byte("plain"), spoilt, good, []byte("plain, too")} {
		entries = append(entries, types.PutRecordsRequestEntry{Data: data, PartitionKey: aws.String("k")})
	}
	if _, err := l.k.PutRecords(t.Context(), &kinesis.PutRecordsInput{StreamName: aws.String(labStream), Records: entries}); err != nil {
		t.Fatal(err)
	}
	l.start("one", func(c *Config) { c.Process = process })
	l.wait("the records are visible", func() bool { return len(l.store.objects("data/")) > 0 })
	got := ""
	for _, body := range l.store.objects("data/") {
		got += body
	}
	if want := "plain\nfirst\nsecond\nplain, too\n"; got != want {
		t.Errorf("visible is %q; want %q", got, want)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(refused) != 1 || !bytes.Equal(refused[0].Data, spoilt) || len(refused[0].User) != 0 {
		t.Errorf("refused are %+v; want the spoilt aggregate with its bytes", refused)
	}
}

// Writes to the table that fail for a while, be it the heartbeat or a lease, end no session.
func TestAThrottledTableEndsNoSession(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	l.feed(100)
	w := l.start("one", every, func(c *Config) { c.Failover = 3 * time.Second })
	l.wait("reading has begun", func() bool { return l.visible() > 0 })
	before := w.c.session(onlyShard)
	for _, operation := range []string{"UpdateItem", "Scan", "GetItem"} {
		l.server.Inject(kcltest.Fault{Operation: operation, Code: "ProvisionedThroughputExceededException", Count: 6})
	}
	l.feed(200)
	l.wait("all is visible", func() bool { return l.visible() == 300 })
	if before == nil || w.c.session(onlyShard) != before {
		t.Error("the session has ended")
	}
	l.exact()
}

// The library forgets shards that one listing does not show, and writes positions of its own: it must not.
func TestTheLibraryWritesNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	l.feed(100)
	w := l.start("one", every)
	l.wait("all is visible", func() bool { return l.visible() == 100 })
	library := leases{w.c}
	if err := library.RemoveLeaseInfo(onlyShard); err != nil {
		t.Error(err)
	}
	if library.CheckpointSequence(nil) == nil || library.ClaimShard(nil, "other") == nil {
		t.Error("the library may move a position, or steal a lease")
	}
	row, err := (&table{client: l.d, name: "leases"}).read(t.Context(), onlyShard)
	if err != nil || row == nil || row.Checkpoint == "" || row.Owner != "one" {
		t.Errorf("the shard's row is %+v, %v", row, err)
	}
}

// LATEST is for the shards of the first listing: what was put before it is passed over, and nothing after it, also not
// in the children of a shard that is split.
func TestLatest(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	l.feed(100)
	before := l.put
	l.put = map[string]string{}
	w := l.start("one", every, func(c *Config) { c.Start = Start{Latest: true} })
	l.wait("the shard is taken", func() bool { return w.c.session(onlyShard) != nil })
	l.feed(100)
	l.split()
	l.feed(100)
	l.wait("what came later is visible", func() bool { return l.visible() >= 200 })
	w.stop()
	if err := <-w.done; err != nil {
		t.Fatal(err)
	}
	l.exact()
	for place := range l.rows() {
		if _, early := before[strings.TrimSuffix(place, "/0")]; early {
			t.Errorf("%s was put before the start", place)
		}
	}
}

// Calls that hang do not hold up the end for longer than it may take.
func TestHangingCallsDoNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	l.grace = 2 * time.Second
	l.feed(100)
	w := l.start("one", every)
	l.wait("reading has begun", func() bool { return l.visible() > 0 })
	for _, operation := range []string{"GetRecords", "UpdateItem", "ListShards", "Scan"} {
		l.server.Inject(kcltest.Fault{Operation: operation, Delay: time.Hour, Count: -1})
	}
	l.feed(100)
	l.end(w) // 2 s, and a moment
}

// What the writes of a commit, and no others, have in their update expressions.
const (
	commits = "#commitId = :commitId"
	clears  = "REMOVE #pending"
)

// wrote tells whether a request is one of these writes.
func wrote(mark string) func(body []byte) bool {
	return func(body []byte) bool { return bytes.Contains(body, []byte(mark)) }
}

// A call of the table that hangs is made again over another connection, and not given up.
func TestACallThatHangsIsMadeAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	leases := &table{name: "leases", client: dynamodb.NewFromConfig(l.aws, func(o *dynamodb.Options) { o.HTTPClient = impatient{o.HTTPClient, 2 * time.Second} })}
	if err := leases.ensure(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	l.server.Inject(kcltest.Fault{Operation: "UpdateItem", Delay: time.Hour, Count: 2})
	if body, err := leases.once(t.Context(), "_document", "text"); err != nil || body != "text" {
		t.Errorf("got %q, %v", body, err)
	}
	if n := l.server.Calls("UpdateItem"); n != 3 {
		t.Errorf("%d calls; want 3", n)
	}
	// Who gives up is not kept.
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	l.server.Inject(kcltest.Fault{Operation: "GetItem", Delay: time.Hour, Count: -1})
	if _, err := leases.agreed(ctx, "_document"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the caller's own end gives %v", err)
	}
}

// TestEveryWriteOfACommit makes the two writes of commits to the table fail in every way.
func TestEveryWriteOfACommit(t *testing.T) {
	for write, mark := range map[string]string{"commit": commits, "clear": clears} {
		for how, fault := range map[string]kcltest.Fault{
			"lost before":      {Status: 500, Code: "InternalServerError", Count: 8},
			"answer lost":      {DropAnswer: true, Count: 1},
			"all answers lost": {DropAnswer: true, Count: 8},
		} {
			t.Run(write+", "+how, func(t *testing.T) {
				t.Parallel()
				l := newLab(t, 1)
				fault.Operation = "UpdateItem"
				fault.Match = wrote(mark)
				l.server.Inject(fault)
				l.feed(200)
				w := l.start("one", every, func(c *Config) { c.Failover = 5 * time.Second })
				l.wait("the first batch is visible", func() bool { return l.visible() == 200 })
				l.feed(200)
				l.wait("the second batch is visible", func() bool { return l.visible() == 400 })
				w.stop()
				if err := <-w.done; err != nil {
					t.Fatal(err)
				}
				l.exact()
			})
		}
	}
}

// Between the upload and the commit of a worker that was held up, another takes the shard: the late commit changes
// nothing, and the uploads stay for the cleaner.
func TestALateCommitIsRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	l.feed(100)
	taken := make(chan *protocol.Lease, 1)
	l.server.Inject(kcltest.Fault{Operation: "UpdateItem", Match: wrote(commits),
		BeforeApply: func() {
			row, err := l.steal("other")
			if err != nil {
				t.Error(err)
			}
			taken <- row
		}})
	w := l.start("one", every, func(c *Config) { c.Prefixes = nil }) // nothing is cleaned up
	row := <-taken
	l.wait("the worker has given the shard up", func() bool { s := w.c.session(onlyShard); return s == nil || s.over() })
	now, err := w.c.table.read(t.Context(), onlyShard)
	if err != nil || now.CommitNo != row.CommitNo && now.Epoch == row.Epoch {
		t.Errorf("the row after the late commit is %+v, %v; before it was %+v", now, err, row)
	}
	// The other has no heartbeat: its shard is taken back.
	l.wait("all is visible", func() bool { return l.visible() == 100 })
	l.exact()
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if len(l.store.uploads) == 0 {
		t.Error("the upload of the late commit is gone; whoever was fenced must not abort anything")
	}
}

// Uploads that are committed and then aborted by somebody: the batch is given up after a while, and its records are read
// again; they become visible once, by the same worker or, where the shard was finished, by whoever finds it.
func TestCommittedUploadsThatSomebodyAborts(t *testing.T) {
	for name, finished := range map[string]bool{"of a shard that is read": false, "of a finished shard": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, 1)
			l.feed(100)
			aborted := 0
			l.store.fail = func(operation, key string) (bool, error) {
				if operation == "Publish" && aborted == 0 {
					aborted++
					clear(l.store.uploads)
				}
				return true, nil
			}
			if finished {
				l.split()
			}
			var gaveUp atomic.Int32
			w := l.start("one", func(c *Config) {
				c.Process, c.GiveUpAfter = copyRecords(1000), time.Second // one batch, at the end of the shard or of the worker
				if !finished {
					c.Process = copyRecords(1)
				}
				c.Observe = givenUp{count: &gaveUp}
			})
			l.wait("all is visible", func() bool { return l.visible() == 100 })
			w.stop()
			if err := <-w.done; err != nil {
				t.Fatal(err)
			}
			l.exact()
			if aborted != 1 || gaveUp.Load() != 1 {
				t.Errorf("uploads were aborted %d times, batches given up %d times; want one each", aborted, gaveUp.Load())
			}
		})
	}
}

// givenUp counts.
type givenUp struct {
	nobody
	count *atomic.Int32
}

func (g givenUp) GaveUp(string) { g.count.Add(1) }

// The cleaner aborts uploads of epochs that are over, unless a commit waits to publish them, and no others.
func TestCleaner(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	l.feed(10)
	w := l.start("one", every, func(c *Config) { c.Prefixes = []string{"data/"} })
	l.wait("all is visible", func() bool { return l.visible() == 10 })
	row, err := w.c.table.read(t.Context(), onlyShard)
	if err != nil {
		t.Fatal(err)
	}
	upload := func(key string) {
		if _, _, err := l.store.Upload(t.Context(), key, "token", "", nil); err != nil {
			t.Fatal(err)
		}
	}
	old := "data/" + w.c.names.Object(onlyShard, row.Epoch-1, 1, 0, "txt")
	current := "data/" + w.c.names.Object(onlyShard, row.Epoch, 99, 0, "txt")
	for _, key := range []string{old, current, "data/somebody-else.txt", "elsewhere/" + w.c.names.Object(onlyShard, row.Epoch-1, 1, 0, "txt")} {
		upload(key)
	}
	if err := w.c.clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	var left []string
	for name := range l.store.uploads {
		key, _, _ := strings.Cut(name, " ")
		left = append(left, key)
		if key == old {
			t.Errorf("the abandoned upload %s is left", old)
		}
	}
	if len(left) != 3 {
		t.Errorf("left are %v; want all but %s", left, old)
	}
}
