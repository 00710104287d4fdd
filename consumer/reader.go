package consumer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/sluice-etl/sluice/consumer/protocol"
)

// reader reads one shard from a position on. It outlives everything that Kinesis answers: errors are tried again,
// expired iterators are replaced by one after the last record that was read.
type reader struct {
	client   *kinesis.Client
	stream   streamID
	shard    string
	start    string // where to begin while nothing was read
	last     string // the last sequence number that was read; empty: none
	iterator *string
}

// streamID names the stream in requests: by ARN where one is known.
type streamID struct{ name, arn *string }

func newReader(client *kinesis.Client, stream streamID, l *protocol.Lease) *reader {
	return &reader{client: client, stream: stream, shard: l.Shard, start: l.Start, last: l.Checkpoint}
}

// next gives the records after those it gave before. It returns an error only when the context has ended. retrying
// is told of every failure.
func (r *reader) next(ctx context.Context, limit *int32, retrying func(error)) (*kinesis.GetRecordsOutput, error) {
	for wait := firstRetry; ; wait = min(2*wait, lastReadRetry) {
		out, err := r.read(ctx, limit)
		if err == nil {
			return out, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var expired *types.ExpiredIteratorException
		if errors.As(err, &expired) {
			r.iterator = nil
			continue
		}
		retrying(err)
		if err := sleep(ctx, wait/2+rand.N(wait/2)); err != nil {
			return nil, err
		}
	}
}

// A shard's limits refill every second, so that there is no use in waiting for long.
const lastReadRetry = 5 * time.Second

// read makes one attempt.
func (r *reader) read(ctx context.Context, limit *int32) (*kinesis.GetRecordsOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if r.iterator == nil {
		if err := r.seek(ctx); err != nil {
			return nil, err
		}
	}
	out, err := r.client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: r.iterator, StreamARN: r.stream.arn, Limit: limit})
	if err != nil {
		return nil, fmt.Errorf("read shard %s: %w", r.shard, err)
	}
	// Kinesis may deliver a record again.
	fresh := out.Records[:0]
	for _, record := range out.Records {
		if seq := aws.ToString(record.SequenceNumber); r.last == "" || after(seq, r.last) {
			r.last = seq
			fresh = append(fresh, record)
		}
	}
	out.Records = fresh
	r.iterator = out.NextShardIterator
	if out.MillisBehindLatest == nil {
		out.MillisBehindLatest = aws.Int64(0)
	}
	return out, nil
}

const readTimeout = 30 * time.Second

// seek gets an iterator after the last record, or at the start.
func (r *reader) seek(ctx context.Context) error {
	in := &kinesis.GetShardIteratorInput{StreamName: r.stream.name, StreamARN: r.stream.arn, ShardId: &r.shard}
	if r.last != "" {
		in.ShardIteratorType, in.StartingSequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, &r.last
	} else if at, ok := parseStart(r.start); ok {
		in.ShardIteratorType, in.Timestamp = types.ShardIteratorTypeAtTimestamp, &at
	} else {
		in.ShardIteratorType = types.ShardIteratorTypeTrimHorizon
	}
	out, err := r.client.GetShardIterator(ctx, in)
	if err != nil {
		return fmt.Errorf("find the position in shard %s: %w", r.shard, err)
	}
	r.iterator = out.ShardIterator
	return nil
}

// A start is written as TRIM_HORIZON, or as AT_TIMESTAMP: and milliseconds. LATEST is never written: it is resolved
// to the time at which it was first asked for, so that a crash before the first commit loses nothing.
const (
	startOldest = "TRIM_HORIZON"
	startAt     = "AT_TIMESTAMP:"
)

func formatStart(at time.Time) string { return startAt + strconv.FormatInt(at.UnixMilli(), 10) }

func parseStart(s string) (at time.Time, ok bool) {
	s, ok = strings.CutPrefix(s, startAt)
	ms, err := strconv.ParseInt(s, 10, 64)
	return time.UnixMilli(ms), ok && err == nil
}
