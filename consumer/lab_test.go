package consumer

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/sluice-etl/sluice/consumer/kcltest"
	"github.com/sluice-etl/sluice/consumer/kcltest/peers"
	"github.com/sluice-etl/sluice/consumer/protocol"
)

// TestMain lets more tests run at once than there are processors: they wait for clocks and for each other's answers, most of
// the time.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue { // nobody asked for another number
		if err := f.Value.Set("4"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// lab is a stream, a table and a store on one machine, with workers that can be started and killed, and a ledger of
// what was put. The workers write the sequence numbers that they read, one a line, so that the objects show what the
// protocol did.
type lab struct {
	t      *testing.T
	server *kcltest.Server
	aws    aws.Config
	k      *kinesis.Client
	d      *dynamodb.Client
	store  *memory
	grace  time.Duration // of the workers, to stop in

	mu  sync.Mutex
	put map[string]string // shard/sequence number of every acknowledged record, and its data
	n   int
}

const labStream = "orders"

// onDynalite begins the names of the tests whose leases are kept by dynalite.
const onDynalite = "TestOnDynalite/"

func newLab(t *testing.T, shards int, change ...func(*kcltest.Options)) *lab {
	t.Helper()
	options := kcltest.Options{Dir: t.TempDir()}
	for _, f := range change {
		f(&options)
	}
	server, err := kcltest.Start(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	l := &lab{t: t, server: server, store: newMemory(t), grace: 10 * time.Second, put: map[string]string{}, aws: aws.Config{
		Region: "us-east-1", BaseEndpoint: &server.URL, HTTPClient: server.Client(), Credentials: credentials.NewStaticCredentialsProvider("key", "secret", ""),
	}}
	l.k = kinesis.NewFromConfig(l.aws)
	l.d = dynamodb.NewFromConfig(l.aws)
	if strings.HasPrefix(t.Name(), onDynalite) {
		dir := os.Getenv(peers.Env)
		if dir == "" {
			t.Skip("dynalite, a DynamoDB that others wrote, is installed by .ci/run, which names its folder in " + peers.Env)
		}
		url, stop, err := peers.Start(context.Background(), dir, "dynalite")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := stop(); err != nil {
				t.Error(err)
			}
		})
		l.d = dynamodb.NewFromConfig(l.aws, func(o *dynamodb.Options) { o.BaseEndpoint = &url })
	}
	if _, err := l.k.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String(labStream), ShardCount: aws.Int32(int32(shards))}); err != nil {
		t.Fatal(err)
	}
	return l
}

// feed puts n records, spread over the shards.
func (l *lab) feed(n int) {
	l.t.Helper()
	for n > 0 {
		in := &kinesis.PutRecordsInput{StreamName: aws.String(labStream)}
		for range min(n, 500) {
			l.n++
			in.Records = append(in.Records, types.PutRecordsRequestEntry{Data: fmt.Appendf(nil, "record %d", l.n), PartitionKey: aws.String(fmt.Sprint(l.n % 97))})
		}
		n -= len(in.Records)
		out, err := l.k.PutRecords(l.t.Context(), in)
		if err != nil {
			l.t.Fatal(err)
		}
		l.mu.Lock()
		for i, r := range out.Records {
			l.put[*r.ShardId+"/"+*r.SequenceNumber] = string(in.Records[i].Data)
		}
		l.mu.Unlock()
	}
}

// split divides the only shard in the middle.
func (l *lab) split() {
	l.t.Helper()
	_, err := l.k.SplitShard(l.t.Context(), &kinesis.SplitShardInput{StreamName: aws.String(labStream), ShardToSplit: aws.String(onlyShard),
		NewStartingHashKey: aws.String("85070591730234615865843651857942052863")})
	if err != nil {
		l.t.Fatal(err)
	}
}

// labWorker is one running consumer.
type labWorker struct {
	c    *Consumer
	stop context.CancelFunc
	done chan error
}

// consumer makes a worker whose batches end after some records, or when it must stop. change may alter its configuration.
func (l *lab) consumer(name string, change ...func(*Config)) *Consumer {
	cfg := Config{
		Stream: labStream, App: "app", Table: "leases", CreateTable: true, Worker: name, Failover: time.Second,
		StatePrefix: "_state/", Prefixes: []string{"data/"}, Log: slog.New(slog.DiscardHandler), Process: copyRecords(50),
	}
	for _, f := range change {
		f(&cfg)
	}
	return New(cfg, Clients{l.k, l.d}, l.store)
}

// start makes a worker, and runs it.
func (l *lab) start(name string, change ...func(*Config)) *labWorker {
	return l.run(l.consumer(name, change...))
}

func (l *lab) run(c *Consumer) *labWorker {
	ctx, stop := context.WithCancel(context.Background())
	w := &labWorker{stop: stop, done: make(chan error, 1), c: c}
	go func() { w.done <- w.c.Run(ctx, l.grace); close(w.done) }()
	l.t.Cleanup(func() { stop(); <-w.done })
	return w
}

// end stops a worker, and waits until it has ended. One that does not, though it may take as long as it likes (see
// lab.grace), is the test's failure, and is abandoned.
func (l *lab) end(w *labWorker) {
	l.t.Helper()
	w.stop()
	select {
	case err := <-w.done:
		if err != nil {
			l.t.Fatal(err)
		}
	case <-time.After(30 * time.Second):
		given := errors.New("given up by the test")
		w.c.fail(given)
		w.c.cancel(given)
		l.t.Fatal("the worker was told to stop, and has not after 30 s")
	}
}

// row gives a shard's item.
func (l *lab) row(shard string) *protocol.Lease {
	l.t.Helper()
	row, err := (&table{client: l.d, name: "leases"}).read(l.t.Context(), shard)
	if err != nil || row == nil {
		l.t.Fatalf("the row of %s is %+v, %v", shard, row, err)
	}
	return row
}

// steal makes another the owner of the only shard behind its holder's back.
func (l *lab) steal(owner string) (*protocol.Lease, error) {
	leases := &table{client: l.d, name: "leases"}
	row, err := leases.read(context.Background(), onlyShard)
	if err != nil {
		return nil, err
	}
	return leases.writeLease(context.Background(), protocol.Take(row, owner))
}

// holds is the number of shards that a worker holds.
func (w *labWorker) holds() int { return len(held(w.c)) }

// owners gives the owner and the epoch of each shard.
func (l *lab) owners() map[string]string {
	l.t.Helper()
	rows, _, err := (&table{client: l.d, name: "leases"}).scan(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	found := map[string]string{}
	for id, row := range rows {
		found[id] = fmt.Sprint(row.Owner, " ", row.Epoch)
	}
	return found
}

// kill abandons a worker: nothing that it does from now on reaches the outside, as after a SIGKILL.
func (w *labWorker) kill() {
	w.c.cancel(errors.New("killed"))
	w.stop()
	<-w.done
}

// copyRecords is a Process that writes what it reads, in batches of about n records.
func copyRecords(n int) func(context.Context, *Session) error {
	return func(ctx context.Context, s *Session) error {
		states, _, err := s.State(ctx, func(err error) { panic(err) })
		if err != nil {
			return err
		}
		count := 0 // of all records of the shard and its ancestors, as a state that must follow the position
		for _, state := range states {
			var before int
			if _, err := fmt.Sscanf(string(state), "%d", &before); err != nil {
				return err
			}
			count += before
		}
		var body bytes.Buffer
		var last string
		rows := 0
		commit := func(finished bool) error {
			b := Batch{Checkpoint: last, Finished: finished, State: fmt.Appendf(nil, "%d", count), Trigger: "test"}
			if rows > 0 {
				b.Files = []File{{Prefix: "data/", Extension: "txt", ContentType: "text/plain", Body: bytes.Clone(body.Bytes()), Rows: rows}}
			}
			body.Reset()
			rows = 0
			return s.Commit(ctx, b)
		}
		for {
			select {
			case f := <-s.Fetches():
				for _, r := range f.Records {
					for sub, user := range r.User {
						fmt.Fprintf(&body, "%s/%s/%d %s\n", s.Shard(), r.SequenceNumber, sub, user)
					}
					last = r.SequenceNumber
					rows++
					count++
				}
				if f.End {
					return commit(true)
				}
				if rows >= n {
					if err := commit(false); err != nil {
						return err
					}
				}
			case <-s.Stopping():
				if rows == 0 {
					return nil
				}
				return commit(false)
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

// wait waits until the condition holds; that it never does is the test's failure.
func (l *lab) wait(what string, condition func() bool) {
	l.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			l.t.Fatalf("waited 30 s for this: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// visible counts the lines of all objects.
func (l *lab) visible() int { return len(l.rows()) }

// rows gives the line of every place in the visible objects, and fails for one that is there twice.
func (l *lab) rows() map[string]string {
	l.t.Helper()
	found := map[string]string{}
	for key, body := range l.store.objects("data/") {
		for line := range strings.Lines(body) {
			place, data, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			if _, twice := found[place]; twice {
				l.t.Fatalf("%s is visible twice, for the second time in %s", place, key)
			}
			found[place] = data
		}
	}
	return found
}

// exact fails unless every acknowledged record is visible exactly once with its data.
func (l *lab) exact() {
	l.t.Helper()
	found := l.rows()
	l.mu.Lock()
	defer l.mu.Unlock()
	for place, data := range l.put {
		if found[place+"/0"] != data {
			l.t.Errorf("%s: got %q, want %q", place, found[place+"/0"], data)
		}
	}
	if len(found) != len(l.put) {
		l.t.Errorf("%d rows for %d records", len(found), len(l.put))
	}
}

// memory is a Store that holds what it promises, checks what it is promised, and can fail.
type memory struct {
	t  *testing.T
	mu sync.Mutex

	visible map[string]object
	uploads map[string]object // by key and upload id
	next    int
	fail    func(operation, key string) (apply bool, err error) // nil: nothing fails
}

type object struct{ body, token string }

func newMemory(t *testing.T) *memory {
	return &memory{t: t, visible: map[string]object{}, uploads: map[string]object{}}
}

func (m *memory) objects(prefix string) map[string]string {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := map[string]string{}
	for key, o := range m.visible {
		if strings.HasPrefix(key, prefix) {
			found[key] = o.body
		}
	}
	return found
}

// do runs an operation as the test wants it: applied or not, and with an error or without.
func (m *memory) do(ctx context.Context, operation, key string, f func() error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	apply, err := true, error(nil)
	if m.fail != nil {
		apply, err = m.fail(operation, key)
	}
	if apply {
		if e := f(); e != nil {
			return e
		}
	}
	return err
}

func (m *memory) Upload(ctx context.Context, key, token, _ string, body []byte) (id string, etags []string, err error) {
	err = m.do(ctx, "Upload", key, func() error {
		m.next++
		id = fmt.Sprint("upload", m.next)
		m.uploads[key+" "+id] = object{string(body), token}
		return nil
	})
	return id, []string{"etag"}, err
}

func (m *memory) Publish(ctx context.Context, key, id string, etags []string, token string) error {
	return m.do(ctx, "Publish", key, func() error {
		o, ok := m.uploads[key+" "+id]
		if !ok {
			if m.visible[key].token == token {
				return nil
			}
			return fs.ErrNotExist
		}
		if len(etags) != 1 || etags[0] != "etag" || o.token != token {
			m.t.Errorf("%s is published with the ETags %q and the token %s, uploaded with %s", key, etags, token, o.token)
		}
		if _, exists := m.visible[key]; exists {
			m.t.Errorf("the object %s is written twice", key)
		}
		m.visible[key] = o
		delete(m.uploads, key+" "+id)
		return nil
	})
}

func (m *memory) Put(ctx context.Context, key string, body []byte) error {
	return m.do(ctx, "Put", key, func() error { m.visible[key] = object{body: string(body)}; return nil })
}

func (m *memory) Get(ctx context.Context, key string) (body []byte, err error) {
	err = m.do(ctx, "Get", key, func() error {
		o, ok := m.visible[key]
		if !ok {
			return fs.ErrNotExist
		}
		body = []byte(o.body)
		return nil
	})
	return body, err
}

func (m *memory) ReadAt(ctx context.Context, key string, p []byte, offset int64) error {
	body, err := m.Get(ctx, key)
	if err == nil && copy(p, body[offset:]) < len(p) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (m *memory) Delete(ctx context.Context, key string) error {
	return m.do(ctx, "Delete", key, func() error { delete(m.visible, key); return nil })
}

func (m *memory) Uploads(_ context.Context, prefix string, each func(key, id string, started time.Time) error) error {
	m.mu.Lock()
	names := slices.Sorted(maps.Keys(m.uploads))
	m.mu.Unlock()
	for _, name := range names {
		if key, id, _ := strings.Cut(name, " "); strings.HasPrefix(key, prefix) {
			if err := each(key, id, time.Time{}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *memory) Abort(ctx context.Context, key, id string) error {
	return m.do(ctx, "Abort", key, func() error { delete(m.uploads, key+" "+id); return nil })
}
