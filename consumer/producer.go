package consumer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// Producer puts records into a stream. It is for one goroutine.
type Producer struct {
	Client *kinesis.Client
	Stream string
	// Acknowledged, if set, is told of every record that the stream has taken, in the order of its answer.
	Acknowledged func(shard, sequenceNumber string, data []byte)
}

// The limits of one PutRecords.
const (
	MaxPutRecords = 500
	MaxPutBytes   = 5 << 20 // data and partition keys together
)

// Put puts at most MaxPutRecords records of at most MaxPutBytes, and tries those again that the stream refuses for
// the moment, until the context ends. Records of one call may change their order when some are refused.
func (p *Producer) Put(ctx context.Context, records []types.PutRecordsRequestEntry) error {
	for wait := firstRetry; len(records) > 0; wait = min(2*wait, lastReadRetry) {
		out, err := p.Client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: &p.Stream, Records: records})
		var missing *types.ResourceNotFoundException
		switch {
		case errors.As(err, &missing):
			return fmt.Errorf("stream %s does not exist", p.Stream)
		case err != nil && ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return fmt.Errorf("put %d records to stream %s: %w", len(records), p.Stream, err)
		}
		var refused []types.PutRecordsRequestEntry
		for i, r := range out.Records {
			if r.ErrorCode != nil {
				refused = append(refused, records[i])
			} else if p.Acknowledged != nil {
				p.Acknowledged(aws.ToString(r.ShardId), aws.ToString(r.SequenceNumber), records[i].Data)
			}
		}
		if records = refused; len(records) == 0 {
			return nil
		}
		if err := sleep(ctx, wait/2+rand.N(wait/2)); err != nil {
			return err
		}
	}
	return nil
}

// CreateStream makes a stream and waits until it can be used. A stream that exists is left as it is.
func CreateStream(ctx context.Context, client *kinesis.Client, stream string, shards int32) error {
	_, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: &stream, ShardCount: &shards})
	var exists *types.ResourceInUseException
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("create stream %s: %w", stream, err)
	}
	waiter := kinesis.NewStreamExistsWaiter(client, func(o *kinesis.StreamExistsWaiterOptions) { o.MinDelay = time.Second })
	return waiter.Wait(ctx, &kinesis.DescribeStreamInput{StreamName: &stream}, 2*time.Minute)
}
