package kcltest_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"

	"github.com/sluice-etl/sluice/consumer/kcltest"
	"github.com/sluice-etl/sluice/consumer/kcltest/peers"
)

// kinesaliteDeviates says in which cases kinesalite 3.3.3 is not like Kinesis, and why they do not run against it.
var kinesaliteDeviates = map[string]string{
	"stream by ARN":               "it knows StreamName only",
	"list shards by pages":        "its ListShards ignores MaxResults and gives no NextToken",
	"list shards, filtered":       "its ListShards ignores ShardFilter",
	"at a time after the last":    "it never answers an AT_TIMESTAMP iterator later than the last record",
	"behind latest":               "it answers MillisBehindLatest 0 while records remain",
	"end of a split shard":        "its GetRecords gives no ChildShards",
	"end of a merged shard":       "its GetRecords gives no ChildShards",
	"split a closed shard":        "it splits closed shards again",
	"ten megabytes in an answer":  "its GetRecords has no limit of bytes",
	"iterator of a stream reborn": "its iterators name a stream, not which of that name",
}

// TestKinesisContract holds our server to the contract, and kinesalite, so that the contract says more than that we agree with ourselves.
func TestKinesisContract(t *testing.T) {
	server := start(t, kcltest.Options{})
	t.Run("kcltest", func(t *testing.T) { runContract(t, client(server), nil) })
	t.Run("kinesalite", func(t *testing.T) {
		dir := os.Getenv(peers.Env)
		if dir == "" {
			t.Skipf("%s names no installation of the peers; .ci/run makes one and runs this", peers.Env)
		}
		url, stop, err := peers.Start(t.Context(), dir, "kinesalite")
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := stop(); err != nil {
				t.Error(err)
			}
		}()
		runContract(t, clientOf(url, server.Client()), kinesaliteDeviates)
	})
}

func runContract(t *testing.T, client *kinesis.Client, deviates map[string]string) {
	for i, c := range contract {
		t.Run(c.name, func(t *testing.T) {
			if why := deviates[c.name]; why != "" {
				t.Skip("deviates from Kinesis: " + why)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			f := &feed{T: t, Client: client, ctx: ctx, stream: fmt.Sprintf("contract-%d", i)}
			f.create(c.shards)
			c.run(f)
		})
	}
	for name := range deviates {
		if !slices.ContainsFunc(contract, func(c contractCase) bool { return c.name == name }) {
			t.Errorf("the deviation %q names no case", name)
		}
	}
}

type contractCase struct {
	name   string
	shards int32
	run    func(*feed)
}

var contract = []contractCase{
	{"describe and list streams", 2, func(f *feed) {
		summary, err := f.DescribeStreamSummary(f.ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &f.stream})
		f.must(err)
		d := summary.StreamDescriptionSummary
		if *d.OpenShardCount != 2 || *d.RetentionPeriodHours != 24 || !strings.HasSuffix(*d.StreamARN, ":stream/"+f.stream) ||
			time.Since(*d.StreamCreationTimestamp).Abs() > time.Minute {
			f.Errorf("summary %+v", d)
		}
		list, err := f.ListStreams(f.ctx, &kinesis.ListStreamsInput{Limit: aws.Int32(10_000)})
		f.must(err)
		if !slices.Contains(list.StreamNames, f.stream) {
			f.Errorf("ListStreams gives %v, without %s", list.StreamNames, f.stream)
		}
		f.refused("ResourceInUseException")(f.CreateStream(f.ctx, &kinesis.CreateStreamInput{StreamName: &f.stream, ShardCount: aws.Int32(1)}))
	}},
	{"delete a stream", 1, func(f *feed) {
		iterator := f.iterator(f.shards()[0], "TRIM_HORIZON")
		_, err := f.DeleteStream(f.ctx, &kinesis.DeleteStreamInput{StreamName: &f.stream})
		f.must(err)
		f.eventually("the stream is gone", func() bool {
			_, err := f.DescribeStreamSummary(f.ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &f.stream})
			return code(err) == "ResourceNotFoundException"
		})
		f.refused("ResourceNotFoundException")(f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: iterator}))
		f.create(1) // the name is free again
		if records, _ := f.read(f.shards()[0], "TRIM_HORIZON"); len(records) > 0 {
			f.Errorf("the new stream of the name has %d records", len(records))
		}
	}},
	{"iterator of a stream reborn", 1, func(f *feed) {
		iterator := f.iterator(f.shards()[0], "TRIM_HORIZON")
		_, err := f.DeleteStream(f.ctx, &kinesis.DeleteStreamInput{StreamName: &f.stream})
		f.must(err)
		f.tick()
		f.create(1)
		f.refused("ResourceNotFoundException")(f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: iterator}))
	}},
	{"stream by ARN", 1, func(f *feed) {
		summary, err := f.DescribeStreamSummary(f.ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &f.stream})
		f.must(err)
		arn := summary.StreamDescriptionSummary.StreamARN
		put, err := f.PutRecord(f.ctx, &kinesis.PutRecordInput{StreamARN: arn, Data: []byte("x"), PartitionKey: aws.String("k")})
		f.must(err)
		_, err = f.PutRecords(f.ctx, &kinesis.PutRecordsInput{StreamARN: arn, Records: entries("y")})
		f.must(err)
		_, err = f.GetShardIterator(f.ctx, &kinesis.GetShardIteratorInput{StreamARN: arn, ShardId: put.ShardId, ShardIteratorType: "LATEST"})
		f.must(err)
		list, err := f.ListShards(f.ctx, &kinesis.ListShardsInput{StreamARN: arn})
		f.must(err)
		if len(list.Shards) != 1 {
			f.Errorf("%d shards", len(list.Shards))
		}
	}},
	{"shards cover the hash keys", 3, func(f *feed) {
		next := new(big.Int)
		for i, shard := range f.shards() {
			if want := fmt.Sprintf("shardId-%012d", i); *shard.ShardId != want || shard.ParentShardId != nil || shard.SequenceNumberRange.EndingSequenceNumber != nil {
				f.Errorf("shard %d is %s, parent %v, ending %v", i, *shard.ShardId, shard.ParentShardId, shard.SequenceNumberRange.EndingSequenceNumber)
			}
			if n := *shard.SequenceNumberRange.StartingSequenceNumber; len(n) != 56 || n[:2] != "49" {
				f.Errorf("starting sequence number %s is not like the real ones", n)
			}
			if *shard.HashKeyRange.StartingHashKey != next.String() {
				f.Errorf("%s starts at %s, want %s", *shard.ShardId, *shard.HashKeyRange.StartingHashKey, next)
			}
			next.Add(number(*shard.HashKeyRange.EndingHashKey), big.NewInt(1))
		}
		if next.BitLen() != 129 {
			f.Errorf("the last shard ends before 2^128-1, at %s", next)
		}
	}},
	{"list shards after one", 3, func(f *feed) {
		list, err := f.ListShards(f.ctx, &kinesis.ListShardsInput{StreamName: &f.stream, ExclusiveStartShardId: aws.String("shardId-000000000000")})
		f.must(err)
		if got := ids(list.Shards); !slices.Equal(got, []string{"shardId-000000000001", "shardId-000000000002"}) {
			f.Errorf("got %v", got)
		}
	}},
	{"list shards by pages", 5, func(f *feed) {
		var got []string
		in := &kinesis.ListShardsInput{StreamName: &f.stream, MaxResults: aws.Int32(2)}
		for pages := 1; ; pages++ {
			list, err := f.ListShards(f.ctx, in)
			f.must(err)
			got = append(got, ids(list.Shards)...)
			if list.NextToken == nil {
				if pages != 3 {
					f.Errorf("%d pages, want 3", pages)
				}
				break
			}
			in = &kinesis.ListShardsInput{NextToken: list.NextToken, MaxResults: aws.Int32(2)}
		}
		if want := ids(f.shards()); !slices.Equal(got, want) {
			f.Errorf("pages give %v, want %v", got, want)
		}
		f.refused("InvalidArgumentException")(f.ListShards(f.ctx, &kinesis.ListShardsInput{NextToken: aws.String("no token")}))
	}},
	{"list shards, filtered", 2, func(f *feed) {
		f.split(f.shards()[0])
		for _, c := range []struct {
			filter types.ShardFilter
			want   string
		}{
			{types.ShardFilter{Type: "AT_LATEST"}, "1 2 3"},
			{types.ShardFilter{Type: "AT_TRIM_HORIZON"}, "0 1"},
			{types.ShardFilter{Type: "FROM_TRIM_HORIZON"}, "0 1 2 3"},
			{types.ShardFilter{Type: "AFTER_SHARD_ID", ShardId: aws.String("shardId-000000000001")}, "2 3"},
			{types.ShardFilter{Type: "AT_TIMESTAMP", Timestamp: aws.Time(time.Now().Add(time.Minute))}, "1 2 3"},
			{types.ShardFilter{Type: "FROM_TIMESTAMP", Timestamp: aws.Time(time.Now().Add(-time.Hour))}, "0 1 2 3"},
		} {
			list, err := f.ListShards(f.ctx, &kinesis.ListShardsInput{StreamName: &f.stream, ShardFilter: &c.filter})
			f.must(err)
			got := strings.ReplaceAll(strings.Join(ids(list.Shards), " "), "shardId-00000000000", "")
			if got != c.want {
				f.Errorf("%s gives shards %s, want %s", c.filter.Type, got, c.want)
			}
		}
		f.refused("InvalidArgumentException")(f.ListShards(f.ctx, &kinesis.ListShardsInput{StreamName: &f.stream, ShardFilter: &types.ShardFilter{Type: "AT_TIMESTAMP"}}))
	}},
	{"records come back", 1, func(f *feed) {
		every := make([]byte, 256)
		for i := range every {
			every[i] = byte(i)
		}
		want := []types.PutRecordsRequestEntry{
			{Data: []byte(`{"ip":"221.233.116.256"}`), PartitionKey: aws.String("221.233.116.256")},
			{Data: every, PartitionKey: aws.String(`quotes " and \ and / and` + "\n\ttabs")},
			{Data: []byte{}, PartitionKey: aws.String("empty")},
			{Data: []byte("ключ"), PartitionKey: aws.String("ключ ☃ 😀")},
			{Data: bytes.Repeat([]byte{0xff}, 1<<20), PartitionKey: aws.String(strings.Repeat("k", 256))},
		}
		want[4].Data = want[4].Data[:1<<20-256]
		put, err := f.PutRecords(f.ctx, &kinesis.PutRecordsInput{StreamName: &f.stream, Records: want})
		f.must(err)
		if *put.FailedRecordCount != 0 || len(put.Records) != len(want) {
			f.Fatalf("%d failed of %d answered", *put.FailedRecordCount, len(put.Records))
		}
		got, _ := f.read(f.shards()[0], "TRIM_HORIZON")
		if len(got) != len(want) {
			f.Fatalf("%d records, want %d", len(got), len(want))
		}
		for i, r := range got {
			if !bytes.Equal(r.Data, want[i].Data) || *r.PartitionKey != *want[i].PartitionKey || *r.SequenceNumber != *put.Records[i].SequenceNumber {
				f.Errorf("record %d: key %q, sequence %s, %d bytes, want key %q, sequence %s, %d bytes", i, *r.PartitionKey, *r.SequenceNumber, len(r.Data),
					*want[i].PartitionKey, *put.Records[i].SequenceNumber, len(want[i].Data))
			}
			if time.Since(*r.ApproximateArrivalTimestamp).Abs() > time.Minute {
				f.Errorf("record %d arrived %v", i, r.ApproximateArrivalTimestamp)
			}
			if i > 0 && *r.SequenceNumber <= *got[i-1].SequenceNumber || len(*r.SequenceNumber) != 56 {
				f.Errorf("sequence number %s is not after %s", *r.SequenceNumber, *got[i-1].SequenceNumber)
			}
		}
	}},
	{"keys choose shards", 4, func(f *feed) {
		shards := f.shards()
		var in []types.PutRecordsRequestEntry
		for i := range 200 {
			in = append(in, types.PutRecordsRequestEntry{Data: []byte{byte(i)}, PartitionKey: aws.String(fmt.Sprint("key ", i))})
		}
		put, err := f.PutRecords(f.ctx, &kinesis.PutRecordsInput{StreamName: &f.stream, Records: in})
		f.must(err)
		counts := map[string]int{}
		for i, r := range put.Records {
			sum := md5.Sum([]byte(*in[i].PartitionKey))
			if want := ownerOf(shards, new(big.Int).SetBytes(sum[:])); *r.ShardId != want {
				f.Errorf("%q is in %s, want %s", *in[i].PartitionKey, *r.ShardId, want)
			}
			counts[*r.ShardId]++
		}
		for _, shard := range shards {
			if got, _ := f.read(shard, "TRIM_HORIZON"); len(got) != counts[*shard.ShardId] || len(got) == 0 {
				f.Errorf("%s has %d records, want %d", *shard.ShardId, len(got), counts[*shard.ShardId])
			}
		}
	}},
	{"hash keys choose shards", 4, func(f *feed) {
		for i, shard := range f.shards() {
			for _, key := range []*string{shard.HashKeyRange.StartingHashKey, shard.HashKeyRange.EndingHashKey} {
				put, err := f.PutRecord(f.ctx, &kinesis.PutRecordInput{StreamName: &f.stream, Data: []byte("x"), PartitionKey: aws.String("same"), ExplicitHashKey: key})
				f.must(err)
				if *put.ShardId != *shard.ShardId {
					f.Errorf("%s of shard %d went to %s", *key, i, *put.ShardId)
				}
			}
		}
		f.refused("InvalidArgumentException")(f.PutRecord(f.ctx, &kinesis.PutRecordInput{StreamName: &f.stream, Data: []byte("x"), PartitionKey: aws.String("k"),
			ExplicitHashKey: aws.String(new(big.Int).Lsh(big.NewInt(1), 128).String())}))
	}},
	{"iterators", 1, func(f *feed) {
		shard := f.shards()[0]
		first, second, third := f.put("a"), f.put("b"), f.put("c")
		for _, c := range []struct {
			kind   types.ShardIteratorType
			number *string
			want   string
		}{
			{"TRIM_HORIZON", nil, "abc"},
			{"AT_SEQUENCE_NUMBER", first, "abc"},
			{"AT_SEQUENCE_NUMBER", second, "bc"},
			{"AFTER_SEQUENCE_NUMBER", second, "c"},
			{"AFTER_SEQUENCE_NUMBER", third, ""},
			{"AT_SEQUENCE_NUMBER", shard.SequenceNumberRange.StartingSequenceNumber, "abc"},
			{"LATEST", nil, ""},
		} {
			got, next := f.readFrom(&kinesis.GetShardIteratorInput{StreamName: &f.stream, ShardId: shard.ShardId, ShardIteratorType: c.kind, StartingSequenceNumber: c.number})
			if data(got) != c.want || next == nil {
				f.Errorf("%s gives %q, want %q", c.kind, data(got), c.want)
			}
		}
	}},
	{"iterators go on", 1, func(f *feed) {
		shard := f.shards()[0]
		latest, horizon := f.iterator(shard, "LATEST"), f.iterator(shard, "TRIM_HORIZON")
		for _, want := range []string{"", "a", "", "b", "c"} {
			if want != "" {
				f.put(want)
			}
			for _, iterator := range []**string{&latest, &horizon} {
				again, err := f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: *iterator})
				f.must(err)
				out, err := f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: *iterator})
				f.must(err)
				if data(out.Records) != want || data(again.Records) != want || *out.MillisBehindLatest != 0 {
					f.Errorf("read %q, then %q, want %q twice", data(again.Records), data(out.Records), want)
				}
				*iterator = out.NextShardIterator
			}
		}
	}},
	{"limit", 1, func(f *feed) {
		_, err := f.PutRecords(f.ctx, &kinesis.PutRecordsInput{StreamName: &f.stream, Records: entries("a", "b", "c", "d", "e")})
		f.must(err)
		iterator := f.iterator(f.shards()[0], "TRIM_HORIZON")
		for _, want := range []string{"ab", "cd", "e", ""} {
			out, err := f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: iterator, Limit: aws.Int32(2)})
			f.must(err)
			if data(out.Records) != want {
				f.Errorf("read %q, want %q", data(out.Records), want)
			}
			iterator = out.NextShardIterator
		}
		f.refused("ValidationException")(f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: iterator, Limit: aws.Int32(10_001)}))
	}},
	{"behind latest", 1, func(f *feed) {
		_, err := f.PutRecords(f.ctx, &kinesis.PutRecordsInput{StreamName: &f.stream, Records: entries("a", "b")})
		f.must(err)
		out, err := f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: f.iterator(f.shards()[0], "TRIM_HORIZON"), Limit: aws.Int32(1)})
		f.must(err)
		if *out.MillisBehindLatest <= 0 {
			f.Errorf("behind by %d ms with a record left", *out.MillisBehindLatest)
		}
	}},
	{"ten megabytes in an answer", 1, func(f *feed) {
		for range 4 {
			big := strings.Repeat("x", 1<<20-10)
			_, err := f.PutRecords(f.ctx, &kinesis.PutRecordsInput{StreamName: &f.stream, Records: entries(big, big, big)})
			f.must(err)
		}
		out, err := f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: f.iterator(f.shards()[0], "TRIM_HORIZON")})
		f.must(err)
		if len(out.Records) != 10 {
			f.Errorf("an answer of %d records of nearly 1 MiB, want 10", len(out.Records))
		}
	}},
	{"at a time", 1, func(f *feed) {
		shard := f.shards()[0]
		f.put("a")
		f.tick()
		f.put("b")
		all, _ := f.read(shard, "TRIM_HORIZON")
		if len(all) != 2 {
			f.Fatalf("%d records", len(all))
		}
		for _, c := range []struct {
			at   time.Time
			want string
		}{
			{all[0].ApproximateArrivalTimestamp.Add(-time.Hour), "ab"},
			{*all[0].ApproximateArrivalTimestamp, "ab"},
			{*all[1].ApproximateArrivalTimestamp, "b"},
		} {
			got, _ := f.readFrom(&kinesis.GetShardIteratorInput{StreamName: &f.stream, ShardId: shard.ShardId, ShardIteratorType: "AT_TIMESTAMP", Timestamp: &c.at})
			if data(got) != c.want {
				f.Errorf("from %v: %q, want %q", c.at, data(got), c.want)
			}
		}
		f.refused("InvalidArgumentException")(f.GetShardIterator(f.ctx, &kinesis.GetShardIteratorInput{StreamName: &f.stream, ShardId: shard.ShardId,
			ShardIteratorType: "AT_TIMESTAMP", Timestamp: aws.Time(time.Now().Add(time.Hour))}))
	}},
	{"at a time after the last", 1, func(f *feed) {
		f.put("a")
		f.tick()
		now := time.Now()
		iterator, err := f.GetShardIterator(f.ctx, &kinesis.GetShardIteratorInput{StreamName: &f.stream, ShardId: f.shards()[0].ShardId, ShardIteratorType: "AT_TIMESTAMP", Timestamp: &now})
		f.must(err)
		f.put("b")
		out, err := f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: iterator.ShardIterator})
		f.must(err)
		if data(out.Records) != "b" {
			f.Errorf("read %q, want b", data(out.Records))
		}
	}},
	{"split", 2, func(f *feed) {
		parent := f.shards()[0]
		before := f.putAt("before", *parent.HashKeyRange.StartingHashKey)
		f.split(parent)
		shards := f.shards()
		if len(shards) != 4 {
			f.Fatalf("%d shards", len(shards))
		}
		closed, left, right := shards[0], shards[2], shards[3]
		if n := closed.SequenceNumberRange.EndingSequenceNumber; n == nil || *n <= *before {
			f.Errorf("the parent ends with %v", n)
		}
		for _, child := range []types.Shard{left, right} {
			if aws.ToString(child.ParentShardId) != *parent.ShardId || child.AdjacentParentShardId != nil || child.SequenceNumberRange.EndingSequenceNumber != nil {
				f.Errorf("child %+v", child)
			}
			if *child.SequenceNumberRange.StartingSequenceNumber <= *closed.SequenceNumberRange.EndingSequenceNumber {
				f.Errorf("%s starts with %s, before its parent ended with %s", *child.ShardId, *child.SequenceNumberRange.StartingSequenceNumber, *closed.SequenceNumberRange.EndingSequenceNumber)
			}
		}
		if *left.HashKeyRange.StartingHashKey != *parent.HashKeyRange.StartingHashKey || *right.HashKeyRange.EndingHashKey != *parent.HashKeyRange.EndingHashKey ||
			number(*left.HashKeyRange.EndingHashKey).Cmp(number(*right.HashKeyRange.StartingHashKey)) >= 0 {
			f.Errorf("children have %v and %v", *left.HashKeyRange, *right.HashKeyRange)
		}
		after := f.putAt("after", *parent.HashKeyRange.StartingHashKey)
		if *after <= *before {
			f.Errorf("sequence number %s of the child's record is not after %s of its parent's", *after, *before)
		}
		if got, _ := f.read(left, "TRIM_HORIZON"); data(got) != "after" {
			f.Errorf("the child has %q", data(got))
		}
		if got, next := f.read(closed, "TRIM_HORIZON"); data(got) != "before" || next != nil {
			f.Errorf("the parent has %q, ended: %v", data(got), next == nil)
		}
	}},
	{"merge", 3, func(f *feed) {
		parents := f.shards()
		f.putAt("first", *parents[0].HashKeyRange.StartingHashKey)
		second := f.putAt("second", *parents[1].HashKeyRange.StartingHashKey)
		f.merge(parents[0], parents[1])
		shards := f.shards()
		if len(shards) != 4 {
			f.Fatalf("%d shards", len(shards))
		}
		child := shards[3]
		if aws.ToString(child.ParentShardId) != *parents[0].ShardId || aws.ToString(child.AdjacentParentShardId) != *parents[1].ShardId ||
			*child.HashKeyRange.StartingHashKey != *parents[0].HashKeyRange.StartingHashKey || *child.HashKeyRange.EndingHashKey != *parents[1].HashKeyRange.EndingHashKey {
			f.Errorf("child %+v", child)
		}
		if third := f.putAt("third", *parents[1].HashKeyRange.StartingHashKey); *third <= *second {
			f.Errorf("sequence number %s of the child's record is not after %s of its parent's", *third, *second)
		}
		for i, want := range []string{"first", "second"} {
			if got, next := f.read(shards[i], "TRIM_HORIZON"); data(got) != want || next != nil {
				f.Errorf("parent %d has %q, ended: %v", i, data(got), next == nil)
			}
		}
	}},
	{"end of a split shard", 1, func(f *feed) {
		f.put("a")
		f.split(f.shards()[0])
		shards := f.shards()
		out := f.last(shards[0])
		if len(out.ChildShards) != 2 {
			f.Fatalf("%d child shards", len(out.ChildShards))
		}
		for i, child := range out.ChildShards {
			if *child.ShardId != *shards[1+i].ShardId || !slices.Equal(child.ParentShards, []string{*shards[0].ShardId}) ||
				*child.HashKeyRange.StartingHashKey != *shards[1+i].HashKeyRange.StartingHashKey || *child.HashKeyRange.EndingHashKey != *shards[1+i].HashKeyRange.EndingHashKey {
				f.Errorf("child shard %s of %v, want %s", *child.ShardId, child.ParentShards, *shards[1+i].ShardId)
			}
		}
	}},
	{"end of a merged shard", 2, func(f *feed) {
		f.merge(f.shards()[0], f.shards()[1])
		shards := f.shards()
		for _, parent := range shards[:2] {
			out := f.last(parent)
			if len(out.ChildShards) != 1 || *out.ChildShards[0].ShardId != *shards[2].ShardId || !slices.Equal(out.ChildShards[0].ParentShards, ids(shards[:2])) {
				f.Errorf("child shards of %s: %+v", *parent.ShardId, out.ChildShards)
			}
		}
	}},
	{"split a closed shard", 1, func(f *feed) {
		shard := f.shards()[0]
		f.split(shard)
		f.refused("InvalidArgumentException")(f.SplitShard(f.ctx, &kinesis.SplitShardInput{StreamName: &f.stream, ShardToSplit: shard.ShardId, NewStartingHashKey: aws.String("1000")}))
	}},
	{"refusals", 3, func(f *feed) {
		shards := f.shards()
		stream, shard := &f.stream, shards[0].ShardId
		f.put("a")
		missing := aws.String("missing")
		{
			f.refused("ResourceNotFoundException")(f.DescribeStream(f.ctx, &kinesis.DescribeStreamInput{StreamName: missing}))
			f.refused("ResourceNotFoundException")(f.DescribeStreamSummary(f.ctx, &kinesis.DescribeStreamSummaryInput{StreamName: missing}))
			f.refused("ResourceNotFoundException")(f.ListShards(f.ctx, &kinesis.ListShardsInput{StreamName: missing}))
			f.refused("ResourceNotFoundException")(f.DeleteStream(f.ctx, &kinesis.DeleteStreamInput{StreamName: missing}))
			f.refused("ResourceNotFoundException")(f.PutRecord(f.ctx, &kinesis.PutRecordInput{StreamName: missing, Data: []byte("x"), PartitionKey: aws.String("k")}))
			f.refused("ResourceNotFoundException")(f.PutRecords(f.ctx, &kinesis.PutRecordsInput{StreamName: missing, Records: entries("x")}))
			f.refused("ResourceNotFoundException")(f.GetShardIterator(f.ctx, &kinesis.GetShardIteratorInput{StreamName: missing, ShardId: shard, ShardIteratorType: "LATEST"}))
			f.refused("ResourceNotFoundException")(f.GetShardIterator(f.ctx, &kinesis.GetShardIteratorInput{StreamName: stream, ShardId: aws.String("shardId-000000000009"), ShardIteratorType: "LATEST"}))
			f.refused("ResourceNotFoundException")(f.SplitShard(f.ctx, &kinesis.SplitShardInput{StreamName: stream, ShardToSplit: aws.String("shardId-000000000009"), NewStartingHashKey: aws.String("1000")}))
		}
		f.refused("ValidationException")(f.CreateStream(f.ctx, &kinesis.CreateStreamInput{StreamName: aws.String("no spaces"), ShardCount: aws.Int32(1)}))
		f.refused("ValidationException")(f.CreateStream(f.ctx, &kinesis.CreateStreamInput{StreamName: aws.String("none"), ShardCount: aws.Int32(0)}))
		f.refused("ValidationException")(f.ListShards(f.ctx, &kinesis.ListShardsInput{StreamName: stream, MaxResults: aws.Int32(0)}))
		f.refused("InvalidArgumentException")(f.ListShards(f.ctx, &kinesis.ListShardsInput{}))
		f.refused("ValidationException")(f.GetShardIterator(f.ctx, &kinesis.GetShardIteratorInput{StreamName: stream, ShardId: shard, ShardIteratorType: "SOMEWHERE"}))
		f.refused("InvalidArgumentException")(f.GetShardIterator(f.ctx, &kinesis.GetShardIteratorInput{StreamName: stream, ShardId: shard, ShardIteratorType: "AT_SEQUENCE_NUMBER"}))
		f.refused("InvalidArgumentException")(f.GetShardIterator(f.ctx, &kinesis.GetShardIteratorInput{StreamName: stream, ShardId: shard, ShardIteratorType: "AT_TIMESTAMP"}))
		other := shards[1].SequenceNumberRange.StartingSequenceNumber
		for _, kind := range []types.ShardIteratorType{"TRIM_HORIZON", "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"} {
			f.refused("InvalidArgumentException")(f.GetShardIterator(f.ctx, &kinesis.GetShardIteratorInput{StreamName: stream, ShardId: shard, ShardIteratorType: kind, StartingSequenceNumber: other}))
		}
		f.refused("InvalidArgumentException")(f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: aws.String("no iterator")}))
		f.refused("InvalidArgumentException")(f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: aws.String(strings.Repeat("AAAA", 50))}))

		long := aws.String(strings.Repeat("k", 257))
		f.refused("ValidationException")(f.PutRecord(f.ctx, &kinesis.PutRecordInput{StreamName: stream, Data: []byte("x"), PartitionKey: long}))
		f.refused("ValidationException")(f.PutRecord(f.ctx, &kinesis.PutRecordInput{StreamName: stream, Data: []byte("x"), PartitionKey: aws.String("")}))
		f.refused("ValidationException")(f.PutRecord(f.ctx, &kinesis.PutRecordInput{StreamName: stream, Data: make([]byte, 1<<20+1), PartitionKey: aws.String("k")}))
		f.refused("ValidationException")(f.PutRecords(f.ctx, &kinesis.PutRecordsInput{StreamName: stream, Records: entries(make([]string, 501)...)}))
		f.refused("ValidationException")(f.PutRecords(f.ctx, &kinesis.PutRecordsInput{StreamName: stream, Records: []types.PutRecordsRequestEntry{}}))
		f.refused("ValidationException")(f.PutRecords(f.ctx, &kinesis.PutRecordsInput{StreamName: stream,
			Records: append(entries("fine"), types.PutRecordsRequestEntry{Data: []byte("x"), PartitionKey: long})}))

		for _, key := range []*string{shards[0].HashKeyRange.StartingHashKey, shards[0].HashKeyRange.EndingHashKey, shards[1].HashKeyRange.EndingHashKey} {
			f.refused("InvalidArgumentException")(f.SplitShard(f.ctx, &kinesis.SplitShardInput{StreamName: stream, ShardToSplit: shard, NewStartingHashKey: key}))
		}
		f.refused("InvalidArgumentException")(f.MergeShards(f.ctx, &kinesis.MergeShardsInput{StreamName: stream, ShardToMerge: shard, AdjacentShardToMerge: shards[2].ShardId}))

		records := 0
		for _, shard := range f.shards() {
			got, _ := f.read(shard, "TRIM_HORIZON")
			records += len(got)
		}
		if records != 1 {
			f.Errorf("%d records are stored; what is refused must not be", records)
		}
	}},
}

// feed is a stream of one case.
type feed struct {
	*testing.T
	*kinesis.Client
	ctx    context.Context
	stream string
}

func (f *feed) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// code is the service's name for an error.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// refused returns a check of a call's results: an error of the code wanted.
func (f *feed) refused(want string) func(any, error) {
	return func(_ any, err error) {
		f.Helper()
		if got := code(err); got != want {
			f.Errorf("got %q (%v), want %s", got, err, want)
		}
	}
}

func (f *feed) eventually(what string, holds func() bool) {
	f.Helper()
	for !holds() {
		if f.ctx.Err() != nil {
			f.Fatalf("never: %s", what)
		}
		time.Sleep(5 * time.Millisecond) // between looks at another process
	}
}

// tick returns when arrivals have a later millisecond than those before.
func (f *feed) tick() {
	f.Helper()
	before := time.Now().UnixMilli()
	f.eventually("a millisecond passes", func() bool { return time.Now().UnixMilli() > before })
}

func (f *feed) active() {
	f.Helper()
	f.eventually("the stream is active", func() bool {
		out, err := f.DescribeStreamSummary(f.ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &f.stream})
		f.must(err)
		return out.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive
	})
}

func (f *feed) create(shards int32) {
	f.Helper()
	_, err := f.CreateStream(f.ctx, &kinesis.CreateStreamInput{StreamName: &f.stream, ShardCount: &shards})
	f.must(err)
	f.active()
}

func (f *feed) split(shard types.Shard) {
	f.Helper()
	middle := new(big.Int).Add(number(*shard.HashKeyRange.StartingHashKey), number(*shard.HashKeyRange.EndingHashKey))
	_, err := f.SplitShard(f.ctx, &kinesis.SplitShardInput{StreamName: &f.stream, ShardToSplit: shard.ShardId, NewStartingHashKey: aws.String(middle.Rsh(middle, 1).String())})
	f.must(err)
	f.active()
}

func (f *feed) merge(a, b types.Shard) {
	f.Helper()
	_, err := f.MergeShards(f.ctx, &kinesis.MergeShardsInput{StreamName: &f.stream, ShardToMerge: a.ShardId, AdjacentShardToMerge: b.ShardId})
	f.must(err)
	f.active()
}

func (f *feed) shards() []types.Shard {
	f.Helper()
	list, err := f.ListShards(f.ctx, &kinesis.ListShardsInput{StreamName: &f.stream})
	f.must(err)
	return list.Shards
}

// put puts a record and returns its sequence number.
func (f *feed) put(data string) *string { f.Helper(); return f.putAt(data, "0") }

func (f *feed) putAt(data, hashKey string) *string {
	f.Helper()
	out, err := f.PutRecord(f.ctx, &kinesis.PutRecordInput{StreamName: &f.stream, Data: []byte(data), PartitionKey: aws.String("key"), ExplicitHashKey: &hashKey})
	f.must(err)
	return out.SequenceNumber
}

func (f *feed) iterator(shard types.Shard, kind types.ShardIteratorType) *string {
	f.Helper()
	out, err := f.GetShardIterator(f.ctx, &kinesis.GetShardIteratorInput{StreamName: &f.stream, ShardId: shard.ShardId, ShardIteratorType: kind})
	f.must(err)
	return out.ShardIterator
}

func (f *feed) read(shard types.Shard, kind types.ShardIteratorType) ([]types.Record, *string) {
	f.Helper()
	return f.readFrom(&kinesis.GetShardIteratorInput{StreamName: &f.stream, ShardId: shard.ShardId, ShardIteratorType: kind})
}

// readFrom reads until a few answers in a row are empty, or to the end of a closed shard: then next is nil.
func (f *feed) readFrom(in *kinesis.GetShardIteratorInput) (records []types.Record, next *string) {
	f.Helper()
	iterator, err := f.GetShardIterator(f.ctx, in)
	f.must(err)
	next = iterator.ShardIterator
	for empty := 0; next != nil && empty < 3; {
		out, err := f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: next})
		f.must(err)
		if len(out.Records) == 0 {
			empty++
		}
		records = append(records, out.Records...)
		next = out.NextShardIterator
	}
	return records, next
}

// last reads a closed shard and returns the last answer.
func (f *feed) last(shard types.Shard) *kinesis.GetRecordsOutput {
	f.Helper()
	next := f.iterator(shard, "TRIM_HORIZON")
	for range 10 {
		out, err := f.GetRecords(f.ctx, &kinesis.GetRecordsInput{ShardIterator: next})
		f.must(err)
		if next = out.NextShardIterator; next == nil {
			return out
		}
	}
	f.Fatalf("%s does not end", *shard.ShardId)
	return nil
}

func entries(data ...string) []types.PutRecordsRequestEntry {
	out := make([]types.PutRecordsRequestEntry, len(data))
	for i, d := range data {
		out[i] = types.PutRecordsRequestEntry{Data: []byte(d), PartitionKey: aws.String("key"), ExplicitHashKey: aws.String("0")}
	}
	return out
}

func data(records []types.Record) string {
	var all strings.Builder
	for _, r := range records {
		all.Write(r.Data)
	}
	return all.String()
}

func ids(shards []types.Shard) []string {
	out := make([]string, len(shards))
	for i, s := range shards {
		out[i] = *s.ShardId
	}
	return out
}

func number(text string) *big.Int {
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		return new(big.Int)
	}
	return n
}

// ownerOf returns the shard whose range holds a hash key.
func ownerOf(shards []types.Shard, key *big.Int) string {
	for _, s := range shards {
		if key.Cmp(number(*s.HashKeyRange.StartingHashKey)) >= 0 && key.Cmp(number(*s.HashKeyRange.EndingHashKey)) <= 0 {
			return *s.ShardId
		}
	}
	return ""
}
