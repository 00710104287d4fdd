package kcltest_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/sluice-etl/sluice/consumer/kcltest"
)

// BenchmarkPutGet puts and reads records of 340 bytes through the SDK, 500 a request and 8 requests a read, and reports the processor time of
// all of it, client and server.
func BenchmarkPutGet(b *testing.B) {
	const size, perRequest, requests = 340, 500, 8
	ctx := context.Background()
	c := client(start(b, kcltest.Options{Dir: b.TempDir()}))
	stream := aws.String("bench")
	if _, err := c.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: stream, ShardCount: aws.Int32(1)}); err != nil {
		b.Fatal(err)
	}
	iterator, err := c.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: stream, ShardId: aws.String("shardId-000000000000"), ShardIteratorType: "LATEST"})
	if err != nil {
		b.Fatal(err)
	}
	next := iterator.ShardIterator
	entries := make([]types.PutRecordsRequestEntry, perRequest)
	for i := range entries {
		data := make([]byte, size)
		for j := range data {
			data[j] = byte(i*7 + j)
		}
		entries[i] = types.PutRecordsRequestEntry{Data: data, PartitionKey: aws.String(fmt.Sprintf("221.233.%d.%d", i/256, i%256))}
	}
	records := 0
	before := processorTime(b)
	for b.Loop() {
		for range requests {
			out, err := c.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: stream, Records: entries})
			if err != nil || *out.FailedRecordCount != 0 {
				b.Fatal(err, out)
			}
		}
		out, err := c.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: next})
		if err != nil || len(out.Records) != perRequest*requests {
			b.Fatal(err, "records short")
		}
		next = out.NextShardIterator
		records += len(out.Records)
	}
	b.ReportMetric(float64(processorTime(b)-before)/float64(records), "cpu-ns/record")
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
