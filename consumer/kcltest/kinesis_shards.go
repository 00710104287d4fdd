package kcltest

import (
	"math/big"
	"strconv"
	"time"
)

type shardOutput struct {
	ShardId               string
	ParentShardId         string `json:",omitempty"`
	AdjacentParentShardId string `json:",omitempty"`
	HashKeyRange          HashKeyRange
	SequenceNumberRange   sequenceRange
}

type sequenceRange struct {
	StartingSequenceNumber string
	EndingSequenceNumber   string `json:",omitempty"`
}

func (s *shard) output() shardOutput {
	out := shardOutput{
		ShardId:               s.id,
		ParentShardId:         s.Parent,
		AdjacentParentShardId: s.Adjacent,
		HashKeyRange:          s.hashKeys(),
		SequenceNumberRange:   sequenceRange{StartingSequenceNumber: s.starting().String()},
	}
	if !s.Closed.IsZero() {
		out.SequenceNumberRange.EndingSequenceNumber = s.ending().String()
	}
	return out
}

// filter is ListShards' ShardFilter.
type filter struct {
	Type      string
	ShardId   string   `json:",omitempty"`
	Timestamp *seconds `json:",omitempty"`
}

// matches returns which shards a filter lets through.
func (f *filter) matches(s *stream, now time.Time) (func(*shard) bool, *apiError) {
	if f == nil {
		return func(*shard) bool { return true }, nil
	}
	at := now.Add(-retention)
	if at.Before(s.Created) {
		at = s.Created
	}
	switch f.Type {
	case "AFTER_SHARD_ID":
		if f.ShardId == "" {
			return nil, badArgument("ShardFilter AFTER_SHARD_ID needs a ShardId.")
		}
		return func(sh *shard) bool { return sh.id > f.ShardId }, nil
	case "AT_LATEST":
		return func(sh *shard) bool { return sh.Closed.IsZero() }, nil
	case "AT_TIMESTAMP", "FROM_TIMESTAMP":
		if f.Timestamp == nil {
			return nil, badArgument("ShardFilter %s needs a Timestamp.", f.Type)
		}
		if asked := f.Timestamp.time(); asked.After(at) {
			at = asked
		}
	case "AT_TRIM_HORIZON", "FROM_TRIM_HORIZON":
	default:
		return nil, invalid("shardFilter.type", "'"+f.Type+"'",
			"Member must satisfy enum value set: [AFTER_SHARD_ID, AT_TRIM_HORIZON, FROM_TRIM_HORIZON, AT_LATEST, AT_TIMESTAMP, FROM_TIMESTAMP]")
	}
	from := f.Type == "FROM_TIMESTAMP" || f.Type == "FROM_TRIM_HORIZON"
	return func(sh *shard) bool {
		return (sh.Closed.IsZero() || sh.Closed.After(at)) && (from || !sh.Opened.After(at))
	}, nil
}

type listShardsInput struct {
	streamRef
	ExclusiveStartShardId string
	MaxResults            *int
	NextToken             string
	ShardFilter           *filter
}

type listShardsOutput struct {
	Shards    []shardOutput
	NextToken string `json:",omitempty"`
}

func (k *kinesis) listShards(in *listShardsInput) (any, *apiError) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	most := 1000
	if in.MaxResults != nil {
		if most = *in.MaxResults; most < 1 || most > 10_000 {
			return nil, invalid("maxResults", strconv.Itoa(most), "Member must have value between 1 and 10000, inclusive")
		}
	}
	after, shards := in.ExclusiveStartShardId, in.ShardFilter
	if in.NextToken != "" {
		if in.StreamName != "" || in.StreamARN != "" {
			return nil, badArgument("NextToken and StreamName cannot be provided together.")
		}
		t, ok := parseToken(in.NextToken)
		if !ok {
			return nil, badArgument("Invalid NextToken.")
		}
		if message := t.expired(k.now()); message != "" {
			return nil, &apiError{Status: 400, Code: "ExpiredNextTokenException", Message: message}
		}
		in.StreamName, after, shards = t.Stream, t.Shard, t.Filter
	} else if in.StreamName == "" && in.StreamARN == "" {
		return nil, badArgument("Either NextToken or StreamName should be provided.")
	}
	s, err := k.find(in.streamRef)
	if err != nil {
		return nil, err
	}
	matches, err := shards.matches(s, k.now())
	if err != nil {
		return nil, err
	}
	out := listShardsOutput{Shards: []shardOutput{}}
	for _, sh := range s.Shards {
		if sh.id <= after || !matches(sh) {
			continue
		}
		if n := len(out.Shards); n == most {
			out.NextToken = token{Stream: s.Name, Created: s.Created, Shard: out.Shards[n-1].ShardId, Filter: shards, Issued: k.now().UnixMilli()}.String()
			break
		}
		out.Shards = append(out.Shards, sh.output())
	}
	return out, nil
}

type splitShardInput struct {
	streamRef
	ShardToSplit       string
	NewStartingHashKey string
}

func (k *kinesis) splitShard(in *splitShardInput) (any, *apiError) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, err := k.find(in.streamRef)
	if err != nil {
		return nil, err
	}
	sh, err := openShard(s, in.ShardToSplit)
	if err != nil {
		return nil, err
	}
	at, ok := parseHashKey(in.NewStartingHashKey)
	if !ok {
		return nil, invalid("newStartingHashKey", "'"+in.NewStartingHashKey+"'", `Member must satisfy regular expression pattern: 0|([1-9]\d{0,38})`)
	}
	lowest := new(big.Int).Add(sh.Start.big(), big.NewInt(1))
	if at.big().Cmp(lowest) <= 0 || at.compare(sh.End) >= 0 {
		return nil, badArgument("NewStartingHashKey %s used in SplitShard() on shard %s in stream %s under account %s is not both greater than one plus the shard's StartingHashKey %s and less than the shard's EndingHashKey %s.",
			in.NewStartingHashKey, sh.id, s.Name, account, sh.Start, sh.End)
	}
	now := k.now()
	return nil, k.reshard(s, func(s *stream) {
		parent := s.shard(sh.id)
		parent.Closed = now
		s.add(now, parent.Start, at.minusOne(), parent)
		s.add(now, at, parent.End, parent)
	})
}

type mergeShardsInput struct {
	streamRef
	ShardToMerge         string
	AdjacentShardToMerge string
}

func (k *kinesis) mergeShards(in *mergeShardsInput) (any, *apiError) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, err := k.find(in.streamRef)
	if err != nil {
		return nil, err
	}
	first, err := openShard(s, in.ShardToMerge)
	if err != nil {
		return nil, err
	}
	second, err := openShard(s, in.AdjacentShardToMerge)
	if err != nil {
		return nil, err
	}
	low, high := first, second
	if high.Start.compare(low.Start) < 0 {
		low, high = high, low
	}
	if low == high || low.End != high.Start.minusOne() {
		return nil, badArgument("Shards %s and %s in stream %s under account %s are not an adjacent pair of shards eligible for merging",
			first.id, second.id, s.Name, account)
	}
	now := k.now()
	return nil, k.reshard(s, func(s *stream) {
		a, b := s.shard(first.id), s.shard(second.id)
		a.Closed, b.Closed = now, now
		s.add(now, low.Start, high.End, a, b)
	})
}

func openShard(s *stream, id string) (*shard, *apiError) {
	sh := s.shard(id)
	if sh == nil {
		return nil, notFound("Could not find shard %s in stream %s under account %s.", id, s.Name, account)
	}
	if !sh.Closed.IsZero() {
		return nil, badArgument("Shard %s in stream %s under account %s has already been merged or split, and thus is not eligible for merging or splitting.", id, s.Name, account)
	}
	return sh, nil
}
