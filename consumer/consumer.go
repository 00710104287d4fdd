package consumer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/sluice-etl/sluice/consumer/protocol"
)

// Config is what a Consumer needs. All fields are required unless they say otherwise.
type Config struct {
	Stream      string // its name
	StreamARN   string // optional: names the stream in another account
	App         string
	Table       string // DynamoDB table of leases
	CreateTable bool   // make the table when it is missing
	Worker      string // unique for each process
	MaxLeases   int    // 0: no limit
	Failover    time.Duration
	Start       Start
	GiveUpAfter time.Duration // how long the committed uploads of a batch must be seen to be lost before its records are read again; 0: 10 minutes
	StatePrefix string        // of the keys of snapshots
	Prefixes    []string      // the literal beginnings of the keys of files: where abandoned uploads are looked for

	// Process handles one shard, from the session's first record until it returns: with nil after the batch that is
	// Finished, or after Stopping was closed and everything taken was committed; with the error of Session.Commit
	// or Session.State; or with an error that must stop the whole consumer.
	Process func(context.Context, *Session) error

	Log     *slog.Logger
	Observe Observer // optional
}

// Start says where the shards of the first listing begin: at the oldest record, now, or at a time.
type Start struct {
	Latest bool
	At     time.Time
}

// Consumer is a worker of a group that shares the shards of a stream. It is used once.
type Consumer struct {
	cfg     Config
	raw     *kinesis.Client // answers for itself; the library's has our answers before it
	table   *table
	store   Store
	observe observer
	now     func() time.Time

	ctx    context.Context // of the sessions; ends when they are to be abandoned
	cancel context.CancelCauseFunc
	fatal  chan error    // the first fault that must stop everything
	relist chan struct{} // asks for a listing at once, after the end of a shard
	leave  chan struct{} // asks for a heartbeat at once, which tells that this worker leaves
	nonce  string
	names  protocol.Names

	mu       sync.Mutex // guards what follows
	sessions map[string]*Session
	armed    map[string]bool // see arm
	wanted   map[string]bool // what was to be taken when the event loop's round began
	listed   []protocol.Shard
	rows     map[string]*protocol.Lease
	workers  map[string]heartbeat
	looked   time.Time // at the table, the last time that this succeeded
	lookTook time.Duration
	changing time.Time            // since when shards are about to change hands; zero: they are not
	free     map[string]time.Time // since when each shard is seen without a holder
	given    map[string]time.Time // when this worker gave a shard back
	gone     map[string]time.Time // since when the uploads of a commit are seen to be lost; by its id
	draining bool
	told     map[string]told // by shard; replaced as a whole
	gathered bool            // the last time, all could be read

	first firstListing // set before the event loop starts
}

// heartbeat is a worker's counter, and when this worker saw it move, by its own monotonic clock.
type heartbeat struct {
	row   workerRow
	moved time.Time
}

// New makes a consumer.
func New(cfg Config, clients Clients, store Store) *Consumer {
	cfg.GiveUpAfter = cmp.Or(cfg.GiveUpAfter, 10*time.Minute)
	c := &Consumer{
		cfg: cfg, raw: clients.Kinesis, store: store, table: &table{client: clients.DynamoDB, name: cfg.Table}, now: time.Now,
		observe: observer{cfg.Observe, cfg.Log}, fatal: make(chan error, 1), relist: make(chan struct{}, 1), leave: make(chan struct{}, 1), nonce: fmt.Sprintf("%016x", rand.Uint64()),
		names:    protocol.Names{App: cfg.App, Stream: cfg.Stream, StatePrefix: cfg.StatePrefix},
		sessions: map[string]*Session{}, armed: map[string]bool{}, rows: map[string]*protocol.Lease{}, workers: map[string]heartbeat{},
		free: map[string]time.Time{}, given: map[string]time.Time{}, gone: map[string]time.Time{},
	}
	if c.observe.Observer == nil {
		c.observe.Observer = nobody{}
	}
	return c
}

// farewell is how much longer than its grace a worker may take to the end, to be taken off the table.
const farewell = 2 * time.Second

// Run reads the stream until the context ends or a fault makes it impossible to go on. When the context ends, the
// batches that are open are committed and the shards given back, for at most grace; what is not committed by then is
// read again by the next holder.
func (c *Consumer) Run(ctx context.Context, grace time.Duration) error {
	c.ctx, c.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	defer c.cancel(errEnded)
	if err := c.open(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it began
		}
		return err
	}

	var keepers sync.WaitGroup
	keep := func(every func() time.Duration, now <-chan struct{}, what string, do func(context.Context) error) {
		keepers.Go(func() {
			for {
				timer := time.NewTimer(jitter(every()))
				select {
				case <-timer.C:
				case <-now:
				case <-c.ctx.Done():
				}
				timer.Stop()
				if c.ctx.Err() != nil {
					return
				}
				switch err := do(c.ctx); {
				case errors.Is(err, errDuplicateWorker):
					c.fail(err)
				case err != nil && c.ctx.Err() == nil:
					c.observe.retrying("", what, err)
				case err == nil:
					c.observe.clear("", what)
				}
			}
		})
	}
	always := func(d time.Duration) func() time.Duration { return func() time.Duration { return d } }
	keep(always(c.cfg.Failover/5), c.leave, "heartbeat", c.beat)
	keep(c.lookEvery, nil, lookAtLeases, c.look)
	keep(c.lookEvery, nil, "gather what other shards tell", func(ctx context.Context) error { c.gather(ctx); return nil })
	keep(always(listEvery), c.relist, "list the shards", c.list)
	cleaned := false // soon after the start, so that a process which is often restarted cleans up, too; and soon again where that failed
	keep(func() time.Duration {
		if cleaned {
			return cleanEvery
		}
		return c.cfg.Failover
	}, nil, "clean up", func(ctx context.Context) error {
		err := c.clean(ctx)
		cleaned = err == nil
		return err
	})

	runner := newRunner(c)
	if err := runner.Start(); err != nil {
		return err
	}
	var err error
	select {
	case err = <-c.fatal:
	case <-ctx.Done():
	}
	end := time.Now().Add(grace)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	if err == nil {
		err = c.announce()
	}

	// Everything stops at once: every session flushes, commits, and gives its shard back.
	c.drain()
	stopped := make(chan struct{})
	go func() { runner.Stop(); close(stopped) }()
	select {
	case <-stopped:
	case e := <-c.fatal:
		err = errors.Join(err, e)
	case <-timer.C:
		c.cfg.Log.Warn("the time to stop is over; what is not committed is read again by the next holder")
	}
	c.cancel(errEnded)
	keepers.Wait()

	forget, cancel := context.WithDeadline(context.WithoutCancel(ctx), end.Add(farewell))
	defer cancel()
	if e := c.table.forget(forget, c.cfg.Worker, c.nonce); e != nil {
		c.cfg.Log.Warn("could not take this worker off the table; nobody waits for it after the failover time", "error", e)
	}
	return err
}

// lookAtLeases is what a worker does all the time.
const lookAtLeases = "look at the leases"

const (
	quickLook  = 200 * time.Millisecond
	listEvery  = 10 * time.Second // ListShards allows 100 calls a second for the whole account
	cleanEvery = 10 * time.Minute
)

// jitter spreads what many workers do.
func jitter(d time.Duration) time.Duration { return d*3/4 + rand.N(d/2) }

// lookEvery is how often this worker looks at the table. A look reads all of it, and is paid for by its size: so a group
// of 20 shards looks about every second, a larger one less often. While shards change hands it is quick, for a while.
func (c *Consumer) lookEvery() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	usual := c.usualLook()
	if !c.changing.IsZero() && c.now().Sub(c.changing) < c.cfg.Failover {
		return min(quickLook, usual)
	}
	return usual
}

// usualLook is lookEvery while nothing changes. The caller holds mu.
func (c *Consumer) usualLook() time.Duration {
	return min(max(time.Duration(len(c.rows))*50*time.Millisecond, c.cfg.Failover/10), c.cfg.Failover/5, 2*time.Second)
}

// announce tells the others that this worker leaves, and reads on until they have seen it: they look often then, and take
// each shard as soon as it is given back. Without others there is nothing to wait for.
func (c *Consumer) announce() error {
	c.mu.Lock()
	c.draining = true
	v, wait := c.view(), c.usualLook()*5/4+quickLook
	held := len(c.sessions)
	c.mu.Unlock()
	if held == 0 || len(v.sharing()) == 0 {
		return nil
	}
	c.leave <- struct{}{}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case err := <-c.fatal:
		return err
	case <-timer.C:
		return nil
	}
}

// errDuplicateWorker tells that another process uses this worker's name.
var errDuplicateWorker = errors.New("another process uses the same worker id; give each its own (SLUICE_WORKER_ID)")

// open finds everything in order, or says what is not.
func (c *Consumer) open(ctx context.Context) error {
	if err := c.table.ensure(ctx, c.cfg.CreateTable); err != nil {
		return err
	}
	if err := c.list(ctx); err != nil {
		return err
	}
	if err := c.begun(ctx); err != nil {
		return err
	}
	replaces, err := c.alone(ctx)
	if err != nil {
		return err
	}
	if err := c.table.beat(ctx, workerRow{ID: c.cfg.Worker, Nonce: c.nonce}, replaces, 0, c.now()); err != nil {
		if errors.Is(err, protocol.ErrRefused) {
			return errDuplicateWorker
		}
		return err
	}
	return c.look(ctx)
}

// alone makes sure that no other process lives under this worker's name, and gives the nonce of one that died.
func (c *Consumer) alone(ctx context.Context) (replaces string, err error) {
	seen, ok, err := c.table.worker(ctx, c.cfg.Worker)
	if err != nil || !ok {
		return "", err
	}
	c.cfg.Log.Info("this worker's name is in the table; looking whether its heart beats", "worker", c.cfg.Worker)
	if err := sleep(ctx, c.cfg.Failover); err != nil {
		return "", err
	}
	again, ok, err := c.table.worker(ctx, c.cfg.Worker)
	if err != nil || !ok {
		return "", err
	}
	if again.Heartbeat != seen.Heartbeat {
		return "", errDuplicateWorker
	}
	return again.Nonce, nil
}

// beat shows the others that this worker lives.
func (c *Consumer) beat(ctx context.Context) error {
	c.mu.Lock()
	row := workerRow{ID: c.cfg.Worker, Nonce: c.nonce, Draining: c.draining}
	held := len(c.sessions)
	c.mu.Unlock()
	// One that hangs must not keep the next from being in time.
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Failover/3)
	defer cancel()
	err := c.table.beat(ctx, row, "", held, c.now())
	if errors.Is(err, protocol.ErrRefused) {
		return errDuplicateWorker
	}
	return err
}

// look refreshes this worker's view of the table, publishes what the dead left, and hands over what is too much.
func (c *Consumer) look(ctx context.Context) error {
	begun := c.now()
	rows, workers, err := c.table.scan(ctx)
	if err != nil {
		return err
	}
	now := c.now()
	c.mu.Lock()
	watched := c.watching()
	beats := map[string]heartbeat{}
	for id, row := range workers {
		beats[id] = heartbeat{row, now}
		if old, ok := c.workers[id]; ok && watched && old.row.Heartbeat == row.Heartbeat && old.row.Nonce == row.Nonce {
			beats[id] = heartbeat{row, old.moved}
		}
	}
	c.rows, c.workers, c.looked, c.lookTook = rows, beats, now, now.Sub(begun)
	owners := make(map[string]string, len(rows))
	for id, l := range rows {
		if !l.Finished {
			owners[id] = l.Owner
		}
	}
	c.observe.Owners(owners)
	v := c.view()
	switch {
	case !v.changing():
		c.changing = time.Time{}
	case c.changing.IsZero():
		c.changing = now
	}
	for _, s := range c.listed {
		if !v.free(s.ID) {
			delete(c.free, s.ID)
		} else if _, ok := c.free[s.ID]; !ok {
			c.free[s.ID] = now
		}
	}
	readable, _ := v.readable()
	c.observe.Readable(readable)
	var giveBack *Session
	if !c.draining && !c.handingOver() {
		giveBack = c.sessions[v.shouldRelease()]
	}
	if giveBack != nil {
		c.given[giveBack.Shard()] = now
	}
	c.mu.Unlock()

	if giveBack != nil {
		c.cfg.Log.Info("hand over", "shard", giveBack.Shard())
		giveBack.spare.Store(true)
		giveBack.stop()
	}
	return c.publishLeft(ctx, &v)
}

// handingOver tells whether a session is on its way out already.
func (c *Consumer) handingOver() bool {
	for _, s := range c.sessions {
		select {
		case <-s.stopping:
			return true
		default:
		}
	}
	return false
}

// publishLeft finishes what the last holders of finished shards committed and did not publish; nobody ever takes
// these shards again.
func (c *Consumer) publishLeft(ctx context.Context, v *view) error {
	var errs []error // with the next look it is tried again
	for id, l := range v.leases {
		if l.Finished && l.Pending != nil && !v.mine[id] && v.free(id) {
			errs = append(errs, c.finishLeft(ctx, id))
		}
	}
	return errors.Join(errs...)
}

// finishLeft makes the calls that are left of a finished shard's last commit, until one of them gets nowhere.
func (c *Consumer) finishLeft(ctx context.Context, shard string) error {
	l, err := c.table.read(ctx, shard)
	if err != nil || l == nil || l.Pending == nil {
		return err
	}
	for h := protocol.Left(l, c.names); !h.Resting(); {
		call := h.Next()
		a := c.call(ctx, call, nil)
		if h.Done(a); a.Err != nil && h.Step() == call.Step {
			return a.Err
		}
	}
	return nil
}

// watching tells whether this worker has seen what the others do of late. Who has not looked for a while cannot tell that
// they are dead: after an outage of the table, all get a failover time to show that they live. The caller holds mu.
func (c *Consumer) watching() bool {
	return c.now().Sub(c.looked) < max(c.cfg.Failover/2, 2*(c.usualLook()+c.lookTook)) // to read a large table takes its time
}

// dead looks once more whether a worker's heart has stood still, right before a shard is taken from it.
func (c *Consumer) dead(ctx context.Context, worker string) (bool, error) {
	row, ok, err := c.table.worker(ctx, worker)
	if err != nil || !ok {
		return err == nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.workers[worker]; ok && known.row.Heartbeat == row.Heartbeat && known.row.Nonce == row.Nonce {
		return true, nil
	}
	c.workers[worker] = heartbeat{row, c.now()}
	return false, nil
}

// view is this worker's view, for one decision. The caller holds mu.
func (c *Consumer) view() view {
	now := c.now()
	v := view{me: c.cfg.Worker, maxLeases: c.cfg.MaxLeases, failover: c.cfg.Failover, listed: c.listed, leases: maps.Clone(c.rows),
		mine: map[string]bool{}, alive: map[string]bool{c.cfg.Worker: true}, leaving: map[string]bool{}}
	for id := range c.sessions {
		v.mine[id] = true
	}
	v.leaving[v.me] = c.draining
	for id, w := range c.workers {
		if id != v.me && (!c.watching() || now.Sub(w.moved) < c.cfg.Failover) {
			v.alive[id] = true
			v.leaving[id] = w.row.Draining
		}
	}
	v.unowned = func(shard string) time.Duration {
		since, ok := c.free[shard]
		if !ok {
			return 0
		}
		return now.Sub(since)
	}
	v.gave = func(shard string) bool { at, ok := c.given[shard]; return ok && now.Sub(at) < c.cfg.Failover }
	return v
}

// Leads tells whether this worker is the one of the group that does what is to be done once for all of them. Every worker
// finds that out by itself, from the heartbeats that it sees: for a failover time after a worker came, died or was paused, two
// may lead, or none. So what a leader does must be safe to be done twice.
func (c *Consumer) Leads() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.view()
	return !c.looked.IsZero() && v.leads()
}

// list refreshes the listing of the stream's shards. An empty one is not believed.
func (c *Consumer) list(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var found []protocol.Shard
	in := &kinesis.ListShardsInput{StreamName: c.streamID().name, StreamARN: c.cfg.arn()}
	for {
		out, err := c.raw.ListShards(ctx, in)
		var missing *types.ResourceNotFoundException
		if errors.As(err, &missing) {
			return fmt.Errorf("stream %s does not exist in region %s; check SLUICE_STREAM and AWS_REGION", c.cfg.Stream, c.region())
		}
		if err != nil {
			return fmt.Errorf("list the shards of stream %s: %w", c.cfg.Stream, err)
		}
		for _, s := range out.Shards {
			info := protocol.Shard{ID: aws.ToString(s.ShardId)}
			for _, p := range []*string{s.ParentShardId, s.AdjacentParentShardId} {
				if aws.ToString(p) != "" {
					info.Parents = append(info.Parents, *p)
				}
			}
			found = append(found, info)
		}
		if out.NextToken == nil {
			break
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken, StreamARN: c.cfg.arn()}
	}
	if len(found) == 0 {
		return fmt.Errorf("stream %s lists no shards yet", c.cfg.Stream)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listed = found
	return nil
}

// listing begins a round of the event loop, which then asks for the lease of each shard that it has not. What it may have is
// found here, once for all of them: a round comes many times in a second.
func (c *Consumer) listing() []types.Shard {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.view()
	c.wanted = v.toTake()
	return libraryShards(c.listed)
}

func (c Config) arn() *string {
	if c.StreamARN == "" {
		return nil
	}
	return &c.StreamARN
}

func (c *Consumer) streamID() streamID {
	if c.cfg.StreamARN != "" {
		return streamID{arn: &c.cfg.StreamARN}
	}
	return streamID{name: &c.cfg.Stream}
}

func (c *Consumer) region() string { return c.raw.Options().Region }

// fail stops the consumer with the first of its faults.
func (c *Consumer) fail(err error) {
	select {
	case c.fatal <- err:
	default:
	}
}

// drain asks for every shard back and takes no more.
func (c *Consumer) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	for _, s := range c.sessions {
		s.stop()
	}
}

func millis(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
