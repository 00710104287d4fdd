package e2e

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/sluice-etl/sluice/internal/e2e/check"
)

// producer puts records into a stream, and writes down what was acknowledged. It belongs to one goroutine: so the records
// of a key are put in the order in which they are made.
type producer struct {
	client *kinesis.Client
	stream string
	ledger *check.Ledger
	random *rand.Rand
	counts [keys]int // the records of each key so far
}

const (
	keys      = 200
	batchSize = 500
)

// record is a Kinesis record, and the payloads that must come out of it.
type record struct {
	key      string
	data     []byte
	payloads [][]byte
}

// bad are payloads that must be rejected, with their bytes.
func bad() [][]byte {
	return [][]byte{
		[]byte("this is no JSON"),
		[]byte("\n"),
		[]byte(`[{"key":"key-1","n":1}]`),
		[]byte(`"text"`),
		[]byte(`{"key":"key-1","n":`),
		[]byte("{\"key\":\"\xff\xfe\",\"n\":1}"),
		[]byte(strings.Repeat(`{"key":`, 100) + "1" + strings.Repeat("}", 100)),
		[]byte(`{"key":"key-1","n":NaN}`),
		[]byte("{\"key\":\"\x00\"}"),
		append([]byte("\xf3\x89\x9a\xc2\xff\xff\xff\xff no protobuf"), make([]byte, md5.Size)...),
		spoilt(aggregate("key-1", [][]byte{[]byte(`{"key":"key-1","n":1}`)})),
	}
}

// spoilt flips a bit of an aggregate's checksum.
func spoilt(data []byte) []byte {
	data[len(data)-1] ^= 1
	return data
}

// aggregate packs user records as the Kinesis Producer Library does: a magic number, a protobuf message
// (1: table of partition keys, 3: records of 1: index of the key, 3: data), and the message's MD5.
func aggregate(key string, payloads [][]byte) []byte {
	field := func(dst []byte, number byte, data []byte) []byte {
		dst = binary.AppendUvarint(append(dst, number<<3|2), uint64(len(data)))
		return append(dst, data...)
	}
	message := field(nil, 1, []byte(key))
	for _, p := range payloads {
		message = field(message, 3, field([]byte{1 << 3, 0}, 3, p))
	}
	sum := md5.Sum(message)
	return append(append([]byte("\xf3\x89\x9a\xc2"), message...), sum[:]...)
}

// good makes a payload of a key. A few hold what the first records did not: it must not be lost.
func (p *producer) good(key int) []byte {
	n := p.counts[key]
	p.counts[key]++
	more := ""
	switch p.random.IntN(500) {
	case 0:
		more = `,"Extra":{"a":[1, 2.50]}`
	case 1:
		more = `,"big":12345678901234567890,"n":1.5` // the later n wins, and fits no int64
	case 2:
		more = `,"text":"\ud83d\ude00 \"\u00e9\"","text2":"\ud83d"`
	case 3:
		more = `,"price":1e400`
	}
	price := float64(p.random.IntN(1_000_000)) / 100
	return fmt.Appendf(nil, `{"key":"key-%d","n":%d,"price":%v,"ok":%t,"at":"2026-03-04T05:06:%02d.%03dZ","note":null%s}`,
		key, n, price, n%3 == 0, n%60, n%1000, more)
}

// make makes the next record: mostly one payload, sometimes several lines or an aggregate.
func (p *producer) make() record {
	key := p.random.IntN(keys)
	r := record{key: fmt.Sprintf("key-%d", key)}
	several := func() {
		for range 2 + p.random.IntN(8) {
			r.payloads = append(r.payloads, p.good(key))
		}
	}
	switch p.random.IntN(1000) {
	case 0:
		several()
		r.data = aggregate(r.key, r.payloads)
	case 1:
		several()
		r.data = append(bytes.Join(r.payloads, []byte("\n")), '\n')
	default:
		r.payloads = [][]byte{p.good(key)}
		r.data = r.payloads[0]
	}
	return r
}

// makeBad makes the n-th record that must be rejected.
func makeBad(n int) record {
	list := bad()
	data := list[n%len(list)]
	return record{key: fmt.Sprintf("key-%d", n%keys), data: data, payloads: [][]byte{data}}
}

// put puts records, and enters them into the ledger in the order in which they stand in the request.
func (p *producer) put(ctx context.Context, t *testing.T, records []record) {
	t.Helper()
	input := kinesis.PutRecordsInput{StreamName: &p.stream}
	for _, r := range records {
		input.Records = append(input.Records, types.PutRecordsRequestEntry{PartitionKey: aws.String(r.key), Data: r.data})
	}
	answer, err := p.client.PutRecords(ctx, &input)
	if err != nil {
		t.Fatalf("PutRecords: %v", err)
	}
	for i, result := range answer.Records {
		if result.ErrorCode != nil {
			// Later records of the same key are in the stream already: put again it would come after them.
			t.Fatalf("PutRecords refused a record: %s %s", *result.ErrorCode, aws.ToString(result.ErrorMessage))
		}
		for sub, payload := range records[i].payloads {
			entry := check.NewEntry(*result.ShardId, *result.SequenceNumber, int32(sub), records[i].key, payload)
			if err := p.ledger.Add(entry); err != nil {
				t.Fatal(err)
			}
		}
	}
}
