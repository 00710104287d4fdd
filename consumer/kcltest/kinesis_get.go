package kcltest

import (
	"encoding/json"
	"math"
	"strconv"

	"go.etcd.io/bbolt"
)

type getRecordsInput struct {
	ShardIterator string
	Limit         *int
}

// getRecords answers GetRecords. The answer is put together by hand, of the texts that were stored.
func (k *kinesis) getRecords(body, dst []byte) ([]byte, *apiError) {
	var in getRecordsInput
	if err := decode(body, &in); err != nil {
		return nil, err
	}
	limit := maxAnswerRecords
	if in.Limit != nil {
		if limit = *in.Limit; limit < 1 || limit > maxAnswerRecords {
			return nil, invalid("limit", strconv.Itoa(limit), "Member must have value between 1 and 10000, inclusive")
		}
	} else if k.options.NoRecordLimit {
		limit = math.MaxInt
	}
	from, ok := parseToken(in.ShardIterator)
	if !ok || from.Position == 0 {
		return nil, badArgument("Invalid ShardIterator.")
	}
	now := k.now()
	if message := from.expired(now); message != "" {
		return nil, &apiError{Status: 400, Code: "ExpiredIteratorException", Message: message}
	}

	k.mu.RLock()
	defer k.mu.RUnlock()
	s := k.streams[from.Stream]
	var sh *shard
	if s != nil && s.Created.Equal(from.Created) {
		sh = s.shard(from.Shard)
	}
	if sh == nil {
		return nil, notFound("Shard %s in stream %s under account %s does not exist", from.Shard, from.Stream, account)
	}
	if !sh.reads.take(now, k.options.ReadCallLimit) {
		return nil, exceeded(s.Name, sh.id)
	}

	next := max(from.Position, sh.Trimmed)
	taken, size, behind := 0, 0, int64(0)
	dst = append(dst, `{"Records":[`...)
	failed := k.db.View(func(tx *bbolt.Tx) error {
		blocksFrom(records(tx, s.Name, sh.id), next, func(b block) bool {
			if now.Sub(b.arrival()) > retention {
				next = b.end()
				return true
			}
			full := false
			b.each(next, func(position uint64, recordSize int, text []byte) bool {
				if full = taken == limit || taken > 0 && size+recordSize > maxAnswerBytes && !k.options.NoByteLimit; full {
					return false
				}
				if taken > 0 {
					dst = append(dst, ',')
				}
				dst = append(dst, text...)
				taken++
				size += recordSize
				next = position + 1
				return true
			})
			if full {
				behind = max(now.Sub(b.arrival()).Milliseconds(), 1)
			}
			return !full
		})
		return nil
	})
	if failed != nil {
		return nil, internal("read records", failed)
	}
	if k.options.ReadByteLimit {
		sh.reads.gave(now, size)
	}

	dst = append(dst, `],"MillisBehindLatest":`...)
	dst = strconv.AppendInt(dst, behind, 10)
	if sh.Closed.IsZero() || next < sh.next {
		dst = append(dst, `,"NextShardIterator":"`...)
		dst = append(dst, k.iterator(s, sh, next)...)
		return append(dst, `"}`...), nil
	}
	children, err := json.Marshal(childrenOf(s, sh))
	if err != nil {
		return nil, internal("encode child shards", err)
	}
	dst = append(dst, `,"ChildShards":`...)
	dst = append(dst, children...)
	return append(dst, '}'), nil
}

// ChildShard is a shard that goes on where one that was split or merged ended.
type ChildShard struct {
	ShardId      string
	ParentShards []string
	HashKeyRange HashKeyRange
}

// HashKeyRange is a range of hash keys, both ends inclusive, as decimal numbers.
type HashKeyRange struct{ StartingHashKey, EndingHashKey string }

func childrenOf(s *stream, parent *shard) []ChildShard {
	children := []ChildShard{}
	for _, sh := range s.Shards {
		if sh.Parent != parent.id && sh.Adjacent != parent.id {
			continue
		}
		child := ChildShard{ShardId: sh.id, ParentShards: []string{sh.Parent}, HashKeyRange: sh.hashKeys()}
		if sh.Adjacent != "" {
			child.ParentShards = append(child.ParentShards, sh.Adjacent)
		}
		children = append(children, child)
	}
	return children
}

func (s *shard) hashKeys() HashKeyRange {
	return HashKeyRange{StartingHashKey: s.Start.String(), EndingHashKey: s.End.String()}
}
