// Package kpltest makes aggregated records as the Kinesis Producer Library does, for tests.
package kpltest

import (
	"crypto/md5"

	"google.golang.org/protobuf/encoding/protowire"
)

// Aggregate packs payloads, each under its key, into one record.
func Aggregate(keys []string, payloads [][]byte) []byte {
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
		var user []byte
		user = protowire.AppendTag(user, 1, protowire.VarintType)
		user = protowire.AppendVarint(user, index[keys[i]])
		user = protowire.AppendTag(user, 3, protowire.BytesType)
		user = protowire.AppendBytes(user, payload)
		message = protowire.AppendTag(message, 3, protowire.BytesType)
		message = protowire.AppendBytes(message, user)
	}
	return Seal(message)
}

// Seal puts the magic bytes before a message, valid or not, and its checksum after it.
func Seal(message []byte) []byte {
	sum := md5.Sum(message)
	return append(append([]byte("\xf3\x89\x9a\xc2"), message...), sum[:]...)
}
