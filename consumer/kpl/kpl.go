// Package kpl takes apart the aggregated records of the Kinesis Producer Library, which packs many user records into
// one Kinesis record: four magic bytes, a protobuf message, and the MD5 of that message. The format is published at
// https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md.
//
// Every record is judged alone and within bounds; the package has no state and reads nothing but its argument.
package kpl

import (
	"bytes"
	"crypto/md5"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// The bounds of what one Kinesis record may unpack to. A byte of protobuf can stand for a user record that is empty,
// so that a hostile record of 1 MiB could hold half a million.
const (
	MaxRecords = 10_000
	MaxBytes   = 10 << 20 // payloads together
)

const magic = "\xf3\x89\x9a\xc2"

// Error tells why an aggregate cannot be taken apart. Reason is one of a closed set, for metrics.
type Error struct {
	Reason string // checksum, protobuf, index, empty or too_large
	Detail string
}

func (e *Error) Error() string { return "KPL aggregate: " + e.Detail }

// Aggregated tells whether data claims to be an aggregate: it begins with the magic bytes and has room for the
// checksum. Text, and so JSON, never begins with them: they are no UTF-8.
func Aggregated(data []byte) bool {
	return len(data) >= len(magic)+md5.Size && string(data[:len(magic)]) == magic
}

// Split appends the payloads of an aggregate's user records to users, in order, as parts of data. On an error,
// which is an *Error, it returns users as they were. Where the checksum differs the record is refused, and not taken
// for one that happens to begin with the magic bytes, as other consumers do: its bytes are kept with the rejects.
func Split(data []byte, users [][]byte) ([][]byte, error) {
	message := data[len(magic) : len(data)-md5.Size]
	if sum := md5.Sum(message); !bytes.Equal(sum[:], data[len(data)-md5.Size:]) {
		return users, &Error{"checksum", "the MD5 differs from that of its content"}
	}

	// The tables may follow the records that point into them; so they are counted first.
	var partitionKeys, hashKeys, records uint64
	err := fields(message, func(number protowire.Number, _ []byte, _ uint64) error {
		switch number {
		case 1:
			partitionKeys++
		case 2:
			hashKeys++
		case 3:
			records++
		}
		return nil
	})
	switch {
	case err != nil:
		return users, err
	case records == 0:
		return users, &Error{"empty", "it holds no user record"}
	case records > MaxRecords:
		return users, &Error{"too_large", fmt.Sprintf("it holds %d user records, more than %d", records, MaxRecords)}
	}

	out, size := users, 0
	err = fields(message, func(number protowire.Number, value []byte, _ uint64) error {
		if number != 3 {
			return nil
		}
		payload, err := userRecord(value, partitionKeys, hashKeys)
		if err != nil {
			return err
		}
		if size += len(payload); size > MaxBytes {
			return &Error{"too_large", fmt.Sprintf("its payloads are more than %d bytes", MaxBytes)}
		}
		out = append(out, payload)
		return nil
	})
	if err != nil {
		return users, err
	}
	return out, nil
}

// userRecord gives the payload of one user record, whose keys must be in the aggregate's tables.
func userRecord(message []byte, partitionKeys, hashKeys uint64) (payload []byte, err error) {
	keyed, hasData := false, false
	err = fields(message, func(number protowire.Number, value []byte, index uint64) error {
		switch number {
		case 1:
			keyed = true
			if index >= partitionKeys {
				return &Error{"index", fmt.Sprintf("a user record has partition key %d of %d", index, partitionKeys)}
			}
		case 2:
			if index >= hashKeys {
				return &Error{"index", fmt.Sprintf("a user record has explicit hash key %d of %d", index, hashKeys)}
			}
		case 3:
			payload, hasData = value, true
		}
		return nil
	})
	if err == nil && !(keyed && hasData) {
		err = &Error{"protobuf", "a user record lacks its key or its data"}
	}
	return payload, err
}

// fields walks over a message's fields, all of which the format numbers alike: 1 and 2 are keys, 3 is what they are
// for. Fields with other numbers are of a later version, and passed over.
func fields(message []byte, each func(number protowire.Number, value []byte, index uint64) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return &Error{"protobuf", protowire.ParseError(n).Error()}
		}
		message = message[n:]
		var value []byte
		var index uint64
		switch kind {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(message)
		case protowire.VarintType:
			index, n = protowire.ConsumeVarint(message)
		default:
			n = protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			return &Error{"protobuf", protowire.ParseError(n).Error()}
		}
		message = message[n:]
		if err := each(number, value, index); err != nil {
			return err
		}
	}
	return nil
}
