// Package kpl takes apart the aggregates of the Kinesis Producer Library (KPL): one Kinesis record that carries many
// user records, as four magic bytes, a protobuf message and the MD5 of that message.
//
//	message AggregatedRecord {
//	  repeated string partition_key_table     = 1;
//	  repeated string explicit_hash_key_table = 2;
//	  repeated Record records                 = 3;
//	}
//	message Record {
//	  required uint64 partition_key_index     = 1;
//	  optional uint64 explicit_hash_key_index = 2;
//	  required bytes  data                    = 3;
//	  repeated Tag    tags                    = 4;
//	}
//
// An aggregate is taken whole or refused whole, with a reason, and says nothing about the records beside it. The
// official client passes a record on as ordinary data when it starts like an aggregate and the MD5 is wrong. Here it
// is refused: such bytes are a damaged aggregate, and its pieces must not come out as rows. Only a record too short to
// be an aggregate is ordinary data although it starts like one.
//
// Keys, hash keys and tags are checked as far as the format goes and not returned. The package knows no stream and
// filters nothing by hash key.
package kpl

import (
	"bytes"
	"crypto/md5"
)

const magic = "\xf3\x89\x9a\xc2"

// What may come out of one Kinesis record. A producer's own limit is far below; these bound what a hostile one costs.
const (
	MaxRecords = 10_000   // user records
	MaxBytes   = 10 << 20 // of their payloads together; Kinesis itself takes no larger record
)

// Reason says why an aggregate is refused. The set is closed, so that it can label a metric.
type Reason string

// The reasons.
const (
	BadChecksum    Reason = "kpl_checksum"         // the MD5 is not that of the message, or missing
	BadProtobuf    Reason = "kpl_protobuf"         // the message is no AggregatedRecord
	BadIndex       Reason = "kpl_index"            // a user record refers to a key that the tables do not have
	Empty          Reason = "kpl_empty"            // there is no user record
	TooManyRecords Reason = "kpl_too_many_records" // more than MaxRecords
	TooManyBytes   Reason = "kpl_too_many_bytes"   // more than MaxBytes
)

// Error is what Split returns; it refuses the whole aggregate.
type Error struct{ Reason Reason }

func (e Error) Error() string {
	switch e.Reason {
	case BadChecksum:
		return "the KPL aggregate is damaged: its MD5 does not match"
	case BadProtobuf:
		return "the KPL aggregate is no valid protobuf message"
	case BadIndex:
		return "the KPL aggregate refers to a key that it does not contain"
	case Empty:
		return "the KPL aggregate contains no records"
	case TooManyRecords:
		return "the KPL aggregate contains more than 10,000 records"
	case TooManyBytes:
		return "the KPL aggregate contains more than 10 MiB of payload"
	}
	return "the KPL aggregate is refused: " + string(e.Reason)
}

// Aggregated tells whether data is meant as an aggregate: it has the magic, and room for a message and its MD5.
func Aggregated(data []byte) bool {
	return len(data) > len(magic)+md5.Size && string(data[:len(magic)]) == magic
}

// Split appends the payloads of an aggregate's user records to dst, in their order, as slices of data: they live and
// change with data. A refused aggregate leaves dst as it was, and the error is an Error. Only the growth of dst
// allocates. Whether data is an aggregate is asked of Aggregated before; what is none is refused.
func Split(data []byte, dst [][]byte) (users [][]byte, err error) {
	if !Aggregated(data) {
		return dst, Error{BadChecksum}
	}
	end := len(data) - md5.Size
	message := data[len(magic):end:end]
	if sum := md5.Sum(message); !bytes.Equal(sum[:], data[end:]) {
		return dst, Error{BadChecksum}
	}
	users, reason := appendUsers(dst, message)
	if reason != "" {
		return dst, Error{reason}
	}
	return users, nil
}
