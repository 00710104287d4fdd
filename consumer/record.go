package consumer

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/sluice-etl/sluice/consumer/kpl"
)

// Record is one record of a Kinesis shard.
type Record struct {
	SequenceNumber string
	PartitionKey   string
	Arrival        time.Time // approximate, set by Kinesis
	Data           []byte    // as it came
	User           [][]byte  // the payloads: Data itself, or the user records of a KPL aggregate
	Err            error     // why an aggregate could not be taken apart; User is empty then
}

// Fetch is what one read of a shard gave.
type Fetch struct {
	Records      []Record
	BehindLatest time.Duration // how far the read was behind the newest record of the shard
	End          bool          // the shard is closed and this was the last of it
}

// newRecords takes over the records of one answer, whose data carries the marker (see markRecords). Each is
// de-aggregated alone, so that a bad one spoils no neighbour.
func newRecords(answer []types.Record) []Record {
	records := make([]Record, len(answer))
	users := make([][]byte, 0, len(answer))
	for i := range answer {
		r, a := &records[i], &answer[i]
		r.SequenceNumber = aws.ToString(a.SequenceNumber)
		r.PartitionKey = aws.ToString(a.PartitionKey)
		r.Arrival = aws.ToTime(a.ApproximateArrivalTimestamp)
		r.Data = a.Data[len(marker):]
		start := len(users)
		if kpl.Aggregated(r.Data) {
			split, err := kpl.Split(r.Data, users)
			if err != nil {
				r.Err = err
				continue
			}
			users = split
		} else {
			users = append(users, r.Data)
		}
		r.User = users[start:len(users):len(users)]
	}
	return records
}

// marker is put before every record's data on its way through the library, so that the library, which drops a
// whole answer for one corrupt aggregate, never sees an aggregate.
const marker = "."

// markRecords puts the marker before the data of each record, in one allocation.
func markRecords(records []types.Record) {
	size := 0
	for i := range records {
		size += len(marker) + len(records[i].Data)
	}
	block := make([]byte, 0, size)
	for i := range records {
		start := len(block)
		block = append(append(block, marker...), records[i].Data...)
		records[i].Data = block[start:len(block):len(block)]
	}
}

// after tells whether sequence number a is later than b. They are decimal integers without leading zeros.
func after(a, b string) bool {
	if len(a) != len(b) {
		return len(a) > len(b)
	}
	return a > b
}
