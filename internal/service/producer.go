package service

import (
	"context"
	"fmt"

	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/feed"
)

// Producer makes the producer of a stream, of the kind kinesis or firehose.
func Producer(ctx context.Context, cfg *config.Config, kind, stream string) (feed.Producer, error) {
	if stream == "" {
		return nil, fmt.Errorf("%s: names no stream; want %s:STREAM", kind, kind)
	}
	sdk, err := config.AWS(ctx, cfg, nil)
	if err != nil {
		return nil, err
	}
	if kind == "firehose" {
		return &consumer.Firehose{SDK: sdk, Stream: stream, Endpoint: consumer.FirehoseEndpoint(sdk.Region)}, nil
	}
	return &consumer.Producer{Client: consumer.NewClients(sdk).Kinesis, Stream: stream}, nil
}
