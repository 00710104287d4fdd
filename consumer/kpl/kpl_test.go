package kpl_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/awslabs/kinesis-aggregation/go/v2/deaggregator"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluice-etl/sluice/consumer/kpl"
	"github.com/sluice-etl/sluice/consumer/kpl/kpltest"
)

func aggregate(n int) ([]byte, [][]byte) {
	var keys []string
	var payloads [][]byte
	for i := range n {
		keys = append(keys, fmt.Sprint("key", i%7))
		payloads = append(payloads, fmt.Appendf(nil, `{"n":%d}`, i))
	}
	return kpltest.Aggregate(keys, payloads), payloads
}

func TestSplit(t *testing.T) {
	data, want := aggregate(1000)
	if !kpl.Aggregated(data) {
		t.Fatal("the aggregate is not recognised")
	}
	got, err := kpl.Split(data, [][]byte{[]byte("before")})
	if err != nil {
		t.Fatal(err)
	}
	if string(got[0]) != "before" || !slices.EqualFunc(got[1:], want, bytes.Equal) {
		t.Errorf("got %d payloads, want what was there and %d in their order", len(got), len(want))
	}

	// Another implementation takes the same bytes apart alike.
	foreign, err := deaggregator.DeaggregateRecords([]types.Record{{Data: data, SequenceNumber: aws.String("1")}})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(got[1:], foreign, func(a []byte, b types.Record) bool { return bytes.Equal(a, b.Data) }) {
		t.Error("the deaggregator of awslabs gives other payloads")
	}
}

func TestSplitRefuses(t *testing.T) {
	user := func(index uint64, payload []byte) []byte {
		u := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), index)
		return protowire.AppendBytes(protowire.AppendTag(u, 3, protowire.BytesType), payload)
	}
	record := func(u []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), u)
	}
	key := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "key")

	corrupt, _ := aggregate(3)
	corrupt[10] ^= 1
	for _, test := range []struct {
		name, reason string
		data         []byte
	}{
		{"a bit is flipped", "checksum", corrupt},
		{"no protobuf", "protobuf", kpltest.Seal([]byte("\xff\xff\xff"))},
		{"a length beyond the end", "protobuf", kpltest.Seal([]byte{0x1a, 0x7f, 0x08})},
		{"no user record", "empty", kpltest.Seal(key)},
		{"nothing at all", "empty", kpltest.Seal(nil)},
		{"an index beyond the table", "index", kpltest.Seal(append(bytes.Clone(key), record(user(1, nil))...))},
		{"an index beyond int64", "index", kpltest.Seal(append(bytes.Clone(key), record(user(1<<63, nil))...))},
		{"a user record without data", "protobuf", kpltest.Seal(append(bytes.Clone(key), record([]byte{8, 0})...))},
		{"170,000 user records", "too_large", kpltest.Seal(append(bytes.Clone(key), bytes.Repeat(record(user(0, nil)), 170_000)...))},
		{"11 MiB", "too_large", kpltest.Seal(append(bytes.Clone(key), bytes.Repeat(record(user(0, make([]byte, 1<<20))), 11)...))},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := kpl.Split(test.data, nil)
			var fault *kpl.Error
			if !errors.As(err, &fault) || fault.Reason != test.reason {
				t.Errorf("got the error %v, want one for the reason %s", err, test.reason)
			}
			if len(got) != 0 {
				t.Errorf("got %d payloads of a refused aggregate", len(got))
			}
		})
	}
}

func TestTablesMayFollowTheRecords(t *testing.T) {
	data, want := aggregate(2)
	message := data[4 : len(data)-16]
	_, _, n := protowire.ConsumeField(message) // the first key
	turned := append(bytes.Clone(message[n:]), message[:n]...)
	got, err := kpl.Split(kpltest.Seal(turned), nil)
	if err != nil || !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestAggregated(t *testing.T) {
	for _, plain := range []string{"", "{}", "\xf3\x89\x9a\xc2", "\xf3\x89\x9a\xc2 but too short"} {
		if kpl.Aggregated([]byte(plain)) {
			t.Errorf("%q is taken for an aggregate", plain)
		}
	}
}

func FuzzSplit(f *testing.F) {
	data, _ := aggregate(3)
	f.Add(data[4 : len(data)-16])
	f.Add([]byte{0x1a, 0x02, 0x08, 0x00})
	f.Fuzz(func(t *testing.T, message []byte) {
		users, err := kpl.Split(kpltest.Seal(message), nil)
		if err != nil && len(users) > 0 {
			t.Fatal("payloads beside an error")
		}
		size := 0
		for _, u := range users {
			size += len(u)
		}
		if size > len(message) || err == nil && len(users) == 0 {
			t.Fatalf("%d payloads of %d bytes out of %d", len(users), size, len(message))
		}
	})
}
