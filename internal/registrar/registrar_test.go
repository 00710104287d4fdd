package registrar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/consumer/protocol"
	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/sink"
	"github.com/sluice-etl/sluice/sink/catalog"
	"github.com/sluice-etl/sluice/sink/catalog/gluetest"
)

var (
	names = protocol.Names{App: "app", Stream: "orders", StatePrefix: "_sluice/"}
	noon  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

const prefix = "data/dt=!{timestamp:yyyy-MM-dd}/hour=!{timestamp:HH}/"

// lab is a bucket, a catalog, and what writes into the bucket.
type lab struct {
	t      *testing.T
	store  *store
	glue   *gluetest.Server
	layout *catalog.Layout
	prefix *sink.Prefix
	now    time.Time

	mu      sync.Mutex
	commits map[string]int64 // of each shard
	folders map[string]bool  // that have files
	leads   atomic.Bool      // what workers are told
	fields  []columns.Field  // that files have
	heard   counts
}

// store is a bucket in memory that counts how often folders were listed.
type store struct {
	walked atomic.Int64
	broken atomic.Bool

	mu      sync.Mutex
	objects map[string][]byte
}

func (s *store) put(key string, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.objects[key] = body
}

func (s *store) Get(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, ok := s.objects[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return body, nil
}

func (s *store) List(_ context.Context, prefix string, object func(string, int64, time.Time) error, folder func(string) error) error {
	if s.broken.Load() {
		return errors.New("the bucket does not answer")
	}
	if folder != nil {
		s.walked.Add(1)
	}
	s.mu.Lock()
	keys := slices.Sorted(maps.Keys(s.objects))
	s.mu.Unlock()
	var err error
	last := ""
	for _, key := range keys {
		below, ok := strings.CutPrefix(key, prefix)
		slash := strings.IndexByte(below, '/')
		switch {
		case !ok || err != nil:
		case folder == nil || slash < 0:
			err = object(key, 0, time.Time{})
		case last != prefix+below[:slash+1]:
			last = prefix + below[:slash+1]
			err = folder(last)
		}
	}
	return err
}

// counts are the metrics.
type counts struct {
	mu         sync.Mutex
	registered int
	errors     map[string]int
	current    int
}

func (c *counts) PartitionsRegistered(n int) { c.mu.Lock(); c.registered += n; c.mu.Unlock() }
func (c *counts) CatalogError(op string)     { c.mu.Lock(); c.errors[op]++; c.mu.Unlock() }
func (c *counts) CatalogCurrent()            { c.mu.Lock(); c.current++; c.mu.Unlock() }

func (c *counts) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("registered %d, errors %v", c.registered, c.errors)
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, store: &store{objects: map[string][]byte{}}, now: noon, commits: map[string]int64{}, folders: map[string]bool{},
		fields: []columns.Field{{Name: "id", Type: columns.Int64}}, heard: counts{errors: map[string]int{}}}
	l.leads.Store(true)
	var err error
	l.prefix, err = sink.ParsePrefix(prefix)
	l.must(err)
	l.layout, err = catalog.NewLayout("lake", l.prefix)
	l.must(err)
	l.glue, err = gluetest.Start()
	l.must(err)
	t.Cleanup(func() { l.glue.Close() })
	l.must(l.glue.CreateDatabase(t.Context(), "db"))
	return l
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// worker makes the registrar of a process.
func (l *lab) worker() *Registrar {
	r := New(Config{
		Names: names, Store: l.store, Catalog: catalog.Open(l.glue.Config(), "db", "orders"), Layout: l.layout, Output: sink.OutputParquet,
		Columns: func(context.Context) ([]columns.Field, error) { return l.fields, nil },
		Leads:   l.leads.Load, Every: time.Millisecond, Metrics: &l.heard, Log: slog.New(slog.DiscardHandler),
	})
	r.now = func() time.Time { return l.now }
	return r
}

// commit makes a commit of a shard as a worker does: first its files, for the given times, and then its record.
func (l *lab) commit(shard string, made time.Time, times ...time.Time) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commits[shard]++
	c := &protocol.Commit{Shard: shard, Epoch: 7, Number: l.commits[shard], Time: made.Format(time.RFC3339Nano)}
	for i, at := range append(times, time.Time{}) {
		folder, extension := string(l.prefix.Append(nil, at, "")), "parquet"
		if at.IsZero() { // every commit has a file of rejects, too
			folder, extension = "errors/", "json.gz"
		} else {
			l.folders["s3://lake/"+folder] = true
		}
		key := folder + names.Object(shard, c.Epoch, c.Number, i, extension)
		c.Files = append(c.Files, protocol.File{Key: key})
		l.store.put(key, nil)
	}
	l.store.put(names.Record(c), c.Record())
}

// complete tells whether all folders are registered, and nothing else.
func (l *lab) complete() error {
	found, err := l.glue.Locations(l.t.Context(), "db", "orders")
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var want []string
	for folder := range l.folders {
		want = append(want, folder)
	}
	slices.Sort(want)
	slices.Sort(found)
	if !slices.Equal(found, want) {
		return fmt.Errorf("registered are\n%s\nand there are\n%s", strings.Join(found, "\n"), strings.Join(want, "\n"))
	}
	return nil
}

func (l *lab) isComplete() {
	l.t.Helper()
	if err := l.complete(); err != nil {
		l.t.Error(err)
	}
}

// round makes a round that must succeed, or must not.
func (l *lab) round(r *Registrar, succeeds bool) {
	l.t.Helper()
	if ok := r.try(l.t.Context()); ok != succeeds {
		l.t.Errorf("a round succeeded: %v; %v", ok, &l.heard)
	}
}

// What was committed right before a process died is registered by the one that leads next. So is what was written before there
// was a table.
func TestCrashBeforeRegistration(t *testing.T) {
	l := newLab(t)
	first := l.worker()
	l.commit("shardId-1", noon.AddDate(0, -2, 0), noon.AddDate(0, -2, 0))
	l.commit("shardId-1", noon, noon, noon.Add(-time.Hour))
	l.round(first, true)
	l.isComplete()
	l.commit("shardId-1", noon, noon.Add(time.Hour)) // and no round: the first is dead
	l.commit("shardId-2", noon, noon.Add(2*time.Hour))
	l.round(l.worker(), true)
	l.isComplete()
	if l.heard.registered != 5 || l.heard.current != 2 {
		t.Errorf("%v, current %d times", &l.heard, l.heard.current)
	}
}

// While a worker leads, the records alone tell it what is new, also those of the day before.
func TestRecords(t *testing.T) {
	l := newLab(t)
	l.now = time.Date(2026, 3, 1, 23, 59, 0, 0, time.UTC)
	r := l.worker()
	l.commit("shardId-1", l.now, l.now)
	l.round(r, true)
	walked, calls := l.store.walked.Load(), l.glue.Calls("BatchCreatePartition")
	for range 15 { // more than nine: the numbers in the records' names get another digit
		l.commit("shardId-1", l.now, l.now)
		l.commit("shardId-2", l.now, l.now.Add(-time.Hour))
		l.round(r, true)
	}
	if n := l.glue.Calls("BatchCreatePartition") - calls; n != 1 {
		t.Errorf("one new partition took %d calls", n)
	}
	l.isComplete()
	before := l.now
	l.now = l.now.Add(10 * time.Minute)
	l.commit("shardId-1", before, before.AddDate(0, 0, -3)) // begun before midnight
	l.commit("shardId-2", l.now, l.now)
	l.commit("shardId-3", l.now.Add(50*time.Minute), l.now.Add(-5*time.Hour)) // by a clock that is ahead
	l.round(r, true)
	l.isComplete()
	if l.store.walked.Load() != walked {
		t.Error("the folders were walked through")
	}
	// A record from long before, after an outage, comes to light with the next walk.
	l.commit("shardId-4", l.now.AddDate(0, 0, -2), l.now.AddDate(0, 0, -2))
	l.round(r, true)
	if l.complete() == nil {
		t.Error("a record of two days ago was looked for: this test is of no use any more")
	}
	for range 13 {
		l.now = l.now.Add(29 * time.Minute)
		l.round(r, true)
	}
	l.isComplete()
}

// The catalog is out of order for hours, over midnight. The data goes on, and then everything is registered.
func TestGlueIsDown(t *testing.T) {
	for _, outage := range []time.Duration{20 * time.Minute, 3 * time.Hour, 50 * time.Hour} {
		l := newLab(t)
		l.now = time.Date(2026, 3, 1, 23, 55, 0, 0, time.UTC)
		r := l.worker()
		l.commit("shardId-1", l.now, l.now)
		l.round(r, true)
		l.glue.Intercept(func(string) *gluetest.Error {
			return &gluetest.Error{Status: http.StatusServiceUnavailable, Code: "InternalServiceException", Message: "down"}
		})
		for end := l.now.Add(outage); l.now.Before(end); l.now = l.now.Add(7 * time.Minute) {
			l.commit("shardId-1", l.now, l.now)
			l.round(r, false)
		}
		l.glue.Intercept(nil)
		if l.complete() == nil {
			t.Errorf("nothing is missing after %v", outage)
		}
		l.round(r, true)
		l.isComplete()
		if n := l.heard.errors["table"]; n == 0 || len(l.heard.errors) != 1 {
			t.Errorf("%v", &l.heard)
		}
	}
}

// What fails in the middle is made up for: of the partitions, and of the list.
func TestHalfARound(t *testing.T) {
	l := newLab(t)
	for h := range 250 {
		l.commit("shardId-1", noon, noon.Add(-time.Duration(h)*time.Hour))
	}
	r, batches := l.worker(), 0
	l.glue.Intercept(func(operation string) *gluetest.Error {
		if operation == "BatchCreatePartition" {
			if batches++; batches == 2 {
				return &gluetest.Error{Status: http.StatusBadRequest, Code: "OperationTimeoutException", Message: "slow"}
			}
		}
		return nil
	})
	l.round(r, false)
	l.commit("shardId-1", noon, noon.AddDate(0, 1, 0))
	l.store.broken.Store(true)
	l.round(r, false)
	l.store.broken.Store(false)
	l.round(r, true)
	l.isComplete()
	if l.heard.String() != "registered 251, errors map[list:1 partitions:1]" {
		t.Error(&l.heard)
	}
}

// Two workers think that they lead.
func TestTwoLeaders(t *testing.T) {
	l := newLab(t)
	for h := range 230 {
		l.commit("shardId-1", noon, noon.Add(-time.Duration(h)*time.Hour))
	}
	workers := []*Registrar{l.worker(), l.worker(), l.worker()}
	for range 5 {
		var group sync.WaitGroup
		for _, r := range workers {
			group.Go(func() { l.round(r, true) })
		}
		group.Wait()
		l.fields = append(l.fields, columns.Field{Name: fmt.Sprintf("c%d", len(l.fields)), Type: columns.String})
		l.commit("shardId-1", noon, noon.Add(time.Duration(len(l.fields))*time.Hour))
	}
	l.round(workers[0], true)
	l.isComplete()
	if l.heard.String() != "registered 235, errors map[]" {
		t.Error(&l.heard)
	}
	has, err := l.glue.Columns(t.Context(), "db", "orders")
	if err != nil || fmt.Sprint(has) != "[id bigint c1 string c2 string c3 string c4 string c5 string]" {
		t.Errorf("the columns are %v: %v", has, err)
	}
}

// Whatever a worker does meanwhile, and whoever leads, in the end all is registered.
func TestAnyOrder(t *testing.T) {
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 1))
		l := newLab(t)
		workers := []*Registrar{l.worker(), l.worker()}
		leader := 0
		for range 120 {
			switch random.IntN(8) {
			case 0, 1, 2:
				at := l.now.Add(-time.Duration(random.IntN(50)) * time.Minute)
				l.commit(fmt.Sprintf("shardId-%d", random.IntN(3)), at, l.now.Add(-time.Duration(random.IntN(200))*time.Hour))
			case 3:
				l.now = l.now.Add(time.Duration(random.IntN(100)) * time.Minute)
			case 4: // the leader dies, or loses its place and remembers nothing
				workers[leader] = l.worker()
				leader = random.IntN(2)
				workers[leader].forget()
			case 5:
				down := random.IntN(2) == 0
				l.glue.Intercept(func(operation string) *gluetest.Error {
					if down && operation == "BatchCreatePartition" {
						return &gluetest.Error{Status: http.StatusInternalServerError, Code: "InternalServiceException", Message: "down"}
					}
					return nil
				})
			default:
				workers[leader].try(t.Context())
			}
		}
		l.glue.Intercept(nil)
		l.round(workers[leader], true)
		if err := l.complete(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// Somebody drops the table: it is made again with all its partitions, by whoever finds out.
func TestTableMadeAnew(t *testing.T) {
	l := newLab(t)
	l.commit("shardId-1", noon, noon, noon.Add(-time.Hour))
	r, other := l.worker(), l.worker()
	l.round(r, true)
	l.must(l.glue.DeleteTable(t.Context(), "db", "orders"))
	l.commit("shardId-1", noon, noon.Add(time.Hour))
	l.round(r, true)
	l.isComplete()

	l.must(l.glue.DeleteTable(t.Context(), "db", "orders"))
	l.round(other, true)
	l.isComplete()
	l.must(l.glue.DeleteTable(t.Context(), "db", "orders"))
	_, err := other.cfg.Catalog.Ensure(t.Context(), catalog.Definition{Layout: l.layout, Fields: l.fields, Output: sink.OutputParquet})
	l.must(err) // unnoticed
	l.now = l.now.Add(walkEvery)
	l.round(r, true)
	l.isComplete()
}

// Before there are columns nothing is made; a type that somebody has changed is told once, and stays.
func TestColumns(t *testing.T) {
	l := newLab(t)
	fields := l.fields
	l.fields = nil
	l.commit("shardId-1", noon, noon)
	r := l.worker()
	l.round(r, true)
	if n := l.glue.Calls("GetTable"); n > 0 || l.heard.current > 0 {
		t.Errorf("without columns there were %d calls, and all was well %d times", n, l.heard.current)
	}
	l.fields = fields
	l.round(r, true)
	l.fields = []columns.Field{{Name: "id", Type: columns.String}, {Name: "more", Type: columns.Double}}
	for range 3 {
		l.round(r, true)
	}
	l.isComplete()
	if has, err := l.glue.Columns(t.Context(), "db", "orders"); err != nil || fmt.Sprint(has) != "[id bigint more double]" {
		t.Errorf("the columns are %v: %v", has, err)
	}
	if l.heard.String() != "registered 1, errors map[type:1]" {
		t.Error(&l.heard)
	}
}

// A record that cannot be read, a file that is none of the table's, and a partition that Glue does not want hold up nothing.
func TestForeign(t *testing.T) {
	l := newLab(t)
	var log bytes.Buffer
	r := l.worker()
	r.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	l.commit("shardId-1", noon, noon)
	l.store.put("data/other/x/deep/y.parquet", nil)
	l.store.put("data/dt=2026-03-01/z.parquet", nil)
	l.round(r, true)
	l.store.put(names.Records("2026-03-01")+names.Object("shardId-1", 7, 90, 0, "json"), []byte("{"))
	l.store.put(names.Records("2026-03-01")+"README", []byte("{"))
	l.glue.Intercept(func(operation string) *gluetest.Error {
		if operation == "BatchCreatePartition" {
			return &gluetest.Error{Status: http.StatusBadRequest, Code: "InvalidInputException", Message: "ugly"}
		}
		return nil
	})
	l.commit("shardId-2", noon, noon.Add(time.Hour))
	l.round(r, true)
	l.glue.Intercept(nil)
	l.commit("shardId-2", noon, noon.Add(2*time.Hour))
	l.round(r, true)
	delete(l.folders, "s3://lake/data/dt=2026-03-01/hour=13/")
	l.isComplete()
	if l.heard.String() != "registered 2, errors map[refused:1]" || !strings.Contains(log.String(), "the record of a commit cannot be read") ||
		!strings.Contains(log.String(), "data/dt=2026-03-01/hour=13/: ") {
		t.Errorf("%v, %s", &l.heard, &log)
	}
}

// Only who leads calls anybody; at the end, the last commits are registered at once.
func TestRun(t *testing.T) {
	l := newLab(t)
	l.leads.Store(false)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r, ended := l.worker(), make(chan struct{})
	go func() { r.Run(ctx); close(ended) }()
	until := func(what string, is func() bool) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no end to the wait until %s", what)
			}
		}
	}
	l.commit("shardId-1", noon, noon)
	time.Sleep(20 * time.Millisecond) // many rounds
	if n := l.glue.Calls("GetTable"); n > 0 {
		t.Errorf("who does not lead made %d calls", n)
	}
	l.leads.Store(true)
	until("what there is is registered", func() bool { return l.complete() == nil })
	l.leads.Store(false)
	walked := l.store.walked.Load()
	until("it has stopped", func() bool {
		n := l.glue.Calls("GetTable")
		time.Sleep(20 * time.Millisecond)
		return l.glue.Calls("GetTable") == n
	})
	l.leads.Store(true)
	until("it begins anew", func() bool { return l.store.walked.Load() > walked })

	l.glue.Intercept(func(string) *gluetest.Error { // until the context ends
		if ctx.Err() == nil {
			return &gluetest.Error{Status: http.StatusInternalServerError, Code: "InternalServiceException", Message: "down"}
		}
		return nil
	})
	l.commit("shardId-1", noon, noon.Add(time.Hour))
	stop()
	<-ended
	l.isComplete()
}

// Who fails waits longer each time, and not for ever.
func TestPause(t *testing.T) {
	for failures, longest := range map[int]time.Duration{0: time.Minute, 1: 2 * time.Minute, 3: 8 * time.Minute, 4: 10 * time.Minute, 1 << 40: 10 * time.Minute} {
		for range 100 {
			if d := pause(time.Minute, failures); d < longest*3/4 || d > longest*5/4 {
				t.Fatalf("after %d failures it waits for %v", failures, d)
			}
		}
	}
}
