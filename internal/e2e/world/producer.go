package world

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// Producer puts records into a stream. It belongs to one goroutine: so the records of a key are put in the order in which
// they are made.
type Producer struct {
	Client *kinesis.Client
	Random *rand.Rand
	// Loud is the share of the records that one key has, beside its part of the others.
	Loud float64
	// Intended, if set, is told of records before they are put, with the time. Its error keeps them from being put.
	Intended func([]Record, time.Time) error
	// Acknowledged is told of the records that the stream has taken, in the order in which they stood in the request.
	Acknowledged func([]Taken, time.Time) error

	counts [keys]int // the records of each key so far
	made   int64
}

const (
	keys = 200
	// BatchSize is the most records that one call can put.
	BatchSize = 500
)

// Record is a Kinesis record, and the payloads that must come out of it.
type Record struct {
	ID       int64 // unique for a producer
	Key      string
	Data     []byte
	Payloads [][]byte
	Rejected bool // all of its payloads must become rejects, and not rows
}

// Taken is a record with its place in the stream.
type Taken struct {
	Record
	Shard, Seq string
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
func (p *Producer) good(key int) []byte {
	n := p.counts[key]
	p.counts[key]++
	more := ""
	switch p.Random.IntN(500) {
	case 0:
		more = `,"Extra":{"a":[1, 2.50]}`
	case 1:
		more = `,"big":12345678901234567890,"n":1.5` // the later n wins, and fits no int64
	case 2:
		more = `,"text":"\ud83d\ude00 \"\u00e9\"","text2":"\ud83d"`
	case 3:
		more = `,"price":1e400`
	}
	price := float64(p.Random.IntN(1_000_000)) / 100
	return fmt.Appendf(nil, `{"key":"key-%d","n":%d,"price":%v,"ok":%t,"at":"2026-03-04T05:06:%02d.%03dZ","note":null%s}`,
		key, n, price, n%3 == 0, n%60, n%1000, more)
}

// Make makes the next record: mostly one payload, sometimes several lines or an aggregate.
func (p *Producer) Make() Record {
	key := p.Random.IntN(keys)
	if p.Loud > 0 && p.Random.Float64() < p.Loud {
		key = 0
	}
	r := Record{ID: p.made, Key: fmt.Sprintf("key-%d", key)}
	p.made++
	several := func() {
		for range 2 + p.Random.IntN(8) {
			r.Payloads = append(r.Payloads, p.good(key))
		}
	}
	switch p.Random.IntN(1000) {
	case 0:
		several()
		r.Data = aggregate(r.Key, r.Payloads)
	case 1:
		several()
		r.Data = append(bytes.Join(r.Payloads, []byte("\n")), '\n')
	default:
		r.Payloads = [][]byte{p.good(key)}
		r.Data = r.Payloads[0]
	}
	return r
}

// MakeBad makes the next record as one that must be rejected; n chooses which of its kinds.
func (p *Producer) MakeBad(n int) Record {
	list := bad()
	data := list[n%len(list)]
	p.made++
	return Record{ID: p.made - 1, Key: fmt.Sprintf("key-%d", n%keys), Data: data, Payloads: [][]byte{data}, Rejected: true}
}

// ErrRefused tells that the stream took a part of a call's records only. Later records of the keys of those that it
// refused may be in the stream already: put again they would come after them.
var ErrRefused = errors.New("records were refused")

// Put puts records by one call, at most BatchSize. After an error it is not known which of them are in the stream.
func (p *Producer) Put(ctx context.Context, records []Record) error {
	if p.Intended != nil {
		if err := p.Intended(records, time.Now()); err != nil {
			return err
		}
	}
	input := kinesis.PutRecordsInput{StreamName: aws.String(Stream)}
	for _, r := range records {
		input.Records = append(input.Records, types.PutRecordsRequestEntry{PartitionKey: aws.String(r.Key), Data: r.Data})
	}
	answer, err := p.Client.PutRecords(ctx, &input)
	if err != nil {
		return fmt.Errorf("PutRecords: %w", err)
	}
	var taken []Taken
	var refused *types.PutRecordsResultEntry
	for i, result := range answer.Records {
		if result.ErrorCode != nil {
			refused = &result
			continue
		}
		taken = append(taken, Taken{records[i], aws.ToString(result.ShardId), aws.ToString(result.SequenceNumber)})
	}
	if err := p.Acknowledged(taken, time.Now()); err != nil {
		return err
	}
	if refused != nil {
		return fmt.Errorf("PutRecords: %d of %d %w, one with %s: %s", len(records)-len(taken), len(records), ErrRefused,
			*refused.ErrorCode, aws.ToString(refused.ErrorMessage))
	}
	return nil
}
