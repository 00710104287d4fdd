package check

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Entry is one line of a ledger, as JSON: a payload that the stream acknowledged. A Kinesis record that holds several
// payloads or lines has an entry for each of them.
type Entry struct {
	Shard  string `json:"shard"`         // shardId-000000000000
	Seq    string `json:"seq"`           // sequence number
	Sub    int32  `json:"sub,omitempty"` // the payload's place in its Kinesis record
	SHA256 string `json:"sha256"`        // of the payload's bytes, in hexadecimal
	Key    string `json:"key,omitempty"` // partition key; order is checked where there is one
	Data   []byte `json:"data"`          // the payload

	// When it was put and when that was acknowledged, in milliseconds since 1970; it arrived in between. 0: not known.
	Put   int64 `json:"put,omitempty"`
	Acked int64 `json:"acked,omitempty"`

	Rejected bool `json:"rejected,omitempty"` // the producer says that it must become a reject
}

// NewEntry makes the entry of a payload.
func NewEntry(shard, seq string, sub int32, key string, payload []byte) Entry {
	sum := sha256.Sum256(payload)
	return Entry{Shard: shard, Seq: seq, Sub: sub, SHA256: hex.EncodeToString(sum[:]), Key: key, Data: payload}
}

// Ledger is the list of acknowledged payloads, in the order in which they were acknowledged. It keeps about 150 bytes
// for each beside its payload. It is made once and not changed after, so several goroutines may use it.
type Ledger struct {
	Torn int // lines that a killed producer left unfinished

	shards  names
	keys    names
	entries []entry
	data    []byte
	index   map[identity]int32 // into entries
}

type entry struct {
	identity
	key        int32
	start      int64 // in data; the end is the start of the next one
	put, acked int64
	rejected   bool
}

// clocks is how far the stream's clock may be from the producer's: some streams count in whole seconds.
const clocks = time.Second

// arrived tells whether the entry can have arrived at a time.
func (e *entry) arrived(at time.Time) bool {
	return (e.put == 0 || !at.Before(time.UnixMilli(e.put).Add(-clocks))) && (e.acked == 0 || !at.After(time.UnixMilli(e.acked).Add(clocks)))
}

// none is the key of an entry without one.
const none = -1

// ReadLedger reads a file of JSON lines. A line that is no whole JSON object is counted as torn and passed over; whether
// there may be one is for the caller to judge, who knows how often the producer was killed. The member data is either
// the payload's text or its base64 form, whichever the hash is of.
func ReadLedger(path string) (*Ledger, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	ledger := &Ledger{index: map[identity]int32{}}
	reader := bufio.NewReaderSize(file, 1<<20)
	for number := 1; ; number++ {
		line, err := reader.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			if err := ledger.addLine(line); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", path, number, err)
			}
		}
		if errors.Is(err, io.EOF) {
			return ledger, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (l *Ledger) addLine(line []byte) error {
	var text struct {
		Entry
		Data json.RawMessage `json:"data"`
	}
	if !json.Valid(line) {
		l.Torn++
		return nil
	}
	if err := json.Unmarshal(line, &text); err != nil {
		return err
	}
	var err error
	if text.Entry.Data, err = payload(text.Data, text.SHA256); err != nil {
		return err
	}
	return l.Add(text.Entry)
}

// payload finds the bytes that the hash is of.
func payload(member json.RawMessage, hash string) ([]byte, error) {
	var forms [][]byte
	var text string
	if json.Unmarshal(member, &text) == nil {
		if raw, err := base64.StdEncoding.DecodeString(text); err == nil {
			forms = append(forms, raw)
		}
		forms = append(forms, []byte(text))
	} else {
		forms = append(forms, member)
	}
	for _, form := range forms {
		if sum := sha256.Sum256(form); hex.EncodeToString(sum[:]) == hash {
			return form, nil
		}
	}
	return nil, fmt.Errorf("data is not what sha256 %s is of: %s", hash, clip(string(member)))
}

// Add appends an entry. It fails if the stream acknowledged the same place twice.
func (l *Ledger) Add(e Entry) error {
	if l.index == nil {
		l.index = map[identity]int32{}
	}
	seq, err := parseSequence(e.Seq)
	if err != nil {
		return err
	}
	id := identity{position{seq, e.Sub}, l.shards.number(e.Shard)}
	if _, twice := l.index[id]; twice {
		return fmt.Errorf("%s %s sub %d stands in the ledger twice", e.Shard, e.Seq, e.Sub)
	}
	key := int32(none)
	if e.Key != "" {
		key = l.keys.number(e.Key)
	}
	l.index[id] = int32(len(l.entries))
	l.entries = append(l.entries, entry{identity: id, key: key, start: int64(len(l.data)), put: e.Put, acked: e.Acked, rejected: e.Rejected})
	l.data = append(l.data, e.Data...)
	return nil
}

// Len is the number of entries.
func (l *Ledger) Len() int { return len(l.entries) }

// Payload is the payload of the i-th entry; it is part of the ledger's memory.
func (l *Ledger) Payload(i int) []byte {
	end := int64(len(l.data))
	if i+1 < len(l.entries) {
		end = l.entries[i+1].start
	}
	return l.data[l.entries[i].start:end]
}

// Order checks that the records of each partition key were acknowledged in the order of their sequence numbers, across
// all shards that the key was in: that is what makes the sequence number the order of a key's rows.
func (l *Ledger) Order() error {
	var wrong differences
	last := make([]int32, len(l.keys.texts))
	for i := range last {
		last[i] = none
	}
	for i, e := range l.entries {
		if e.key == none {
			continue
		}
		if before := last[e.key]; before != none && l.entries[before].position.compare(e.position) >= 0 {
			wrong.add("key %q: entry %d (%s) does not follow entry %d (%s)", l.keys.texts[e.key],
				i, l.shards.texts[e.shard], before, l.shards.texts[l.entries[before].shard])
		}
		last[e.key] = int32(i)
	}
	return wrong.err("order of acknowledgements per partition key")
}
