package kcltest_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/sluice-etl/sluice/consumer/kcltest"
)

func TestFaultCounting(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault kcltest.Fault
		want  string // of each call: x for one that fails
	}{
		{"the next", kcltest.Fault{}, "x....."},
		{"the third", kcltest.Fault{Nth: 3}, "..x..."},
		{"the second and two more", kcltest.Fault{Nth: 2, Count: 3}, ".xxx.."},
		{"from the third on", kcltest.Fault{Nth: 3, Count: -1}, "..xxxx"},
		{"another operation", kcltest.Fault{Operation: "GetRecords"}, "......"},
		{"those that match", kcltest.Fault{Nth: 2, Match: func(body []byte) bool { return bytes.Contains(body, []byte(`"odd"`)) }}, "...x.."},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := start(t, kcltest.Options{})
			f := newFeed(t, server, 1)
			if c.fault.Operation == "" {
				c.fault.Operation = "PutRecord"
			}
			c.fault.Code = "ProvisionedThroughputExceededException"
			f.put("before Inject, not counted")
			server.Inject(c.fault)
			got := ""
			for i := range 6 {
				_, err := f.PutRecord(f.ctx, &kinesis.PutRecordInput{StreamName: &f.stream, Data: []byte("x"), PartitionKey: aws.String([]string{"even", "odd"}[i%2])})
				got += map[string]string{"": ".", "ProvisionedThroughputExceededException": "x"}[code(err)]
			}
			if got != c.want {
				t.Errorf("calls went %s, want %s", got, c.want)
			}
			if n := server.Calls("PutRecord"); n != 7 {
				t.Errorf("Calls is %d, want 7", n)
			}
		})
	}
}

func TestFaultErrors(t *testing.T) {
	server := start(t, kcltest.Options{})
	f := newFeed(t, server, 1)
	server.Inject(kcltest.Fault{Operation: "PutRecord", Status: 500, Code: "InternalFailure"})
	server.Inject(kcltest.Fault{Operation: "PutRecord", Nth: 2, Status: 503})
	server.Inject(kcltest.Fault{Operation: "PutRecord", Nth: 3, Code: "KMSThrottlingException", Message: "slow down"})
	put := func() error {
		_, err := f.PutRecord(f.ctx, &kinesis.PutRecordInput{StreamName: &f.stream, Data: []byte("x"), PartitionKey: aws.String("k")})
		return err
	}
	f.refused("InternalFailure")(nil, put())
	var response interface{ HTTPStatusCode() int }
	if err := put(); !errors.As(err, &response) || response.HTTPStatusCode() != 503 {
		t.Errorf("got %v, want status 503", err)
	}
	var throttled *types.KMSThrottlingException
	if err := put(); !errors.As(err, &throttled) || throttled.ErrorMessage() != "slow down" {
		t.Errorf("got %v, want KMSThrottlingException: slow down", err)
	}
	server.Inject(kcltest.Fault{Operation: "PutRecord", Count: -1, Status: 500})
	server.ClearFaults()
	f.must(put())
	if got, _ := f.read(f.shards()[0], "TRIM_HORIZON"); len(got) != 1 {
		t.Errorf("%d records are stored; calls that failed must not have been applied", len(got))
	}
}

func TestFaultDropAnswer(t *testing.T) {
	server := start(t, kcltest.Options{})
	f := newFeed(t, server, 1)
	server.Inject(kcltest.Fault{Operation: "PutRecord", DropAnswer: true})
	in := &kinesis.PutRecordInput{StreamName: &f.stream, Data: []byte("x"), PartitionKey: aws.String("k")}
	if _, err := f.PutRecord(f.ctx, in); err == nil || code(err) != "" {
		t.Errorf("got %v, want a broken connection", err)
	}
	if got, _ := f.read(f.shards()[0], "TRIM_HORIZON"); len(got) != 1 {
		t.Errorf("%d records, want the one whose answer was lost", len(got))
	}
	server.Inject(kcltest.Fault{Operation: "PutRecord", DropAnswer: true, Status: 500})
	if _, err := f.PutRecord(f.ctx, in); err == nil || code(err) != "" {
		t.Errorf("got %v, want a broken connection", err)
	}
	if got, _ := f.read(f.shards()[0], "TRIM_HORIZON"); len(got) != 1 {
		t.Errorf("%d records; what was not to be applied was", len(got))
	}
	// The SDK tries again by itself, and so puts twice: this is what a consumer has to live with.
	server.Inject(kcltest.Fault{Operation: "PutRecord", DropAnswer: true})
	_, err := f.PutRecord(f.ctx, in, func(o *kinesis.Options) {
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond })
	})
	f.must(err)
	if got, _ := f.read(f.shards()[0], "TRIM_HORIZON"); len(got) != 3 {
		t.Errorf("%d records, want one more, twice", len(got))
	}
}

func TestFaultDelay(t *testing.T) {
	server := start(t, kcltest.Options{})
	f := newFeed(t, server, 1)
	const delay = 50 * time.Millisecond
	server.Inject(kcltest.Fault{Operation: "ListShards", Delay: delay})
	began := time.Now()
	f.shards()
	if took := time.Since(began); took < delay {
		t.Errorf("took %v, want %v or more", took, delay)
	}
	// A client that gives up does not leave the server waiting: Close, at the end of the test, would take an hour.
	server.Inject(kcltest.Fault{Operation: "ListShards", Delay: time.Hour})
	ctx, cancel := context.WithTimeout(f.ctx, delay)
	defer cancel()
	if _, err := f.ListShards(ctx, &kinesis.ListShardsInput{StreamName: &f.stream}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}

func TestFaultBeforeApply(t *testing.T) {
	server := start(t, kcltest.Options{})
	f := newFeed(t, server, 1)
	iterator := f.iterator(f.shards()[0], "TRIM_HORIZON")
	server.Inject(kcltest.Fault{Operation: "GetRecords", BeforeApply: func() { f.put("put between the call and its effect") }})
	out, err := f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: iterator})
	f.must(err)
	if len(out.Records) != 1 {
		t.Errorf("%d records, want the one put by the hook", len(out.Records))
	}
}

func TestFaultFailRecords(t *testing.T) {
	server := start(t, kcltest.Options{})
	f := newFeed(t, server, 1)
	server.Inject(kcltest.Fault{Operation: "PutRecords", FailRecords: func(i int) bool { return i%2 == 1 }})
	out, err := f.PutRecords(f.ctx, &kinesis.PutRecordsInput{StreamName: &f.stream, Records: entries("a", "b", "c")})
	f.must(err)
	if *out.FailedRecordCount != 1 || out.Records[0].ErrorCode != nil || aws.ToString(out.Records[1].ErrorCode) != "ProvisionedThroughputExceededException" {
		t.Errorf("%d failed: %+v", *out.FailedRecordCount, out.Records)
	}
	if got, _ := f.read(f.shards()[0], "TRIM_HORIZON"); data(got) != "ac" {
		t.Errorf("stored %q, want ac", data(got))
	}
	server.Inject(kcltest.Fault{Operation: "PutRecord", FailRecords: func(int) bool { return true }})
	f.refused("ProvisionedThroughputExceededException")(f.PutRecord(f.ctx, &kinesis.PutRecordInput{StreamName: &f.stream, Data: []byte("x"), PartitionKey: aws.String("k")}))
}

func TestFaultAlterRecords(t *testing.T) {
	server := start(t, kcltest.Options{})
	f := newFeed(t, server, 1)
	f.put("a")
	f.put("b")
	read := func() *kinesis.GetRecordsOutput {
		t.Helper()
		out, err := f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: f.iterator(f.shards()[0], "TRIM_HORIZON")})
		f.must(err)
		return out
	}
	before := read()
	server.Inject(kcltest.Fault{Operation: "GetRecords", AlterRecords: func(a *kcltest.RecordsAnswer) {
		a.Records = slices.Insert(a.Records, 0, a.Records[0]) // the first record twice
		a.MillisBehindLatest = nil
	}})
	out := read()
	if data(out.Records) != "aab" || out.MillisBehindLatest != nil || out.NextShardIterator == nil {
		t.Errorf("read %q, behind %v", data(out.Records), out.MillisBehindLatest)
	}
	if *out.Records[0].SequenceNumber != *before.Records[0].SequenceNumber || !out.Records[0].ApproximateArrivalTimestamp.Equal(*before.Records[0].ApproximateArrivalTimestamp) {
		t.Errorf("what was not altered changed: %+v", out.Records[0])
	}
	server.Inject(kcltest.Fault{Operation: "GetRecords", AlterRecords: func(a *kcltest.RecordsAnswer) {
		a.Records, a.MillisBehindLatest = nil, aws.Int64(60_000)
	}})
	if out := read(); len(out.Records) != 0 || *out.MillisBehindLatest != 60_000 {
		t.Errorf("%d records, behind %d, want none and a minute", len(out.Records), *out.MillisBehindLatest)
	}
	if got := data(read().Records); got != "ab" {
		t.Errorf("afterwards there is %q, want ab", got)
	}
}
