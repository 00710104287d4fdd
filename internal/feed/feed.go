// Package feed puts generated records into a stream, each when it is due.
package feed

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/internal/kdg"
)

// Producer puts records into a stream: a *consumer.Producer, or a *consumer.Firehose.
type Producer interface {
	// Put puts at most consumer.MaxPutRecords records of at most consumer.MaxPutBytes.
	Put(ctx context.Context, records []consumer.Outgoing) error
}

// Feed says what to put where. All fields but the last five are required.
type Feed struct {
	Records  *kdg.Stream
	Producer Producer
	Key      PartitionKey

	Count    int           // of records; 0: no limit
	Duration time.Duration // for which records are due; 0: no limit
	Unpaced  bool          // put records as fast as the stream takes them, and not when they are due
	ByClock  bool          // records are due at the times that they show: those of the past at once
	Newlines bool          // leave each record the newline at its end: for a stream that sets none between records
}

// tick is how often the records that are due are put: often enough for the lag to stay small, seldom enough for
// full requests.
const tick = 50 * time.Millisecond

// Run puts records until as many as wanted are in the stream or the context ends, which is no error. started is the time at
// which the first record is due, by the records' own clock; a record is put when as much time has gone by, unless ByClock.
func (f *Feed) Run(ctx context.Context, started time.Time) error {
	begun := time.Now()
	if f.ByClock {
		begun = started
	}
	var batch []consumer.Outgoing
	size := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := f.Producer.Put(ctx, batch)
		batch, size = nil, 0
		return err
	}
	for n := 0; f.Count == 0 || n < f.Count; n++ {
		record, _, at := f.Records.Next(nil)
		due := at.Sub(started)
		if f.Duration > 0 && due >= f.Duration {
			break
		}
		if wait := due - time.Since(begun); wait > 0 && !f.Unpaced {
			if err := flush(); err != nil {
				return ended(ctx, err)
			}
			select {
			case <-time.After(max(wait, tick)):
			case <-ctx.Done():
				return nil
			}
		}
		key, err := f.Key(record)
		if err != nil {
			return err
		}
		if len(batch) == consumer.MaxPutRecords || size+len(record)+len(key) > consumer.MaxPutBytes {
			if err := flush(); err != nil {
				return ended(ctx, err)
			}
		}
		if !f.Newlines {
			record = bytes.TrimSuffix(record, []byte("\n"))
		}
		batch = append(batch, consumer.Outgoing{PartitionKey: key, Data: record})
		size += len(record) + len(key)
	}
	return ended(ctx, flush())
}

func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// PartitionKey gives a record's partition key.
type PartitionKey func(record []byte) (string, error)

// RandomKey spreads records evenly, the same way for the same seed.
func RandomKey(seed uint64) PartitionKey {
	random := rand.New(rand.NewPCG(seed, 0x6b6579)) // a sequence of its own
	return func([]byte) (string, error) { return strconv.FormatUint(random.Uint64(), 36), nil }
}

// FieldKey takes the value of a field at the top of JSON records.
func FieldKey(field string) PartitionKey {
	return func(record []byte) (string, error) {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(record, &fields); err != nil {
			return "", fmt.Errorf("the partition key is to be the field %q, but the record is no JSON object: %w", field, err)
		}
		value, ok := fields[field]
		if !ok {
			return "", fmt.Errorf("the partition key is to be the field %q, which a record lacks: %.200s", field, record)
		}
		var text string
		if json.Unmarshal(value, &text) != nil {
			text = string(value)
		}
		if text == "" || len(text) > 256 {
			return "", fmt.Errorf("the field %q has %d bytes; a partition key has 1 to 256", field, len(text))
		}
		return text, nil
	}
}
