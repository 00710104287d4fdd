package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// Clients are those of the services that a Consumer talks to.
type Clients struct {
	Kinesis  *kinesis.Client
	DynamoDB *dynamodb.Client
}

// NewClients makes the clients. Each attempt of a call must end in time: one that hangs holds up its shard.
func NewClients(sdk aws.Config) Clients {
	return Clients{kinesis.NewFromConfig(sdk), dynamodb.NewFromConfig(sdk)}
}

// Check looks at the stream and the lease table, and changes nothing. Its error says what a Consumer could not use.
// A missing table is in order where the consumer may create it.
func (c Clients) Check(ctx context.Context, stream, tableName string, createTable bool) error {
	var errs []error
	if _, err := c.Kinesis.ListShards(ctx, &kinesis.ListShardsInput{StreamName: &stream, MaxResults: aws.Int32(1)}); err != nil {
		errs = append(errs, fmt.Errorf("stream %s: %w", stream, err))
	}
	out, err := c.DynamoDB.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &tableName})
	var missing *ddbtypes.ResourceNotFoundException
	switch {
	case errors.As(err, &missing) && createTable:
	case err != nil:
		errs = append(errs, fmt.Errorf("lease table %s: %w", tableName, err))
	default:
		errs = append(errs, leaseTable(tableName, out.Table.KeySchema))
	}
	return errors.Join(errs...)
}
