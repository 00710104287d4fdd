package consumer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/sluice-etl/sluice/consumer/kcltest"
)

// idle is a Process that reads nothing until it is asked to stop.
func idle(c *Config) {
	c.Process = func(ctx context.Context, s *Session) error {
		select {
		case <-s.Stopping():
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// While the children of a shard wait for it to be read to its end, by this worker or another, a worker stops as soon as
// at any other time.
func TestWaitingChildrenDoNotHoldUpTheEnd(t *testing.T) {
	for name, alone := range map[string]bool{"for a shard of its own": true, "for another's shard": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, 1)
			l.feed(100)
			w := l.start("one", idle)
			l.wait("the shard is held", func() bool { return w.holds() == 1 })
			l.split()
			if !alone {
				w = l.start("two", idle)
			}
			relist(w)
			l.wait("the children are known", func() bool { return len(w.c.listing()) == 3 })
			asked := time.Now()
			w.stop()
			if err := <-w.done; err != nil {
				t.Error(err)
			}
			if took := time.Since(asked); took > 5*time.Second {
				t.Errorf("it took %v to stop", took)
			}
			if owners := l.owners(); len(owners) != 1 {
				t.Errorf("shards were taken before their parent was finished: %v", owners)
			}
		})
	}
}

// relist asks a worker to list the shards at once.
func relist(w *labWorker) {
	select {
	case w.c.relist <- struct{}{}:
	default:
	}
}

// Two workers whose clocks are twenty minutes apart share the shards, and the one notices in time that the other is dead: no
// time that a machine wrote is compared with another's.
func TestClocksThatDiffer(t *testing.T) {
	t.Parallel()
	l := newLab(t, 4)
	at := func(name string, off time.Duration) *labWorker {
		c := l.consumer(name, every, func(c *Config) { c.Failover = 6 * time.Second })
		c.now = func() time.Time { return time.Now().Add(off) }
		return l.run(c)
	}
	l.feed(200)
	fast, slow := at("fast", 10*time.Minute), at("slow", -10*time.Minute)
	l.wait("both have their share", func() bool { return fast.holds() == 2 && slow.holds() == 2 })
	l.feed(200)
	l.wait("all is visible", func() bool { return l.visible() == 400 })
	before := l.owners()
	l.feed(200)
	l.wait("all is visible", func() bool { return l.visible() == 600 })
	if after := l.owners(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("shards changed hands: %v, then %v", before, after)
	}
	fast.kill()
	l.feed(200)
	l.wait("the other has all shards", func() bool { return slow.holds() == 4 })
	l.wait("all is visible", func() bool { return l.visible() == 800 })
	l.exact()
}

// Whatever Kinesis refuses for a while, the session goes on: the shard is neither lost nor taken again.
func TestRefusedReadsLoseNoShard(t *testing.T) {
	for _, code := range []string{"ProvisionedThroughputExceededException", "KMSThrottlingException", "KMSAccessDeniedException", "KMSInvalidStateException",
		"LimitExceededException", "ExpiredIteratorException", "InternalFailure", "ResourceNotFoundException"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, 1)
			l.feed(100)
			w := l.start("one", every)
			l.wait("reading has begun", func() bool { return l.visible() == 100 })
			before := w.c.session(onlyShard)
			for _, operation := range []string{"GetRecords", "GetShardIterator"} {
				l.server.Inject(kcltest.Fault{Operation: operation, Code: code, Count: 3})
			}
			l.feed(100)
			l.wait("all is visible", func() bool { return l.visible() == 200 })
			if before == nil || w.c.session(onlyShard) != before {
				t.Error("the session has ended")
			}
			l.exact()
		})
	}
}

// Answers without a record are no end, however far behind Kinesis says that they are.
func TestEmptyAnswersAreNoEnd(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	const empty = 10
	l.server.Inject(kcltest.Fault{Operation: "GetRecords", Count: empty, AlterRecords: func(a *kcltest.RecordsAnswer) {
		a.MillisBehindLatest = aws.Int64(time.Hour.Milliseconds())
	}})
	w := l.start("one", every)
	l.wait("there were empty answers", func() bool { return l.server.Calls("GetRecords") > empty })
	l.feed(100)
	l.wait("all is visible", func() bool { return l.visible() == 100 })
	w.stop()
	if err := <-w.done; err != nil {
		t.Error(err)
	}
	l.exact()
}

// lister stands before Kinesis, and changes what ListShards is asked and answers.
type lister struct {
	http.Handler
	calls atomic.Int32

	mu     sync.Mutex
	ask    func(request map[string]any)
	answer func(shards []any) []any
	fail   string // the code of an error
}

func newLister(t *testing.T, l *lab) *lister {
	t.Helper()
	to, err := url.Parse(l.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	f := &lister{Handler: httputil.NewSingleHostReverseProxy(to)}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	l.k = kinesis.NewFromConfig(l.aws, func(o *kinesis.Options) { o.BaseEndpoint = &server.URL })
	return f
}

func (f *lister) set(change func()) { f.mu.Lock(); change(); f.mu.Unlock() }

func (f *lister) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	f.mu.Lock()
	ask, alter, fail := f.ask, f.answer, f.fail
	f.mu.Unlock()
	list := strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".ListShards")
	if list {
		f.calls.Add(1)
	}
	if list && fail != "" {
		w.Header().Set("X-Amzn-ErrorType", fail)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if list && ask != nil {
		var request map[string]any
		_ = json.Unmarshal(body, &request) // the SDK made it
		ask(request)
		body, _ = json.Marshal(request)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if !list || alter == nil {
		f.Handler.ServeHTTP(w, r)
		return
	}
	whole := httptest.NewRecorder()
	f.Handler.ServeHTTP(whole, r)
	var answer map[string]any
	_ = json.Unmarshal(whole.Body.Bytes(), &answer) // kcltest made it
	shards, _ := answer["Shards"].([]any)
	answer["Shards"] = alter(shards)
	_ = json.NewEncoder(w).Encode(answer) // the peer may be gone
}

// A listing that does not come, is empty, or lacks shards, takes no shard away, and no position.
func TestListings(t *testing.T) {
	for name, change := range map[string]func(*lister){
		"empty":     func(f *lister) { f.answer = func([]any) []any { return []any{} } },
		"partial":   func(f *lister) { f.answer = func(shards []any) []any { return shards[1:] } },
		"throttled": func(f *lister) { f.fail = "LimitExceededException" },
		"in pages":  func(f *lister) { f.ask = func(request map[string]any) { request["MaxResults"] = 1 } },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, 3)
			f := newLister(t, l)
			l.feed(300)
			w := l.start("one", every)
			l.wait("all is visible", func() bool { return l.visible() == 300 })
			before := l.owners()
			f.set(func() { change(f) })
			called := f.calls.Load()
			relist(w)
			l.wait("the shards were listed again", func() bool { return f.calls.Load() > called })
			l.feed(300)
			l.wait("all is visible", func() bool { return l.visible() == 600 })
			if err := w.c.clean(t.Context()); err != nil {
				t.Error(err)
			}
			if after := l.owners(); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("the shards are %v; before it they were %v", after, before)
			}
			// Another worker finds the positions.
			f.set(func() { f.ask, f.answer, f.fail = nil, nil, "" })
			w.stop()
			if err := <-w.done; err != nil {
				t.Error(err)
			}
			l.feed(300)
			l.start("two", every)
			l.wait("all is visible", func() bool { return l.visible() == 900 })
			l.exact()
		})
	}
}

// Kinesis gives a record that a producer sends twice two sequence numbers: these are two records.
func TestARecordThatIsPutTwiceIsTwoRows(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	entry := types.PutRecordsRequestEntry{Data: []byte("the same"), PartitionKey: aws.String("k")}
	for range 2 {
		out, err := l.k.PutRecords(t.Context(), &kinesis.PutRecordsInput{StreamName: aws.String(labStream), Records: []types.PutRecordsRequestEntry{entry}})
		if err != nil {
			t.Fatal(err)
		}
		l.put[*out.Records[0].ShardId+"/"+*out.Records[0].SequenceNumber] = "the same"
	}
	l.start("one", every)
	l.wait("both are visible", func() bool { return l.visible() == 2 })
	l.exact()
}

// A snapshot that is missing or damaged is told of, and passed over.
func TestSnapshotsThatAreLost(t *testing.T) {
	for name, change := range map[string]func(objects map[string]object, key string){
		"whole":   func(map[string]object, string) {},
		"missing": func(objects map[string]object, key string) { delete(objects, key) },
		"damaged": func(objects map[string]object, key string) { objects[key] = object{body: "damaged"} },
		"empty":   func(objects map[string]object, key string) { objects[key] = object{} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, 1)
			l.feed(100)
			first := l.start("first", every)
			l.wait("all is visible", func() bool { return l.visible() == 100 })
			first.stop()
			if err := <-first.done; err != nil {
				t.Fatal(err)
			}
			row, err := first.c.table.read(t.Context(), onlyShard)
			if err != nil {
				t.Fatal(err)
			}
			l.store.mu.Lock()
			change(l.store.visible, row.State.Key)
			l.store.mu.Unlock()

			states, warnings := make(chan [][]byte, 1), make(chan error, 1)
			l.start("second", func(c *Config) {
				c.Process = func(ctx context.Context, s *Session) error {
					found, _, err := s.State(ctx, func(err error) { warnings <- err })
					if err != nil {
						return err
					}
					states <- found
					<-s.Stopping()
					return nil
				}
			})
			found := <-states
			if whole := name == "whole"; whole != (len(found) == 1 && string(found[0]) == "100") || whole != (len(warnings) == 0) {
				t.Errorf("the states are %q, with %d warnings", found, len(warnings))
			}
		})
	}
}
