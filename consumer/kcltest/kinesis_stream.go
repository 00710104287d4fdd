package kcltest

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/big"
	"math/bits"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// retention is how long records are kept: the service's default.
const retention = 24 * time.Hour

// stream is what is known of a stream. Exported fields are its stored form.
type stream struct {
	Name      string
	Created   time.Time
	MaxRecord int // bytes of data and partition key
	OnDemand  bool
	Shards    []*shard // by index, closed ones too

	open    []*shard  // those that take records, by hash key
	expired time.Time // when records beyond the retention were last dropped
}

// shard is what is known of a shard. Exported fields are its stored form.
type shard struct {
	Index            uint32
	Parent, Adjacent string // IDs; empty for the shards a stream begins with
	Start, End       hashKey
	Created          int64     // second in its sequence numbers: later than its parents', whatever the clock says
	Opened           time.Time // when it began to take records
	Closed           time.Time // when it was split or merged; zero while it takes records
	Trimmed          uint64    // position of the first record that may still be there

	id     string
	next   uint64 // position of the next record; positions begin at 1
	reads  *readLimit
	writes *writeLimit
	writer *blockWriter // a request's records, while it is stored
}

// ending is the sequence number a closed shard ends with.
func (s *shard) ending() sequence {
	return sequenceAt(s.Created, s.Index, lastPosition, s.Closed.Unix())
}

// starting is a sequence number before that of the shard's first record.
func (s *shard) starting() sequence { return sequenceAt(s.Created, s.Index, 0, s.Opened.Unix()) }

// prepare fills what is not stored, after a change of the shards.
func (s *stream) prepare() {
	s.open = s.open[:0]
	for _, sh := range s.Shards {
		sh.id = fmt.Sprintf("shardId-%012d", sh.Index)
		sh.next = max(sh.next, sh.Trimmed, 1)
		if sh.reads == nil {
			sh.reads, sh.writes, sh.writer = &readLimit{}, &writeLimit{}, &blockWriter{}
		}
		if sh.Closed.IsZero() {
			s.open = append(s.open, sh)
		}
	}
	slices.SortFunc(s.open, func(a, b *shard) int { return a.Start.compare(b.Start) })
}

// shard returns the shard of an ID, or nil.
func (s *stream) shard(id string) *shard {
	i := slices.IndexFunc(s.Shards, func(sh *shard) bool { return sh.id == id })
	if i < 0 {
		return nil
	}
	return s.Shards[i]
}

// owner returns the open shard whose range of hash keys holds h: the open shards always cover all of them.
func (s *stream) owner(h hashKey) *shard {
	i, _ := slices.BinarySearchFunc(s.open, h, func(sh *shard, h hashKey) int { return sh.End.compare(h) })
	return s.open[i]
}

// add appends a shard that opens now, with sequence numbers above its parents'.
func (s *stream) add(now time.Time, start, end hashKey, parents ...*shard) {
	sh := &shard{Index: uint32(len(s.Shards)), Start: start, End: end, Created: now.Unix(), Opened: now}
	for i, parent := range parents {
		sh.Created = max(sh.Created, parent.Created+1)
		if i == 0 {
			sh.Parent = parent.id
		} else {
			sh.Adjacent = parent.id
		}
	}
	s.Shards = append(s.Shards, sh)
}

// hashKey is a partition key's place among the shards: a number below 2^128.
type hashKey struct{ high, low uint64 }

func (h hashKey) compare(o hashKey) int {
	return cmp.Or(cmp.Compare(h.high, o.high), cmp.Compare(h.low, o.low))
}

func (h hashKey) big() *big.Int {
	n := new(big.Int).SetUint64(h.high)
	return n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(h.low))
}

func (h hashKey) minusOne() hashKey {
	low, borrow := bits.Sub64(h.low, 1, 0)
	return hashKey{h.high - borrow, low}
}

func (h hashKey) String() string { return h.big().String() }

// MarshalText writes decimal digits, as the service does.
func (h hashKey) MarshalText() ([]byte, error) { return h.big().Append(nil, 10), nil }

func (h *hashKey) UnmarshalText(text []byte) error {
	parsed, ok := parseHashKey(string(text))
	if !ok {
		return fmt.Errorf("%q is no hash key", text)
	}
	*h = parsed
	return nil
}

func parseHashKey(text string) (hashKey, bool) {
	if text == "" || text[0] < '0' || text[0] > '9' { // no sign
		return hashKey{}, false
	}
	n, ok := new(big.Int).SetString(text, 10)
	if !ok || n.BitLen() > 128 {
		return hashKey{}, false
	}
	var b [16]byte
	n.FillBytes(b[:])
	return hashKey{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])}, true
}

// boundaries cuts the hash keys into n even ranges and returns the start of each.
func boundaries(n int) []hashKey {
	size := new(big.Int).Lsh(big.NewInt(1), 128)
	size.Div(size, big.NewInt(int64(n)))
	starts := make([]hashKey, n)
	for i := range starts {
		starts[i], _ = parseHashKey(new(big.Int).Mul(size, big.NewInt(int64(i))).String())
	}
	return starts
}

// The database holds streams as JSON by name, and beside them a bucket of each stream's records, in it a bucket of each shard's.
var (
	streamsBucket = []byte("kinesis streams")
	recordsBucket = []byte("kinesis records")
)

func records(tx *bbolt.Tx, stream, shard string) *bbolt.Bucket {
	return tx.Bucket(recordsBucket).Bucket([]byte(stream)).Bucket([]byte(shard))
}

// save stores a stream and makes its shards' buckets.
func save(tx *bbolt.Tx, s *stream) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	shards, err := tx.Bucket(recordsBucket).CreateBucketIfNotExists([]byte(s.Name))
	if err != nil {
		return err
	}
	for _, sh := range s.Shards {
		if _, err := shards.CreateBucketIfNotExists([]byte(sh.id)); err != nil {
			return err
		}
	}
	return tx.Bucket(streamsBucket).Put([]byte(s.Name), text)
}

// load reads the streams and finds, from each shard's last block, the position at which it goes on.
func load(tx *bbolt.Tx) (map[string]*stream, error) {
	streams := map[string]*stream{}
	err := tx.Bucket(streamsBucket).ForEach(func(name, text []byte) error {
		s := &stream{}
		if err := json.Unmarshal(text, s); err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
		s.prepare()
		for _, sh := range s.Shards {
			if key, value := records(tx, s.Name, sh.id).Cursor().Last(); key != nil {
				b := block{binary.BigEndian.Uint64(key), value}
				sh.next = max(sh.next, b.end())
			}
		}
		streams[s.Name] = s
		return nil
	})
	return streams, err
}
