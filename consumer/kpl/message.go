package kpl

import "google.golang.org/protobuf/encoding/protowire"

// The fields of AggregatedRecord, of Record, and of Tag.
const (
	partitionKeysField protowire.Number = 1
	hashKeysField      protowire.Number = 2
	recordsField       protowire.Number = 3

	partitionKeyIndexField protowire.Number = 1
	hashKeyIndexField      protowire.Number = 2
	dataField              protowire.Number = 3
	tagsField              protowire.Number = 4

	tagKeyField protowire.Number = 1
)

// field is one field of a message. As everywhere in protobuf, one with an unknown number, or of another type than the
// number has, is passed over.
type field struct {
	number protowire.Number
	kind   protowire.Type
	bytes  []byte // of a BytesType
	varint uint64 // of a VarintType
}

func (f *field) is(number protowire.Number, kind protowire.Type) bool {
	return f.number == number && f.kind == kind
}

// next reads a message's first field. The rest is what follows it; ok is false where there is no valid field.
func next(message []byte) (f field, rest []byte, ok bool) {
	var n int
	f.number, f.kind, n = protowire.ConsumeTag(message)
	if n < 0 || !f.number.IsValid() { // ConsumeTag lets numbers beyond protobuf's greatest pass
		return f, nil, false
	}
	message = message[n:]
	switch f.kind {
	case protowire.VarintType:
		f.varint, n = protowire.ConsumeVarint(message)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(message)
	default:
		n = protowire.ConsumeFieldValue(f.number, f.kind, message)
	}
	if n < 0 {
		return f, nil, false
	}
	return f, message[n:], true
}

// appendUsers appends the payloads of an AggregatedRecord. The tables may come after the records that refer to them,
// and in pieces, so the indexes are held against them at the end.
func appendUsers(users [][]byte, message []byte) ([][]byte, Reason) {
	var keys, hashes uint64         // the sizes of the tables,
	var keysUsed, hashesUsed uint64 // and those that the records need
	var count, size int
	for len(message) > 0 {
		f, rest, ok := next(message)
		if !ok {
			return nil, BadProtobuf
		}
		message = rest
		switch {
		case f.is(partitionKeysField, protowire.BytesType):
			keys++
		case f.is(hashKeysField, protowire.BytesType):
			hashes++
		case f.is(recordsField, protowire.BytesType):
			r, ok := parseRecord(f.bytes)
			if !ok {
				return nil, BadProtobuf
			}
			if count++; count > MaxRecords {
				return nil, TooManyRecords
			}
			if size += len(r.data); size > MaxBytes {
				return nil, TooManyBytes
			}
			if r.key == none || r.hasHash && r.hash == none {
				return nil, BadIndex
			}
			keysUsed = max(keysUsed, r.key+1)
			if r.hasHash {
				hashesUsed = max(hashesUsed, r.hash+1)
			}
			users = append(users, r.data)
		}
	}
	switch {
	case count == 0:
		return nil, Empty
	case keysUsed > keys || hashesUsed > hashes:
		return nil, BadIndex
	}
	return users, ""
}

// none is an index that no table has, and that cannot be counted up.
const none = ^uint64(0)

type record struct {
	key, hash       uint64
	hasKey, hasHash bool
	hasData         bool
	data            []byte
}

// parseRecord reads a Record. Of a field that comes twice the last counts; without a required one there is no Record.
func parseRecord(message []byte) (r record, ok bool) {
	for len(message) > 0 {
		f, rest, ok := next(message)
		if !ok {
			return r, false
		}
		message = rest
		switch {
		case f.is(partitionKeyIndexField, protowire.VarintType):
			r.key, r.hasKey = f.varint, true
		case f.is(hashKeyIndexField, protowire.VarintType):
			r.hash, r.hasHash = f.varint, true
		case f.is(dataField, protowire.BytesType):
			r.data, r.hasData = f.bytes[:len(f.bytes):len(f.bytes)], true
		case f.is(tagsField, protowire.BytesType):
			if !validTag(f.bytes) {
				return r, false
			}
		}
	}
	return r, r.hasKey && r.hasData
}

func validTag(message []byte) bool {
	hasKey := false
	for len(message) > 0 {
		f, rest, ok := next(message)
		if !ok {
			return false
		}
		message = rest
		hasKey = hasKey || f.is(tagKeyField, protowire.BytesType)
	}
	return hasKey
}
