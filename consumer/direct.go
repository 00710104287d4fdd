package consumer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// Direct puts records into a stream for somebody who waits for the answer and puts again what was not taken. It is safe for
// concurrent use.
type Direct struct {
	Client *kinesis.Client
	Stream string
}

// insist is how long Direct tries again what the stream refuses for the moment.
const insist = 2 * time.Second

// Put puts at most MaxPutRecords records of at most MaxPutBytes, and gives an id for each that the stream has, its shard and
// its sequence number there with a colon between, and an empty one for each of the others. The error tells why there are
// such.
//
// Only what the stream says it has not taken is tried again. Where it does not answer, nobody knows, and to put again may
// put twice; that is left to whoever knows what the records are.
func (d *Direct) Put(ctx context.Context, data [][]byte) (ids []string, err error) {
	ids = make([]string, len(data))
	records := make([]types.PutRecordsRequestEntry, len(data))
	places := make([]int, len(data)) // of the records, in data
	for i := range data {
		key := strconv.FormatUint(rand.Uint64(), 36)
		records[i], places[i] = types.PutRecordsRequestEntry{PartitionKey: &key, Data: data[i]}, i
	}
	last := time.Now().Add(insist)
	for wait := firstRetry; ; wait *= 2 {
		out, err := d.Client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: &d.Stream, Records: records},
			func(o *kinesis.Options) { o.Retryer = aws.NopRetryer{} })
		var throttled *types.ProvisionedThroughputExceededException
		switch {
		case errors.As(err, &throttled):
		case err != nil:
			return ids, fmt.Errorf("put %d records to stream %s: %w", len(records), d.Stream, err)
		default:
			if records, places, err = d.sort(out, records, places, ids); err != nil || len(records) == 0 {
				return ids, err
			}
			err = fmt.Errorf("put to stream %s: %d of %d records are refused, since their shards are full; split these", d.Stream, len(records), len(data))
		}
		if time.Now().Add(wait).After(last) || sleep(ctx, wait/2+rand.N(wait/2)) != nil {
			return ids, err
		}
	}
}

// sort notes the ids of the records that the stream has taken, and gives those that their shards had no room for. Whatever
// else went wrong with a record is an error.
func (d *Direct) sort(out *kinesis.PutRecordsOutput, records []types.PutRecordsRequestEntry, places []int, ids []string) (
	refused []types.PutRecordsRequestEntry, at []int, err error) {
	var throttled *types.ProvisionedThroughputExceededException
	for i, r := range out.Records {
		switch code := aws.ToString(r.ErrorCode); code {
		case "":
			ids[places[i]] = aws.ToString(r.ShardId) + ":" + aws.ToString(r.SequenceNumber)
		case throttled.ErrorCode():
			refused, at = append(refused, records[i]), append(at, places[i])
		default:
			err = fmt.Errorf("put to stream %s: a record is refused: %s: %s", d.Stream, code, aws.ToString(r.ErrorMessage))
		}
	}
	return refused, at, err
}
