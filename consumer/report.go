package consumer

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// ShardReport is what the table and the stream tell of a shard.
type ShardReport struct {
	Shard      string    `json:"shard"`
	Owner      string    `json:"owner,omitempty"`
	Epoch      int64     `json:"epoch"`
	Commit     int64     `json:"commit"`
	Checkpoint string    `json:"checkpoint,omitempty"`
	Finished   bool      `json:"finished"`
	Pending    int       `json:"pending_files"`
	Updated    time.Time `json:"updated"`               // by the clock of the worker that wrote
	Lag        *float64  `json:"lag_seconds,omitempty"` // of the committed position; absent where the stream does not tell
}

// Report reads the table, and the stream where a shard is not finished, and changes nothing.
func (c Clients) Report(ctx context.Context, stream, tableName string) ([]ShardReport, error) {
	rows, _, err := (&table{client: c.DynamoDB, name: tableName}).scan(ctx)
	if err != nil {
		return nil, err
	}
	var reports []ShardReport
	for _, l := range rows {
		updated, _ := time.Parse(time.RFC3339, l.Updated) // zero where it is missing
		r := ShardReport{Shard: l.Shard, Owner: l.Owner, Epoch: l.Epoch, Commit: l.CommitNo, Checkpoint: l.Checkpoint,
			Finished: l.Finished, Updated: updated}
		if l.Pending != nil {
			r.Pending = len(l.Pending.Files)
		}
		if !l.Finished {
			// The position is asked for with a read of one record; a stream that does not answer leaves the lag out.
			reader := newReader(c.Kinesis, streamID{name: &stream}, l, time.Now, observer{nobody{}, slog.New(slog.DiscardHandler)})
			if out, err := reader.read(ctx, aws.Int32(1)); err == nil {
				r.Lag = aws.Float64(millis(*out.MillisBehindLatest).Seconds())
			}
		}
		reports = append(reports, r)
	}
	slices.SortFunc(reports, func(a, b ShardReport) int { return cmp.Compare(a.Shard, b.Shard) })
	return reports, nil
}

// Document gives the document that the workers have agreed on under a name (see Session.Agree), or an empty string, and
// changes nothing.
func (c Clients) Document(ctx context.Context, tableName, name string) (string, error) {
	return (&table{client: c.DynamoDB, name: tableName}).agreed(ctx, "_"+name)
}
