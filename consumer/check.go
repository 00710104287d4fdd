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

// Check looks at the stream and the lease table, and changes nothing. Its error says what a Consumer could not use.
// A missing table is in order where the consumer may create it.
func Check(ctx context.Context, k *kinesis.Client, d *dynamodb.Client, stream, tableName string, createTable bool) error {
	var errs []error
	if _, err := k.ListShards(ctx, &kinesis.ListShardsInput{StreamName: &stream, MaxResults: aws.Int32(1)}); err != nil {
		errs = append(errs, fmt.Errorf("stream %s: %w", stream, err))
	}
	out, err := d.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &tableName})
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
