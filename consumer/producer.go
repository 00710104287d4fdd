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
	// Acknowledged, if set, is told what the stream has taken, once for each of its answers.
	Acknowledged func([]Taken)
}

// Outgoing is a record that is to be put.
type Outgoing struct {
	PartitionKey string
	Data         []byte
}

// Taken is a record that a stream has taken, and where it is.
type Taken struct {
	Shard, SequenceNumber string
	Data                  []byte
}

// The limits of one PutRecords.
const (
	MaxPutRecords = 500
	MaxPutBytes   = 5 << 20 // data and partition keys together
)

// Put puts at most MaxPutRecords records of at most MaxPutBytes, and tries those again that the stream refuses for
// the moment, until the context ends. Records of one call may change their order when some are refused.
func (p *Producer) Put(ctx context.Context, outgoing []Outgoing) error {
	records := make([]types.PutRecordsRequestEntry, len(outgoing))
	for i := range outgoing {
		records[i] = types.PutRecordsRequestEntry{PartitionKey: &outgoing[i].PartitionKey, Data: outgoing[i].Data}
	}
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
		var taken []Taken
		var refused []types.PutRecordsRequestEntry
		for i, r := range out.Records {
			if r.ErrorCode != nil {
				refused = append(refused, records[i])
			} else {
				taken = append(taken, Taken{aws.ToString(r.ShardId), aws.ToString(r.SequenceNumber), records[i].Data})
			}
		}
		if p.Acknowledged != nil {
			p.Acknowledged(taken)
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
