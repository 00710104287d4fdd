package world

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/sluice-etl/sluice/internal/e2e/process"
)

// Active waits until the stream has ended its change.
func (w *World) Active(ctx context.Context) error {
	return process.Await(ctx, time.Minute, "the stream is active", nil, func() (bool, error) {
		answer, err := w.Kinesis.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String(Stream)})
		if err != nil {
			return false, err
		}
		return answer.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive, nil
	})
}

// Shards lists all shards of the stream.
func (w *World) Shards(ctx context.Context) ([]types.Shard, error) {
	var shards []types.Shard
	in := &kinesis.ListShardsInput{StreamName: aws.String(Stream)}
	for {
		answer, err := w.Kinesis.ListShards(ctx, in)
		if err != nil {
			return nil, err
		}
		shards = append(shards, answer.Shards...)
		if answer.NextToken == nil {
			return shards, nil
		}
		in = &kinesis.ListShardsInput{NextToken: answer.NextToken}
	}
}

// Open lists the shards that take records, in the order of their hash keys.
func (w *World) Open(ctx context.Context) ([]types.Shard, error) {
	list, err := w.Shards(ctx)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(s types.Shard) bool { return s.SequenceNumberRange.EndingSequenceNumber != nil })
	slices.SortFunc(list, func(a, b types.Shard) int { return firstHash(a).Cmp(firstHash(b)) })
	return list, nil
}

func hash(text *string) *big.Int {
	n, _ := new(big.Int).SetString(aws.ToString(text), 10)
	return cmp.Or(n, new(big.Int))
}

func firstHash(s types.Shard) *big.Int { return hash(s.HashKeyRange.StartingHashKey) }

// errNoShard tells that the stream has not the open shards that a change needs.
var errNoShard = errors.New("there is no such open shard")

// Split divides an open shard, by its place in Open, in the middle, and gives its id.
func (w *World) Split(ctx context.Context, place int) (string, error) {
	list, err := w.Open(ctx)
	if err != nil {
		return "", err
	}
	if place >= len(list) {
		return "", fmt.Errorf("split open shard %d of %d: %w", place, len(list), errNoShard)
	}
	s := list[place]
	middle := new(big.Int).Add(firstHash(s), hash(s.HashKeyRange.EndingHashKey))
	middle.Rsh(middle, 1)
	_, err = w.Kinesis.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: aws.String(Stream), ShardToSplit: s.ShardId, NewStartingHashKey: aws.String(middle.String())})
	return aws.ToString(s.ShardId), err
}

// Merge joins an open shard, by its place in Open, with the next one, and gives the ids of both.
func (w *World) Merge(ctx context.Context, place int) (left, right string, err error) {
	list, err := w.Open(ctx)
	if err != nil {
		return "", "", err
	}
	if place+1 >= len(list) {
		return "", "", fmt.Errorf("merge open shards %d and %d of %d: %w", place, place+1, len(list), errNoShard)
	}
	l, r := list[place].ShardId, list[place+1].ShardId
	_, err = w.Kinesis.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: aws.String(Stream), ShardToMerge: l, AdjacentShardToMerge: r})
	return aws.ToString(l), aws.ToString(r), err
}

// Stored is a record as the stream holds it.
type Stored struct {
	Shard, Seq, Key string
	Data            []byte
}

// Contents reads all that the stream holds, shard by shard, each in its order. Nobody may be writing.
func (w *World) Contents(ctx context.Context) ([]Stored, error) {
	shards, err := w.Shards(ctx)
	if err != nil {
		return nil, err
	}
	var all []Stored
	for _, s := range shards {
		if all, err = w.appendShard(ctx, all, s); err != nil {
			return nil, fmt.Errorf("read %s: %w", aws.ToString(s.ShardId), err)
		}
	}
	return all, nil
}

func (w *World) appendShard(ctx context.Context, all []Stored, s types.Shard) ([]Stored, error) {
	at, err := w.Kinesis.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: aws.String(Stream), ShardId: s.ShardId,
		ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	if err != nil {
		return nil, err
	}
	for iterator := at.ShardIterator; iterator != nil; {
		page, err := w.Kinesis.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator})
		var throttled *types.ProvisionedThroughputExceededException
		if errors.As(err, &throttled) { // five reads a second are allowed
			select {
			case <-time.After(200 * time.Millisecond):
				continue
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		if err != nil {
			return nil, err
		}
		for _, r := range page.Records {
			all = append(all, Stored{aws.ToString(s.ShardId), aws.ToString(r.SequenceNumber), aws.ToString(r.PartitionKey), r.Data})
		}
		if len(page.Records) == 0 && aws.ToInt64(page.MillisBehindLatest) == 0 {
			return all, nil
		}
		iterator = page.NextShardIterator
	}
	return all, nil
}
