package consumer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

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

// NewClients makes the clients. A call of DynamoDB is answered in milliseconds; where it is not, another connection is
// tried soon, since a shard or the sign of life of the whole worker waits for it.
func NewClients(sdk aws.Config) Clients {
	return Clients{kinesis.NewFromConfig(sdk), dynamodb.NewFromConfig(sdk, func(o *dynamodb.Options) {
		o.HTTPClient = impatient{o.HTTPClient, tableTimeout}
	})}
}

// tableTimeout bounds an attempt of a call of DynamoDB.
const tableTimeout = 5 * time.Second

// impatient gives up requests that take too long. The SDK takes the end of a request's context for the caller's wish not
// to go on; so this is an error of its own, after which it tries again.
type impatient struct {
	aws.HTTPClient
	limit time.Duration
}

func (c impatient) Do(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	timer := time.AfterFunc(c.limit, cancel)
	answer, err := c.HTTPClient.Do(r.WithContext(ctx))
	if err != nil {
		cancel()
		if !timer.Stop() && r.Context().Err() == nil {
			return nil, timeoutError{c.limit}
		}
		return nil, err
	}
	answer.Body = &closing{answer.Body, func() { timer.Stop(); cancel() }}
	return answer, nil
}

// closing is a body that ends its request's time when it is closed.
type closing struct {
	io.ReadCloser
	end func()
}

func (c *closing) Close() error {
	defer c.end()
	return c.ReadCloser.Close()
}

// timeoutError is a net.Error, and one that the SDK tries again.
type timeoutError struct{ limit time.Duration }

func (e timeoutError) Error() string { return fmt.Sprintf("no answer after %v", e.limit) }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

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
