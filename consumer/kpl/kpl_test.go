package kpl_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/awslabs/kinesis-aggregation/go/v2/deaggregator"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluice-etl/sluice/consumer/kpl"
	"github.com/sluice-etl/sluice/consumer/kpl/kpltest"
)

// aggregate makes n payloads under three keys.
func aggregate(n int) (data []byte, payloads [][]byte) {
	keys := make([]string, n)
	for i := range n {
		keys[i] = fmt.Sprint("key", i%3)
		payloads = append(payloads, fmt.Appendf(nil, `{"number":%d}`, i))
	}
	return kpltest.Aggregate(keys, payloads), payloads
}

// The parts of a message, to build bad ones of.
func bytesField(number protowire.Number, parts ...[]byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), slices.Concat(parts...))
}

func varintField(number protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), v)
}

var (
	key  = bytesField(1, []byte("key"))
	hash = bytesField(2, []byte("1234"))
	user = bytesField(3, varintField(1, 0), bytesField(3, []byte("user")))
)

func TestSplit(t *testing.T) {
	for _, n := range []int{1, 2, 500, kpl.MaxRecords} {
		data, want := aggregate(n)
		if !kpl.Aggregated(data) {
			t.Fatalf("%d records are no aggregate", n)
		}
		got, err := kpl.Split(data, [][]byte{[]byte("before")})
		if err != nil || len(got) != n+1 || string(got[0]) != "before" {
			t.Fatalf("%d records: %d, %v", n, len(got), err)
		}
		for i := range want {
			if !bytes.Equal(got[i+1], want[i]) {
				t.Fatalf("record %d is %q, not %q", i, got[i+1], want[i])
			}
		}
	}
}

func TestSplitGivesSlicesOfData(t *testing.T) {
	data, _ := aggregate(2)
	before := bytes.Clone(data)
	got, err := kpl.Split(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	got[0][0] = '!'
	if bytes.Equal(data, before) {
		t.Error("the payload is a copy")
	}
	data[bytes.IndexByte(data, '!')] = before[bytes.IndexByte(data, '!')]
	_ = append(got[0], "overflow"...)
	if !bytes.Equal(data, before) {
		t.Error("appending to a payload writes over its neighbour")
	}
}

// TestSplitMessages has what protobuf allows, and refuses what it does not.
func TestSplitMessages(t *testing.T) {
	group := protowire.AppendTag(protowire.AppendTag(nil, 9, protowire.StartGroupType), 9, protowire.EndGroupType)
	many, _ := aggregate(kpl.MaxRecords + 1)
	half := bytesField(3, varintField(1, 0), bytesField(3, make([]byte, kpl.MaxBytes/2)))
	for _, c := range []struct {
		name   string
		data   []byte
		want   string
		reason kpl.Reason
	}{
		{name: "minimal", data: kpltest.Seal(slices.Concat(key, user)), want: "user"},
		{name: "tables last", data: kpltest.Seal(slices.Concat(user, user, key)), want: "user user"},
		{name: "hash key", data: kpltest.Seal(slices.Concat(hash, key, bytesField(3, varintField(1, 0), varintField(2, 0), bytesField(3, []byte("h"))))), want: "h"},
		{name: "tags", data: kpltest.Seal(slices.Concat(key, bytesField(3, varintField(1, 0), bytesField(3, []byte("t")), bytesField(4, bytesField(1, []byte("k")), bytesField(2, []byte("v")))))), want: "t"},
		{name: "empty payload", data: kpltest.Seal(slices.Concat(key, user, bytesField(3, varintField(1, 0), bytesField(3)))), want: "user "},
		{name: "unknown fields", data: kpltest.Seal(slices.Concat(varintField(7, 1), group, key, bytesField(8, []byte("x")), bytesField(3, varintField(1, 0), group, varintField(9, 1), bytesField(3, []byte("u"))))), want: "u"},
		{name: "field of another type", data: kpltest.Seal(slices.Concat(varintField(3, 5), key, user)), want: "user"},
		{name: "data twice", data: kpltest.Seal(slices.Concat(key, bytesField(3, bytesField(3, []byte("a")), varintField(1, 5), varintField(1, 0), bytesField(3, []byte("b"))))), want: "b"},
		{name: "not UTF-8", data: kpltest.Seal(slices.Concat(bytesField(1, []byte{0xff}), bytesField(3, varintField(1, 0), bytesField(3, []byte{0xff, 0})))), want: "\xff\x00"},

		{name: "no magic", data: []byte(`{"an":"ordinary record, long enough"}`), reason: kpl.BadChecksum},
		{name: "too short", data: kpltest.Seal(nil), reason: kpl.BadChecksum},
		{name: "wrong MD5", data: append(kpltest.Seal(slices.Concat(key, user))[:40], 0), reason: kpl.BadChecksum},
		{name: "no protobuf", data: kpltest.Seal([]byte("\xff\xff\xff")), reason: kpl.BadProtobuf},
		{name: "cut off", data: kpltest.Seal(slices.Concat(key, user[:len(user)-1])), reason: kpl.BadProtobuf},
		{name: "open group", data: kpltest.Seal(slices.Concat(key, user, group[:1])), reason: kpl.BadProtobuf},
		{name: "field 0", data: kpltest.Seal(slices.Concat(key, user, []byte{0, 0})), reason: kpl.BadProtobuf},
		{name: "field number too great", data: kpltest.Seal(slices.Concat(key, user, varintField(protowire.MaxValidNumber+1, 0))), reason: kpl.BadProtobuf},
		{name: "no key index", data: kpltest.Seal(slices.Concat(key, bytesField(3, bytesField(3, []byte("x"))))), reason: kpl.BadProtobuf},
		{name: "no data", data: kpltest.Seal(slices.Concat(key, bytesField(3, varintField(1, 0)))), reason: kpl.BadProtobuf},
		{name: "bad record", data: kpltest.Seal(slices.Concat(key, bytesField(3, []byte{0x0a}))), reason: kpl.BadProtobuf},
		{name: "bad tag", data: kpltest.Seal(slices.Concat(key, bytesField(3, varintField(1, 0), bytesField(3), bytesField(4, []byte{0x0a})))), reason: kpl.BadProtobuf},
		{name: "tag without key", data: kpltest.Seal(slices.Concat(key, bytesField(3, varintField(1, 0), bytesField(3), bytesField(4)))), reason: kpl.BadProtobuf},
		{name: "no keys", data: kpltest.Seal(user), reason: kpl.BadIndex},
		{name: "index beyond", data: kpltest.Seal(slices.Concat(key, user, bytesField(3, varintField(1, 1), bytesField(3)))), reason: kpl.BadIndex},
		{name: "greatest index", data: kpltest.Seal(slices.Concat(key, bytesField(3, varintField(1, ^uint64(0)), bytesField(3)))), reason: kpl.BadIndex},
		{name: "hash index beyond", data: kpltest.Seal(slices.Concat(key, hash, bytesField(3, varintField(1, 0), varintField(2, 1), bytesField(3)))), reason: kpl.BadIndex},
		{name: "greatest hash index", data: kpltest.Seal(slices.Concat(key, hash, bytesField(3, varintField(1, 0), varintField(2, ^uint64(0)), bytesField(3)))), reason: kpl.BadIndex},
		{name: "no records", data: kpltest.Seal(key), reason: kpl.Empty},
		{name: "many records", data: many, reason: kpl.TooManyRecords},
		{name: "many bytes", data: kpltest.Seal(slices.Concat(key, half, half, user)), reason: kpl.TooManyBytes},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := [][]byte{[]byte("before")}
			got, err := kpl.Split(c.data, before)
			if c.reason == "" {
				if err != nil || string(bytes.Join(got[1:], []byte(" "))) != c.want {
					t.Errorf("got %q, %v; want %q", got, err, c.want)
				}
				return
			}
			if bad, ok := errors.AsType[kpl.Error](err); !ok || bad.Reason != c.reason || bad.Error() == "" {
				t.Errorf("got %v, want %s", err, c.reason)
			}
			if len(got) != 1 || string(got[0]) != "before" {
				t.Errorf("%q of a refused aggregate", got)
			}
		})
	}
}

func TestAggregated(t *testing.T) {
	data, _ := aggregate(1)
	for _, c := range []struct {
		data []byte
		want bool
	}{
		{nil, false}, {[]byte("{}"), false}, {data[:4], false}, {kpltest.Seal(nil), false}, {data[1:], false},
		{kpltest.Seal([]byte{0}), true}, {data[:len(data)-1], true}, {data, true},
	} {
		if got := kpl.Aggregated(c.data); got != c.want {
			t.Errorf("%q: %v", c.data, got)
		}
	}
}

// TestEveryDamage changes every single byte of an aggregate, and cuts it everywhere: nothing but an error comes out.
func TestEveryDamage(t *testing.T) {
	data, _ := aggregate(5)
	for i := range data {
		damaged := bytes.Clone(data)
		damaged[i] ^= 0x10
		if users, err := kpl.Split(damaged, nil); err == nil || users != nil {
			t.Errorf("byte %d changed: %q, %v", i, users, err)
		}
		if users, err := kpl.Split(data[:i], nil); err == nil || users != nil {
			t.Errorf("cut after %d: %q, %v", i, users, err)
		}
	}
}

// official takes data apart with the public library. It panics on a key index out of range.
func official(data []byte) (users [][]byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			users, err = nil, fmt.Errorf("panic: %v", p)
		}
	}()
	records, err := deaggregator.DeaggregateRecords([]types.Record{{Data: data}})
	for _, r := range records {
		users = append(users, r.Data)
	}
	return users, err
}

func TestAgreesWithOfficial(t *testing.T) {
	for _, n := range []int{1, 3, 100} {
		data, _ := aggregate(n)
		want, err := official(data)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := kpl.Split(data, nil); err != nil || !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("%d records: got %q, %v; want %q", n, got, err, want)
		}
	}
}

func TestSplitAllocations(t *testing.T) {
	data, _ := aggregate(100)
	users := make([][]byte, 0, 100)
	if n := testing.AllocsPerRun(100, func() { users, _ = kpl.Split(data, users[:0]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzSplit seals every input as well, so that the fuzzer gets past the checksum, and holds what comes out against
// the public library.
func FuzzSplit(f *testing.F) {
	data, _ := aggregate(3)
	f.Add(data)
	f.Add(data[4 : len(data)-16])
	f.Add(slices.Concat(hash, key, user, bytesField(3, varintField(1, 0), varintField(2, 0), bytesField(3), bytesField(4, bytesField(1, nil)))))
	f.Add([]byte{0x0b, 0x0c, 0xff})
	f.Fuzz(func(t *testing.T, input []byte) {
		for _, data := range [][]byte{input, kpltest.Seal(input)} {
			before := bytes.Clone(data)
			users, err := kpl.Split(data, nil)
			if !bytes.Equal(data, before) {
				t.Fatal("the data was changed")
			}
			if err == nil {
				want, err := official(data)
				if err != nil || !slices.EqualFunc(users, want, bytes.Equal) {
					t.Fatalf("%q: got %q; the public library %q, %v", data, users, want, err)
				}
				continue
			}
			bad, ok := errors.AsType[kpl.Error](err)
			if !ok || users != nil {
				t.Fatalf("%q: %q, %v", data, users, err)
			}
			if bad.Reason == kpl.BadProtobuf {
				if _, err := official(data); err == nil {
					t.Fatalf("%q: only the public library takes it", data)
				}
			}
		}
	})
}

func BenchmarkSplit(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			payloads := slices.Repeat([][]byte{bytes.Repeat([]byte("x"), 165)}, n)
			data := kpltest.Aggregate(slices.Repeat([]string{"key"}, n), payloads)
			users := make([][]byte, 0, n)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if users, err = kpl.Split(data, users[:0]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
