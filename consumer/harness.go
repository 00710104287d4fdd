package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go/middleware"
	"github.com/vmware/vmware-go-kcl-v2/clientlibrary/checkpoint"
	kclconfig "github.com/vmware/vmware-go-kcl-v2/clientlibrary/config"
	"github.com/vmware/vmware-go-kcl-v2/clientlibrary/interfaces"
	"github.com/vmware/vmware-go-kcl-v2/clientlibrary/partition"
	"github.com/vmware/vmware-go-kcl-v2/clientlibrary/worker"
	"github.com/vmware/vmware-go-kcl-v2/logger"

	"github.com/sluice-etl/sluice/consumer/protocol"
)

// Runner is an event loop: it finds shards, asks for their leases, and polls those that it gets.
type Runner interface {
	Start() error
	Stop() // and wait until nothing of it runs
}

// The Kinesis Client Library for Go runs the event loop. This file is all that touches it. It has three openings,
// and we stand in each:
//
//   - its Checkpointer is ours (leases below): it decides by our plan, and writes to our table with fences. What the
//     library would write on its own is refused or does nothing.
//   - its Kinesis client is a real one with a middleware before it (answer below), which answers ListShards from our
//     listing, and reads through our reader. So the library meets neither errors that end its consumer, nor expired
//     iterators, nor records of which it makes something on its own.
//   - its record processor is a pair of channels (processor below).
type kclRunner struct{ worker *worker.Worker }

func newRunner(c *Consumer) Runner {
	// The library's own default constructor takes credentials to make clients of its own; it gets none.
	cfg := kclconfig.NewKinesisClientLibConfigWithCredentials(c.cfg.App, c.cfg.Stream, c.region(), c.cfg.Worker, nil, nil).
		WithMaxRecords(10_000). // the most that Kinesis gives
		WithMaxLeasesForWorker(math.MaxInt32).
		WithShardSyncIntervalMillis(80). // answered from memory; one lease is taken in each round
		WithIdleTimeBetweenReadsInMillis(500).
		WithCallProcessRecordsEvenForEmptyRecordList(true).
		WithLogger(kclLogger{c.cfg.Log})
	client := kinesis.New(c.raw.Options(), func(o *kinesis.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("sluice", c.answer), middleware.Before)
		})
	})
	return kclRunner{worker.NewWorker(processors{c}, cfg).WithKinesis(client).WithCheckpointer(leases{c})}
}

func (r kclRunner) Start() error { return r.worker.Start() }
func (r kclRunner) Stop()        { r.worker.Shutdown() }

// answer stands between the library and Kinesis.
func (c *Consumer) answer(ctx context.Context, in middleware.InitializeInput, _ middleware.InitializeHandler) (out middleware.InitializeOutput, _ middleware.Metadata, err error) {
	switch in := in.Parameters.(type) {
	case *kinesis.ListShardsInput:
		out.Result = &kinesis.ListShardsOutput{Shards: c.listing()}
	case *kinesis.GetShardIteratorInput:
		// The session knows the position; the shard's id serves as the iterator.
		out.Result = &kinesis.GetShardIteratorOutput{ShardIterator: in.ShardId}
	case *kinesis.GetRecordsInput:
		out.Result, err = c.getRecords(in)
	default:
		err = fmt.Errorf("the Kinesis client library asked for %T, which it has no business to", in)
	}
	return out, middleware.Metadata{}, err
}

// getRecords reads on in a shard, with the data marked against the library's de-aggregation. It fails only when the
// session is over, which ends the library's consumer of this shard.
func (c *Consumer) getRecords(in *kinesis.GetRecordsInput) (*kinesis.GetRecordsOutput, error) {
	shard := aws.ToString(in.ShardIterator)
	s := c.session(shard)
	if s == nil || s.over() {
		return nil, errEnded
	}
	out, err := s.reader.next(s.ctx, in.Limit)
	if err != nil {
		return nil, errEnded
	}
	markRecords(out.Records)
	answer := &kinesis.GetRecordsOutput{Records: out.Records, MillisBehindLatest: out.MillisBehindLatest}
	if out.NextShardIterator != nil {
		answer.NextShardIterator = in.ShardIterator
	}
	return answer, nil
}

// leases is the library's Checkpointer.
type leases struct{ c *Consumer }

func (leases) Init() error { return nil }

// FetchCheckpoint tells the library where a shard is; it skips those at the end. The event loop calls it right
// before it asks for a lease, and nobody else does so for a shard without a session: see Consumer.arm.
func (l leases) FetchCheckpoint(status *partition.ShardStatus) error {
	row := l.c.arm(status.ID)
	switch {
	case row == nil:
		return checkpoint.ErrSequenceIDNotFound
	case row.Finished:
		status.SetCheckpoint(checkpoint.ShardEnd)
		return nil
	}
	status.SetCheckpoint(row.Checkpoint) // an empty one, too: a shard's end is taken back where its first commit is given up
	if row.Checkpoint == "" {
		return checkpoint.ErrSequenceIDNotFound
	}
	return nil
}

// GetLease takes a shard when the event loop asks for it. Renewals, which the library asks for by the same call, are
// always granted: the worker's own heartbeat keeps its leases, and where a session is over, getRecords says so.
func (l leases) GetLease(status *partition.ShardStatus, me string) error {
	if status.GetLeaseOwner() == me {
		return nil
	}
	if err := l.c.acquire(status.ID); err != nil {
		if errors.Is(err, errNotOurs) {
			return checkpoint.ErrLeaseNotAcquired{}
		}
		return err
	}
	status.SetLeaseOwner(me)
	return nil
}

// RemoveLeaseOwner is called at the end of the library's consumer of a shard, whatever ended it.
func (l leases) RemoveLeaseOwner(shard string) error {
	l.c.drop(shard)
	return nil
}

// RemoveLeaseInfo would forget a shard that one listing does not show; rows go only when their shard is read to the
// end and left the stream (see Consumer.tidy).
func (leases) RemoveLeaseInfo(string) error { return nil }

// CheckpointSequence is never needed: positions move by Session.Commit alone.
func (leases) CheckpointSequence(*partition.ShardStatus) error {
	return errors.New("positions move by commits alone")
}

func (leases) GetLeaseOwner(string) (string, error) { return "", checkpoint.ErrShardNotAssigned }

func (leases) ListActiveWorkers(map[string]*partition.ShardStatus) (map[string][]*partition.ShardStatus, error) {
	return nil, errors.New("leases are never stolen")
}

func (leases) ClaimShard(*partition.ShardStatus, string) error {
	return errors.New("leases are never stolen")
}

// processors makes a processor for each lease.
type processors struct{ c *Consumer }

func (p processors) CreateProcessor() interfaces.IRecordProcessor { return &processor{c: p.c} }

// processor hands what the library reads to the session's goroutine.
type processor struct {
	c *Consumer
	s *Session
}

func (p *processor) Initialize(in *interfaces.InitializationInput) {
	p.s = p.c.session(in.ShardId)
	if p.s != nil {
		p.c.begin(p.s)
	}
}

func (p *processor) ProcessRecords(in *interfaces.ProcessRecordsInput) {
	if p.s == nil {
		return
	}
	p.c.observe.lag(p.s.Shard(), in.MillisBehindLatest)
	p.s.deliver(Fetch{Records: newRecords(in.Records), BehindLatest: millis(in.MillisBehindLatest)})
}

func (p *processor) Shutdown(in *interfaces.ShutdownInput) {
	if p.s == nil {
		return
	}
	if in.ShutdownReason == interfaces.TERMINATE {
		p.s.deliver(Fetch{End: true})
	} else {
		p.s.stop()
	}
	<-p.s.done
}

// libraryShards converts a listing to what the library expects. It reads the parent to wait for it, and panics on missing
// ranges; waiting for parents is ours to do (see view.ready).
func libraryShards(listed []protocol.Shard) []types.Shard {
	out := make([]types.Shard, len(listed))
	for i, s := range listed {
		out[i] = types.Shard{ShardId: aws.String(s.ID), SequenceNumberRange: &types.SequenceNumberRange{StartingSequenceNumber: aws.String("0")}}
	}
	return out
}

// kclLogger takes the library's log lines. Their news is told by our own lines; so all but errors are for debugging.
type kclLogger struct{ log *slog.Logger }

func (l kclLogger) Debugf(string, ...any) {} // one for each read
func (l kclLogger) Infof(format string, args ...any) {
	l.log.Debug("kcl: " + fmt.Sprintf(format, args...))
}
func (l kclLogger) Warnf(format string, args ...any) {
	l.log.Debug("kcl: " + fmt.Sprintf(format, args...))
}
func (l kclLogger) Errorf(format string, args ...any) {
	l.log.Debug("kcl: " + fmt.Sprintf(format, args...))
}
func (l kclLogger) Fatalf(format string, args ...any) {
	l.log.Error("kcl: " + fmt.Sprintf(format, args...))
}
func (l kclLogger) Panicf(format string, args ...any) {
	l.log.Error("kcl: " + fmt.Sprintf(format, args...))
}
func (l kclLogger) WithFields(logger.Fields) logger.Logger { return l }
