package kcltest_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/sluice-etl/sluice/consumer/kcltest"
)

// newFeed makes a stream on a server.
func newFeed(t *testing.T, server *kcltest.Server, shards int32) *feed {
	t.Helper()
	f := &feed{T: t, Client: client(server), ctx: t.Context(), stream: "stream"}
	f.create(shards)
	return f
}

// clock is a clock that tests move.
type clock struct{ nanoseconds atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanoseconds.Store(time.Date(2025, 5, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) Now() time.Time          { return time.Unix(0, c.nanoseconds.Load()) }
func (c *clock) advance(d time.Duration) { c.nanoseconds.Add(int64(d)) }

func TestStateOutlivesServer(t *testing.T) {
	dir := t.TempDir()
	first, err := kcltest.Start(kcltest.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	f := newFeed(t, first, 1)
	before := f.put("a")
	f.put("b")
	f.split(f.shards()[0])
	child := f.putAt("c", "0")
	iterator := f.iterator(f.shards()[1], "TRIM_HORIZON")
	want := fmt.Sprint(shardTexts(f.shards()))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}

	f.Client = client(start(t, kcltest.Options{Dir: dir}))
	if got := fmt.Sprint(shardTexts(f.shards())); got != want {
		t.Errorf("shards are %s, were %s", got, want)
	}
	if got, next := f.read(f.shards()[0], "TRIM_HORIZON"); data(got) != "ab" || *got[0].SequenceNumber != *before || next != nil {
		t.Errorf("the parent has %q, ended: %v", data(got), next == nil)
	}
	if after := f.putAt("d", "0"); *after <= *child {
		t.Errorf("sequence number %s is not after %s of before", *after, *child)
	}
	out, err := f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: iterator})
	f.must(err)
	if data(out.Records) != "cd" {
		t.Errorf("an iterator of before reads %q, want cd", data(out.Records))
	}
}

func shardTexts(shards []types.Shard) []string {
	var out []string
	for _, s := range shards {
		out = append(out, fmt.Sprint(*s.ShardId, aws.ToString(s.ParentShardId), *s.HashKeyRange.StartingHashKey, *s.HashKeyRange.EndingHashKey,
			*s.SequenceNumberRange.StartingSequenceNumber, aws.ToString(s.SequenceNumberRange.EndingSequenceNumber)))
	}
	return out
}

func TestStartRefuses(t *testing.T) {
	dir := t.TempDir()
	start(t, kcltest.Options{Dir: dir})
	if _, err := kcltest.Start(kcltest.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a folder in use: %v", err)
	}
	for _, addr := range []string{"0.0.0.0:0", "nonsense"} {
		if server, err := kcltest.Start(kcltest.Options{Addr: addr}); err == nil {
			server.Close()
			t.Errorf("it listens on %s", addr)
		}
	}
}

func TestIteratorsExpire(t *testing.T) {
	now := newClock()
	f := newFeed(t, start(t, kcltest.Options{Now: now.Now}), 3)
	iterator := f.iterator(f.shards()[0], "TRIM_HORIZON")
	page, err := f.ListShards(f.ctx, &kinesis.ListShardsInput{StreamName: &f.stream, MaxResults: aws.Int32(1)})
	f.must(err)
	now.advance(5 * time.Minute)
	_, err = f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: iterator})
	f.must(err)
	_, err = f.ListShards(f.ctx, &kinesis.ListShardsInput{NextToken: page.NextToken})
	f.must(err)
	now.advance(time.Millisecond)
	f.refused("ExpiredIteratorException")(f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: iterator}))
	f.refused("ExpiredNextTokenException")(f.ListShards(f.ctx, &kinesis.ListShardsInput{NextToken: page.NextToken}))
}

// Each of the four limits can be had, or not, without the others.
func TestEachReadLimitAlone(t *testing.T) {
	if testing.Short() {
		t.Skip("tens of megabytes for each limit, a request after the other: it runs without -short")
	}
	for name, test := range map[string]struct {
		options      kcltest.Options
		calls, bytes bool // are limited in a second
		records      int  // in the first answer, of 10,500 small ones
		megabytes    int  // in the first answer, of 11
	}{
		"none":            {kcltest.Options{NoRecordLimit: true, NoByteLimit: true}, false, false, 10_500, 11},
		"calls":           {kcltest.Options{NoRecordLimit: true, NoByteLimit: true, ReadCallLimit: true}, true, false, 10_500, 11},
		"bytes":           {kcltest.Options{NoRecordLimit: true, NoByteLimit: true, ReadByteLimit: true}, false, true, 10_500, 11},
		"records at once": {kcltest.Options{NoByteLimit: true}, false, false, 10_000, 11},
		"bytes at once":   {kcltest.Options{NoRecordLimit: true}, false, false, 10_500, 10},
	} {
		t.Run(name, func(t *testing.T) {
			now := newClock()
			test.options.Now = now.Now
			server := start(t, test.options)
			small, big := newFeed(t, server, 1), newFeed(t, start(t, test.options), 1)
			for range 21 {
				lines := make([]string, 500)
				_, err := small.PutRecords(small.ctx, &kinesis.PutRecordsInput{StreamName: &small.stream, Records: entries(lines...)})
				small.must(err)
			}
			for range 11 {
				big.put(strings.Repeat("x", 1<<20-len("key")))
			}
			read := func(f *feed) (int, error) {
				out, err := f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: f.iterator(f.shards()[0], "TRIM_HORIZON")})
				if err != nil {
					return 0, err
				}
				return len(out.Records), nil
			}
			if n, err := read(small); err != nil || n != test.records {
				t.Errorf("%d small records, %v; want %d", n, err, test.records)
			}
			if n, err := read(big); err != nil || n != test.megabytes {
				t.Errorf("%d big records, %v; want %d", n, err, test.megabytes)
			}
			if _, err := read(big); (code(err) == "ProvisionedThroughputExceededException") != test.bytes {
				t.Errorf("after %d MiB: %v", test.megabytes, err)
			}
			var refused error
			for range 5 {
				_, refused = read(small)
			}
			if (code(refused) == "ProvisionedThroughputExceededException") != test.calls {
				t.Errorf("the sixth read in a second: %v", refused)
			}
		})
	}
}

func TestReadLimits(t *testing.T) {
	now := newClock()
	f := newFeed(t, start(t, kcltest.Options{Now: now.Now, ReadCallLimit: true, ReadByteLimit: true}), 2)
	shards := f.shards()
	read := func(i int) error {
		_, err := f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: f.iterator(shards[i], "TRIM_HORIZON")})
		return err
	}
	for range 5 {
		f.must(read(0))
	}
	f.refused("ProvisionedThroughputExceededException")(nil, read(0))
	f.must(read(1)) // each shard has its own limit
	now.advance(200 * time.Millisecond)
	f.must(read(0))
	f.refused("ProvisionedThroughputExceededException")(nil, read(0))

	// Four megabytes in one answer block the shard for two seconds, as ten would for five.
	megabyte := strings.Repeat("x", 1<<20-len("key"))
	_, err := f.PutRecords(f.ctx, &kinesis.PutRecordsInput{StreamName: &f.stream, Records: entries(megabyte, megabyte, megabyte, megabyte)})
	f.must(err)
	now.advance(time.Minute)
	f.must(read(0))
	now.advance(1900 * time.Millisecond)
	f.refused("ProvisionedThroughputExceededException")(nil, read(0))
	now.advance(100 * time.Millisecond)
	out, err := f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: f.iterator(shards[0], "TRIM_HORIZON"), Limit: aws.Int32(1)})
	f.must(err)
	if len(out.Records) != 1 {
		t.Errorf("%d records", len(out.Records))
	}
	now.advance(200 * time.Millisecond)
	f.must(read(0)) // one megabyte was within the limit
}

func TestWriteLimits(t *testing.T) {
	now := newClock()
	f := newFeed(t, start(t, kcltest.Options{Now: now.Now, WriteLimits: true}), 1)
	put := func(data ...string) int32 {
		out, err := f.PutRecords(f.ctx, &kinesis.PutRecordsInput{StreamName: &f.stream, Records: entries(data...)})
		f.must(err)
		failed := int32(0)
		for _, r := range out.Records {
			if r.ErrorCode == nil {
				continue
			}
			failed++
			if *r.ErrorCode != "ProvisionedThroughputExceededException" || r.SequenceNumber != nil || !strings.Contains(*r.ErrorMessage, "shardId-000000000000") {
				t.Errorf("refused as %s %v: %s", *r.ErrorCode, r.SequenceNumber, *r.ErrorMessage)
			}
		}
		if failed != *out.FailedRecordCount {
			t.Errorf("FailedRecordCount is %d of %d", *out.FailedRecordCount, failed)
		}
		return failed
	}
	some := make([]string, 400)
	for i, want := range []int32{0, 0, 200} {
		if failed := put(some...); failed != want {
			t.Errorf("request %d: %d records failed, want %d", i, failed, want)
		}
	}
	f.refused("ProvisionedThroughputExceededException")(f.PutRecord(f.ctx, &kinesis.PutRecordInput{StreamName: &f.stream, Data: []byte("x"), PartitionKey: aws.String("k")}))
	if got, _ := f.read(f.shards()[0], "TRIM_HORIZON"); len(got) != 1000 {
		t.Errorf("%d records are stored, want the 1000 of a second", len(got))
	}
	now.advance(time.Second)
	half := strings.Repeat("x", 500_000)
	if failed := put(half, half, half, "small"); failed != 1 {
		t.Errorf("%d of three half megabytes and a small one failed, want 1", failed)
	}
}

func TestRetentionAndTrim(t *testing.T) {
	now := newClock()
	server := start(t, kcltest.Options{Now: now.Now})
	f := newFeed(t, server, 1)
	shard := f.shards()[0]
	f.put("a")
	iterator := f.iterator(shard, "TRIM_HORIZON")
	b := f.put("b")
	_, err := f.PutRecords(f.ctx, &kinesis.PutRecordsInput{StreamName: &f.stream, Records: entries("c", "d", "e")})
	f.must(err)
	all, _ := f.read(shard, "TRIM_HORIZON")

	f.must(server.Trim(f.stream, *shard.ShardId, *b))
	out, err := f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: iterator})
	f.must(err)
	if data(out.Records) != "bcde" {
		t.Errorf("an iterator before the horizon reads %q, want bcde", data(out.Records))
	}
	f.must(server.Trim(f.stream, *shard.ShardId, *all[3].SequenceNumber)) // amid a stored block
	for _, in := range []*kinesis.GetShardIteratorInput{
		{ShardIteratorType: "TRIM_HORIZON"},
		{ShardIteratorType: "AT_SEQUENCE_NUMBER", StartingSequenceNumber: b},
		{ShardIteratorType: "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber: b},
		{ShardIteratorType: "AT_TIMESTAMP", Timestamp: aws.Time(now.Now())},
	} {
		in.StreamName, in.ShardId = &f.stream, shard.ShardId
		if got, _ := f.readFrom(in); data(got) != "de" {
			t.Errorf("%s reads %q, want de", in.ShardIteratorType, data(got))
		}
	}

	now.advance(23 * time.Hour)
	f.put("f")
	now.advance(time.Hour + time.Second)
	if got, _ := f.read(shard, "TRIM_HORIZON"); data(got) != "f" {
		t.Errorf("after a day there is %q, want f", data(got))
	}
	f.put("g") // drops what expired from the disk, too
	now.advance(23 * time.Hour)
	last := f.put("h")
	now.advance(25 * time.Hour)
	f.put("i")
	if got, _ := f.read(shard, "TRIM_HORIZON"); data(got) != "i" || *got[0].SequenceNumber <= *last {
		t.Errorf("after two days there is %q, want i", data(got))
	}
	f.must(server.Trim(f.stream, *shard.ShardId, ""))
	if got, _ := f.read(shard, "TRIM_HORIZON"); len(got) != 0 {
		t.Errorf("after all was trimmed there is %q", data(got))
	}
	for _, bad := range [][3]string{{"missing", *shard.ShardId, ""}, {f.stream, "missing", ""}, {f.stream, *shard.ShardId, "12"}} {
		if err := server.Trim(bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("Trim(%q) has no error", bad)
		}
	}
}

func TestLargeRecords(t *testing.T) {
	f := newFeed(t, start(t, kcltest.Options{}), 1)
	large := "large"
	_, err := f.CreateStream(f.ctx, &kinesis.CreateStreamInput{StreamName: &large, ShardCount: aws.Int32(1), MaxRecordSizeInKiB: aws.Int32(2 << 10)})
	f.must(err)
	f.stream = large
	two := make([]byte, 2<<20-3)
	for i := range two {
		two[i] = byte(i)
	}
	_, err = f.PutRecord(f.ctx, &kinesis.PutRecordInput{StreamName: &large, Data: two, PartitionKey: aws.String("key")})
	f.must(err)
	f.refused("ValidationException")(f.PutRecord(f.ctx, &kinesis.PutRecordInput{StreamName: &large, Data: append(two, 0), PartitionKey: aws.String("key")}))
	f.refused("InvalidArgumentException")(f.PutRecords(f.ctx, &kinesis.PutRecordsInput{StreamName: &large, Records: entries(string(two), string(two), string(two), string(two), string(two), strings.Repeat("x", 16))}))
	if got, _ := f.read(f.shards()[0], "TRIM_HORIZON"); data(got) != string(two) {
		t.Errorf("%d records", len(got))
	}
}

func TestMalformedRequests(t *testing.T) {
	server := start(t, kcltest.Options{})
	newFeed(t, server, 1)
	for _, c := range []struct{ operation, body, want string }{
		{"PutRecords", ``, "SerializationException"},
		{"PutRecords", `null`, "SerializationException"},
		{"PutRecords", `{"StreamName":"stream","Records":[{"Data":"eA==","PartitionKey":"k"}]`, "SerializationException"},
		{"PutRecords", `{"StreamName":"stream","Records":[{"Data":"eA==","PartitionKey":"k"}]} x`, "SerializationException"},
		{"PutRecords", `{"StreamName":"stream","Records":{}}`, "SerializationException"},
		{"PutRecords", `{"StreamName":"stream","Records":[{"Data":"e","PartitionKey":"k"}]}`, "SerializationException"},
		{"PutRecords", `{"StreamName":"stream","Records":[{"Data":"====","PartitionKey":"k"}]}`, "SerializationException"},
		{"PutRecords", `{"StreamName":"stream","Records":[{"Data":"eA==","PartitionKey":"\q"}]}`, "SerializationException"},
		{"PutRecords", "{\"StreamName\":\"stream\",\"Records\":[{\"Data\":\"eA==\",\"PartitionKey\":\"\xff\"}]}", "SerializationException"},
		{"PutRecords", "{\"StreamName\":\"stream\",\"Records\":[{\"Data\":\"eA==\",\"PartitionKey\":\"\n\"}]}", "SerializationException"},
		{"PutRecords", `{"StreamName":"stream","Records":[{"PartitionKey":"k"}]}`, "ValidationException"},
		{"PutRecords", `{"StreamName":"stream","Records":[{"Data":"eA=="}]}`, "ValidationException"},
		{"PutRecords", `{"Records":[{"Data":"eA==","PartitionKey":"k"}]}`, "ValidationException"},
		{"PutRecord", `{"StreamName":"stream","Data":null,"PartitionKey":"k"}`, "ValidationException"},
		{"PutRecord", `{"StreamARN":"nonsense","Data":"eA==","PartitionKey":"k"}`, "ValidationException"},
		{"PutRecord", ` { "Other" : [ 1 , {} ] , "StreamName" : "stream" , "Data" : "eA\u003d=" , "PartitionKey" : "\u006b\ud83d\ude00" } `, ""},
		{"GetRecords", `[`, "SerializationException"},
		{"SubscribeToShard", `{}`, "UnknownOperationException"},
	} {
		request, err := http.NewRequest(http.MethodPost, server.URL, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Amz-Target", "Kinesis_20131202."+c.operation)
		request.Header.Set("Content-Type", "application/x-amz-json-1.1")
		answer, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if got := answer.Header.Get("X-Amzn-ErrorType"); got != c.want {
			t.Errorf("%s %q: got %q, want %q", c.operation, c.body, got, c.want)
		}
	}
}

// TestConcurrency puts, reads and reshards at once, and then counts: nothing acknowledged is missing, nothing is there twice, and each shard is in order.
func TestConcurrency(t *testing.T) {
	const producers, requests, perRequest = 4, 25, 20
	f := newFeed(t, start(t, kcltest.Options{Dir: t.TempDir()}), 2)
	var work sync.WaitGroup
	ctx, cancel := context.WithCancel(f.ctx)
	for p := range producers {
		work.Go(func() {
			for r := range requests {
				in := make([]types.PutRecordsRequestEntry, perRequest)
				for i := range in {
					in[i] = types.PutRecordsRequestEntry{Data: fmt.Appendf(nil, "%d/%d/%d", p, r, i), PartitionKey: aws.String(fmt.Sprint(p, i))}
				}
				if _, err := f.PutRecords(f.ctx, &kinesis.PutRecordsInput{StreamName: &f.stream, Records: in}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var readers sync.WaitGroup
	for _, shard := range f.shards() {
		next := f.iterator(shard, "TRIM_HORIZON")
		readers.Go(func() {
			for next != nil && ctx.Err() == nil {
				out, err := f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: next})
				if err != nil {
					t.Error(err)
					return
				}
				next = out.NextShardIterator
			}
		})
	}
	f.split(f.shards()[0])
	f.merge(f.shards()[2], f.shards()[3])
	work.Wait()
	cancel()
	readers.Wait()

	seen := map[string]bool{}
	for _, shard := range f.shards() {
		got, _ := f.read(shard, "TRIM_HORIZON")
		for i, r := range got {
			if seen[string(r.Data)] {
				t.Errorf("%s is there twice", r.Data)
			}
			seen[string(r.Data)] = true
			if i > 0 && *r.SequenceNumber <= *got[i-1].SequenceNumber {
				t.Errorf("%s: %s is not after %s", *shard.ShardId, *r.SequenceNumber, *got[i-1].SequenceNumber)
			}
		}
	}
	if len(seen) != producers*requests*perRequest {
		t.Errorf("%d records, want %d", len(seen), producers*requests*perRequest)
	}
}

// TestBlocks crosses the borders of stored blocks with every limit near them.
func TestBlocks(t *testing.T) {
	f := newFeed(t, start(t, kcltest.Options{}), 1)
	var want []string
	for range 3 {
		in := make([]string, 100)
		for i := range in {
			in[i] = fmt.Sprintf("%d %s;", len(want), strings.Repeat("x", 1500))
			want = append(want, in[i])
		}
		_, err := f.PutRecords(f.ctx, &kinesis.PutRecordsInput{StreamName: &f.stream, Records: entries(in...)})
		f.must(err)
	}
	for _, limit := range []int32{1, 7, 15, 16, 17, 100, 299, 300, 301} {
		next := f.iterator(f.shards()[0], "TRIM_HORIZON")
		read := 0
		for read < len(want) {
			out, err := f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: next, Limit: &limit})
			f.must(err)
			if len(out.Records) != min(int(limit), len(want)-read) || data(out.Records) != strings.Join(want[read:read+len(out.Records)], "") {
				t.Fatalf("limit %d: %d records at %d are not those put", limit, len(out.Records), read)
			}
			read += len(out.Records)
			next = out.NextShardIterator
		}
	}
}
