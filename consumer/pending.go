package consumer

import (
	"context"
	"errors"
	"fmt"

	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sluice-etl/sluice/consumer/protocol"
)

// PendingReader reads from the lease table which commits may have files that are not visible yet. It changes nothing, and
// is safe for concurrent use.
type PendingReader struct{ table *table }

// PendingReader makes the reader of a lease table.
func (c Clients) PendingReader(tableName string) PendingReader {
	return PendingReader{&table{client: c.DynamoDB, name: tableName}}
}

// Pending lists such commits of all shards, as they were a moment ago.
func (r PendingReader) Pending(ctx context.Context) ([]*protocol.Commit, error) {
	leases, _, err := r.table.scan(ctx)
	var missing *ddbtypes.ResourceNotFoundException
	if errors.As(err, &missing) {
		return nil, fmt.Errorf("there is no lease table %s; correct SLUICE_LEASE_TABLE, or SLUICE_APP which names it: %w", r.table.name, err)
	}
	if err != nil {
		return nil, err
	}
	var pending []*protocol.Commit
	for _, l := range leases {
		if l.Pending != nil {
			pending = append(pending, l.Pending)
		}
	}
	return pending, nil
}

// PendingOf gives such a commit of one shard, as it is now; nil where there is none.
func (r PendingReader) PendingOf(ctx context.Context, shard string) (*protocol.Commit, error) {
	l, err := r.table.read(ctx, shard)
	if err != nil || l == nil {
		return nil, err
	}
	return l.Pending, nil
}
