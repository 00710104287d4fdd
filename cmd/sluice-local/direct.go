package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/sluice-etl/sluice/cmd/sluice-local/s3gw"
	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/internal/config"
)

// endpoint is that of Direct PUT, as a producer has it: of this command, which is one like any other.
type endpoint struct {
	stream  string
	key     credentials.StaticCredentialsProvider
	address chan string // is sent once, when the service listens
}

// newEndpoint writes the file of access keys, with one that is made anew in each run.
func newEndpoint(cfg *config.Config) (*endpoint, error) {
	const id = "LOCAL"
	secret := rand.Text()
	if err := os.MkdirAll(filepath.Dir(cfg.IntakeKeysFile), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(cfg.IntakeKeysFile, fmt.Appendln(nil, id, secret), 0o600); err != nil {
		return nil, err
	}
	return &endpoint{cfg.IntakeStream, credentials.NewStaticCredentialsProvider(id, secret, ""), make(chan string, 1)}, nil
}

// producer waits for the endpoint, or for the context's end. What the ids of records tell is where these are in the stream.
func (e *endpoint) producer(ctx context.Context, acknowledged func([]consumer.Taken)) *consumer.Firehose {
	f := &consumer.Firehose{SDK: aws.Config{Region: s3gw.Region, Credentials: e.key}, Stream: e.stream}
	select {
	case address := <-e.address:
		f.Endpoint = "http://" + address
	case <-ctx.Done():
	}
	f.Acknowledged = func(receipts []consumer.Receipt) {
		taken := make([]consumer.Taken, len(receipts))
		for i, r := range receipts {
			shard, sequence, _ := strings.Cut(r.ID, ":")
			taken[i] = consumer.Taken{Shard: shard, SequenceNumber: sequence, Data: r.Data}
		}
		acknowledged(taken)
	}
	return f
}
