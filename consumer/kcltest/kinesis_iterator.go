package kcltest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// tokenLife is how long a shard iterator, or a token of a further page, can be used.
const tokenLife = 5 * time.Minute

// token is a place in a shard, or in a list of shards, that is handed to clients and comes back. They must not look into it, so it is written
// in a form that invites nobody to.
type token struct {
	Stream   string    `json:"s"`
	Created  time.Time `json:"c"` // of the stream: one deleted and made again is another
	Shard    string    `json:"h"`
	Position uint64    `json:"p,omitempty"` // 0 in a token of a list
	Filter   *filter   `json:"f,omitempty"`
	Issued   int64     `json:"t"` // milliseconds
}

func (t token) String() string {
	text, err := json.Marshal(t)
	if err != nil {
		return "" // a struct of strings and numbers marshals
	}
	return base64.StdEncoding.EncodeToString(text)
}

func parseToken(text string) (t token, ok bool) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(raw, &t) != nil || t.Stream == "" || t.Issued == 0 {
		return token{}, false
	}
	return t, true
}

// expired says in the service's words that a token is too old, or nothing.
func (t token) expired(now time.Time) (message string) {
	issued := time.UnixMilli(t.Issued)
	if now.Sub(issued) <= tokenLife {
		return ""
	}
	const form = "Mon Jan 02 15:04:05 UTC 2006"
	return fmt.Sprintf("Iterator expired. The iterator was created at time %s while right now it is %s which is further in the future than the tolerated delay of %d milliseconds.",
		issued.UTC().Format(form), now.UTC().Format(form), tokenLife.Milliseconds())
}

// seconds is a time as the protocol has it.
type seconds float64

func (s seconds) time() time.Time { return time.UnixMilli(int64(float64(s)*1000 + 0.5)) }

func secondsOf(t time.Time) seconds { return seconds(float64(t.UnixMilli()) / 1000) }

type getShardIteratorInput struct {
	streamRef
	ShardId                string
	ShardIteratorType      string
	StartingSequenceNumber string
	Timestamp              *seconds
}

type getShardIteratorOutput struct{ ShardIterator string }

func (k *kinesis) getShardIterator(in *getShardIteratorInput) (any, *apiError) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	s, err := k.find(in.streamRef)
	if err != nil {
		return nil, err
	}
	sh := s.shard(in.ShardId)
	if sh == nil {
		return nil, notFound("Shard %s in stream %s under account %s does not exist", in.ShardId, s.Name, account)
	}
	position, err := k.startOf(s, sh, in)
	if err != nil {
		return nil, err
	}
	return getShardIteratorOutput{k.iterator(s, sh, position)}, nil
}

func (k *kinesis) iterator(s *stream, sh *shard, position uint64) string {
	return token{Stream: s.Name, Created: s.Created, Shard: sh.id, Position: position, Issued: k.now().UnixMilli()}.String()
}

// startOf finds the position that an iterator of the type asked for begins at. Caller holds k.mu.
func (k *kinesis) startOf(s *stream, sh *shard, in *getShardIteratorInput) (uint64, *apiError) {
	switch in.ShardIteratorType {
	case "TRIM_HORIZON", "LATEST":
		if in.StartingSequenceNumber != "" {
			return 0, badArgument("Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. "+
				"Request specified %s and also a StartingSequenceNumber.", in.ShardIteratorType)
		}
		if in.ShardIteratorType == "LATEST" {
			return sh.next, nil
		}
		return max(sh.Trimmed, 1), nil
	case "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER":
		return k.startAtNumber(s, sh, in)
	case "AT_TIMESTAMP":
		if in.Timestamp == nil {
			return 0, badArgument("Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no timestamp parameter.")
		}
		at, now := in.Timestamp.time(), k.now()
		if at.After(now) {
			return 0, badArgument("The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: %d, currentTimestampInMillis: %d",
				at.UnixMilli(), now.UnixMilli())
		}
		return k.startAtTime(s, sh, at)
	default:
		return 0, invalid("shardIteratorType", "'"+in.ShardIteratorType+"'",
			"Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON]")
	}
}

func (k *kinesis) startAtNumber(s *stream, sh *shard, in *getShardIteratorInput) (uint64, *apiError) {
	if in.StartingSequenceNumber == "" {
		return 0, badArgument("Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. "+
			"Request specified %s and no StartingSequenceNumber.", in.ShardIteratorType)
	}
	number, ok := parseSequence(in.StartingSequenceNumber)
	where := fmt.Sprintf("StartingSequenceNumber %s used in GetShardIterator on shard %s in stream %s under account %s is invalid", in.StartingSequenceNumber, sh.id, s.Name, account)
	if !ok {
		return 0, badArgument("%s.", where)
	}
	if number.index() != sh.Index {
		return 0, badArgument("Invalid StartingSequenceNumber. It encodes shardId-%012d, while it was used in a call to a shard with %s", number.index(), sh.id)
	}
	if number.created() != sh.Created {
		return 0, badArgument("%s because it did not come from this stream.", where)
	}
	position := max(number.position(), sh.Trimmed, 1)
	if in.ShardIteratorType == "AFTER_SEQUENCE_NUMBER" && number.position() >= position {
		position = number.position() + 1
	}
	return min(position, max(sh.next, number.position())), nil
}

// startAtTime finds the first record that arrived at or after a time; where there is none, the next one is it.
func (k *kinesis) startAtTime(s *stream, sh *shard, at time.Time) (uint64, *apiError) {
	position := sh.next
	failed := k.db.View(func(tx *bbolt.Tx) error {
		blocksFrom(records(tx, s.Name, sh.id), sh.Trimmed, func(b block) bool {
			if b.arrival().Before(at) {
				return true
			}
			position = max(b.first, sh.Trimmed)
			return false
		})
		return nil
	})
	if failed != nil {
		return 0, internal("find the records of a time", failed)
	}
	return position, nil
}
