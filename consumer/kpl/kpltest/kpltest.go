// Package kpltest makes aggregates as the Kinesis Producer Library does, for tests. It is no producer: it knows no
// limit and sends nothing.
package kpltest

import (
	"crypto/md5"

	"google.golang.org/protobuf/encoding/protowire"
)

// Aggregate puts payloads into one Kinesis record's data, each under the partition key at its index. Keys used several
// times are stored once. It panics unless there are as many keys as payloads.
func Aggregate(keys []string, payloads [][]byte) []byte {
	if len(keys) != len(payloads) {
		panic("kpltest: every payload needs a key")
	}
	var message []byte
	index := map[string]uint64{}
	for _, key := range keys {
		if _, ok := index[key]; !ok {
			index[key] = uint64(len(index))
			message = protowire.AppendTag(message, 1, protowire.BytesType)
			message = protowire.AppendString(message, key)
		}
	}
	for i, payload := range payloads {
		record := protowire.AppendTag(nil, 1, protowire.VarintType)
		record = protowire.AppendVarint(record, index[keys[i]])
		record = protowire.AppendTag(record, 3, protowire.BytesType)
		record = protowire.AppendBytes(record, payload)
		message = protowire.AppendTag(message, 3, protowire.BytesType)
		message = protowire.AppendBytes(message, record)
	}
	return Seal(message)
}

// Seal puts the magic before and the MD5 after a message, whatever it is: so that a bad message has a good checksum.
func Seal(message []byte) []byte {
	data := append([]byte{0xf3, 0x89, 0x9a, 0xc2}, message...)
	sum := md5.Sum(message)
	return append(data, sum[:]...)
}
