package kcltest

import (
	"encoding/binary"
	"time"

	"go.etcd.io/bbolt"
)

// A block is the unit in which records are stored: consecutive records of one shard from one request, under the position of the first. The
// value is the time of arrival (8 bytes, milliseconds), the number of records (4 bytes), and of each record the length of its text, its size
// as the limits count it (both varints), and its text: the very JSON object that GetRecords answers, so that reading is copying.
type block struct {
	first uint64
	value []byte
}

const (
	blockHeader = 12
	// blockTarget is where a block ends. bbolt writes a whole leaf again when a key is added to it, and a leaf holds at least two values
	// whatever their size: small blocks keep that cheap, large ones keep the keys few.
	blockTarget = 32 << 10
)

func (b block) arrival() time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b.value)))
}

// end is the position after the last record.
func (b block) end() uint64 { return b.first + uint64(binary.BigEndian.Uint32(b.value[8:])) }

// each calls f with the records from position from on, until it returns false.
func (b block) each(from uint64, f func(position uint64, size int, text []byte) bool) {
	rest := b.value[blockHeader:]
	for position := b.first; position < b.end(); position++ {
		length, n := binary.Uvarint(rest)
		size, m := binary.Uvarint(rest[n:])
		text := rest[n+m : n+m+int(length)]
		rest = rest[n+m+int(length):]
		if position >= from && !f(position, int(size), text) {
			return
		}
	}
}

// blocksFrom calls f with the blocks from the one that holds position from on, until it returns false.
func blocksFrom(bucket *bbolt.Bucket, from uint64, f func(block) bool) {
	cursor := bucket.Cursor()
	key, value := cursor.Seek(positionKey(from))
	switch {
	case key == nil:
		key, value = cursor.Last()
	case binary.BigEndian.Uint64(key) > from:
		if key, value = cursor.Prev(); key == nil {
			key, value = cursor.First()
		}
	}
	for ; key != nil; key, value = cursor.Next() {
		if b := (block{binary.BigEndian.Uint64(key), value}); b.end() > from && !f(b) {
			return
		}
	}
}

func positionKey(position uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 0, 8), position)
}

// blockWriter gathers the records of one shard from one request as blocks. It is used again for the next request.
type blockWriter struct {
	buffer []byte
	blocks []blockStart
	next   uint64 // position after the last record gathered
}

type blockStart struct {
	first  uint64
	offset int
}

func (w *blockWriter) reset(next uint64) {
	w.buffer, w.blocks, w.next = w.buffer[:0], w.blocks[:0], next
}

// add gathers a record's text, which takes the position w.next.
func (w *blockWriter) add(arrival time.Time, size int, text []byte) {
	if n := len(w.blocks); n == 0 || len(w.buffer)-w.blocks[n-1].offset >= blockTarget {
		w.blocks = append(w.blocks, blockStart{w.next, len(w.buffer)})
		w.buffer = binary.BigEndian.AppendUint64(w.buffer, uint64(arrival.UnixMilli()))
		w.buffer = append(w.buffer, 0, 0, 0, 0) // the count, known at the end
	}
	w.buffer = binary.AppendUvarint(w.buffer, uint64(len(text)))
	w.buffer = binary.AppendUvarint(w.buffer, uint64(size))
	w.buffer = append(w.buffer, text...)
	w.next++
}

// store puts the blocks in bucket. The transaction must end before the next reset: bbolt keeps the values until then.
func (w *blockWriter) store(bucket *bbolt.Bucket) error {
	bucket.FillPercent = 1 // keys only ever grow
	for i, b := range w.blocks {
		end, endOffset := w.next, len(w.buffer)
		if i+1 < len(w.blocks) {
			end, endOffset = w.blocks[i+1].first, w.blocks[i+1].offset
		}
		value := w.buffer[b.offset:endOffset:endOffset]
		binary.BigEndian.PutUint32(value[8:], uint32(end-b.first))
		if err := bucket.Put(positionKey(b.first), value); err != nil {
			return err
		}
	}
	return nil
}

// dropBlocks deletes the blocks for which drop is true, from the oldest on until one is not, and returns the position after them, 0 where
// there were none.
func dropBlocks(bucket *bbolt.Bucket, drop func(block) bool) (end uint64, err error) {
	cursor := bucket.Cursor()
	for key, value := cursor.First(); key != nil; key, value = cursor.First() {
		b := block{binary.BigEndian.Uint64(key), value}
		if !drop(b) {
			break
		}
		end = b.end()
		if err := cursor.Delete(); err != nil {
			return 0, err
		}
	}
	return end, nil
}
