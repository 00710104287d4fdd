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
// expired iterators are replaced by one at the last record that was read.
//
// Records that are older than the stream's retention are gone, and Kinesis says nothing of it: it reads on with what it has.
// So an iterator begins at the last record that was read, not after it. If this record does not come, and was old enough to
// be trimmed with others after it, then there may be a gap.
type reader struct {
	client   *kinesis.Client
	stream   streamID
	shard    string
	start    string // where to begin while nothing was read
	last     string // the last sequence number that was read; empty: none
	iterator *string

	until   time.Time // what arrived before is read; zero: not known
	sought  bool      // the iterator began at last, and nothing came yet
	horizon bool      // the next iterator begins at the oldest record
	empty   int       // answers without a record in a row, of a position that is older than the retention
	now     func() time.Time
	heard   readerObserver
}

// readerObserver hears of what a reader outlives.
type readerObserver interface {
	retrying(shard, what string, err error)
	clear(shard, what string)
	Trimmed(shard, after, before string)
}

// streamID names the stream in requests: by ARN where one is known.
type streamID struct{ name, arn *string }

func newReader(client *kinesis.Client, stream streamID, l *protocol.Lease, now func() time.Time, heard readerObserver) *reader {
	until, _ := time.Parse(time.RFC3339, l.ReadUntil) // zero where it is missing
	return &reader{client: client, stream: stream, shard: l.Shard, start: l.Start, last: l.Checkpoint, until: until, now: now, heard: heard}
}

// next gives the records after those it gave before. It returns an error only when the context has ended.
func (r *reader) next(ctx context.Context, limit *int32) (*kinesis.GetRecordsOutput, error) {
	for wait := firstRetry; ; wait = min(2*wait, lastReadRetry) {
		out, err := r.read(ctx, limit)
		if err == nil {
			r.heard.clear(r.shard, reading)
			return out, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var expired *types.ExpiredIteratorException
		if errors.As(err, &expired) {
			r.iterator = nil
			if wait == firstRetry { // once, at once: another iterator will do
				continue
			}
		}
		r.heard.retrying(r.shard, reading, err)
		if err := sleep(ctx, wait/2+rand.N(wait/2)); err != nil {
			return nil, err
		}
	}
}

// reading is what a reader does.
const reading = "read"

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
	behind := millis(aws.ToInt64(out.MillisBehindLatest))
	out.MillisBehindLatest = aws.Int64(behind.Milliseconds())
	r.iterator = out.NextShardIterator
	r.lookForGap(out.Records, behind)
	// Kinesis may deliver a record again.
	fresh := out.Records[:0]
	for _, record := range out.Records {
		if seq := aws.ToString(record.SequenceNumber); r.last == "" || after(seq, r.last) {
			r.last = seq
			fresh = append(fresh, record)
		}
	}
	out.Records = fresh
	r.until = r.now().Add(-behind)
	return out, nil
}

const readTimeout = 30 * time.Second

const (
	minRetention = 24 * time.Hour // no stream keeps records for less
	nearHorizon  = minRetention - time.Hour
	maxEmpty     = 50 // answers: a position that was trimmed can give nothing for ever
)

// lookForGap looks at what came from where the iterator began. A shard that was read to its end less than the least
// retention ago has lost nothing, even if the last record is gone by now.
func (r *reader) lookForGap(records []types.Record, behind time.Duration) {
	if len(records) == 0 {
		if r.sought && behind >= minRetention {
			r.empty++
		}
		if r.empty >= maxEmpty && r.iterator != nil {
			r.iterator, r.horizon, r.empty = nil, true, 0
		}
		return
	}
	r.empty = 0
	if first := aws.ToString(records[0].SequenceNumber); r.sought && after(first, r.last) && r.now().Sub(r.until) >= minRetention {
		r.heard.Trimmed(r.shard, r.last, first)
	}
	r.sought = false
	if behind >= nearHorizon && r.iterator != nil {
		r.iterator = nil // the horizon may pass us between two reads: look each time
	}
}

// seek gets an iterator at the last record, or at the start.
func (r *reader) seek(ctx context.Context) error {
	in := &kinesis.GetShardIteratorInput{StreamName: r.stream.name, StreamARN: r.stream.arn, ShardId: &r.shard}
	if r.last != "" && !r.horizon {
		in.ShardIteratorType, in.StartingSequenceNumber = types.ShardIteratorTypeAtSequenceNumber, &r.last
	} else if r.last != "" {
		in.ShardIteratorType = types.ShardIteratorTypeTrimHorizon
	} else if at, ok := parseStart(r.start); ok {
		in.ShardIteratorType, in.Timestamp = types.ShardIteratorTypeAtTimestamp, &at
	} else {
		in.ShardIteratorType = types.ShardIteratorTypeTrimHorizon
	}
	out, err := r.client.GetShardIterator(ctx, in)
	if err != nil {
		return fmt.Errorf("find the position in shard %s: %w", r.shard, err)
	}
	r.iterator, r.sought, r.horizon = out.ShardIterator, r.last != "", false
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
