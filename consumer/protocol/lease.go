package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Lease is the item of a shard: who holds it, and what is committed of it.
type Lease struct {
	Shard      string
	Owner      string // the worker that holds it; empty: nobody
	Epoch      int64  // goes up with every change of owner: the fence
	CommitNo   int64  // goes up with every commit
	CommitID   string // of the last commit
	Start      string // where reading begins while there is no checkpoint; the consumer's own notation
	Checkpoint string // the last committed sequence number; empty: none
	ReadUntil  string // RFC 3339: what arrived before is committed; nothing of the protocol depends on it
	Finished   bool   // everything up to the end of a closed shard is committed
	Parents    []string
	Pending    *Commit   // committed, but perhaps not visible yet; nil: all is visible
	State      *StateRef // the snapshot that belongs to Checkpoint; nil: none
	Schema     int       // version of the schema of the last batch
	Updated    string    // when it was made, or last committed to; for people: nothing compares it
}

// Begun tells whether anything of the shard is committed. Where nothing is, it begins with what its parents knew.
func (l *Lease) Begun() bool { return l.Checkpoint != "" || l.State != nil }

// Commit is what one commit claims: a range of a shard's records, and the files that hold what was made of them. While
// its files are not visible it stands in the shard's item, and for ever after in an object of its own (Names.Record).
type Commit struct {
	ID         string `json:"id"` // what the files carry to show whose they are
	Shard      string `json:"shard"`
	Epoch      int64  `json:"epoch"`
	Number     int64  `json:"commit"`
	Time       string `json:"time"`                 // RFC 3339, by the clock of the worker that committed
	After      string `json:"after,omitempty"`      // the checkpoint before; empty: none
	Checkpoint string `json:"checkpoint,omitempty"` // the last sequence number of the range
	Finished   bool   `json:"finished,omitempty"`   // the shard has no more records
	Trigger    string `json:"trigger,omitempty"`    // why the batch ended
	Files      []File `json:"files"`

	Before  *StateRef `json:"before,omitempty"`  // the snapshot of After; nil: none
	GivesUp int64     `json:"givesUp,omitempty"` // the number of a commit whose uploads are lost: After goes back to before it
}

// File is a file of a commit.
type File struct {
	Key    string   `json:"key"`
	Upload string   `json:"uploadId"`
	ETags  []string `json:"etags"` // of the parts, in their order
	Size   int      `json:"size"`  // bytes
	Rows   int      `json:"rows"`
}

// Token is what the object of the commit's file carries.
func (c *Commit) Token(file int) string { return fmt.Sprintf("%s/%d", c.ID, file) }

// Record is the commit as the text that is kept for ever. It is the same whoever writes it.
func (c *Commit) Record() []byte { return document(c) }

// StateRef names a snapshot and proves its bytes.
type StateRef struct {
	Key    string `json:"key"`
	SHA256 string `json:"sha256"` // in hexadecimal

	Summary       int    `json:"summary,omitempty"`       // so many of its first bytes are for the other shards
	SummarySHA256 string `json:"summarySha256,omitempty"` // of these
}

// The attributes of a shard's item.
const (
	leaseKey   = "leaseKey"
	owner      = "owner"
	epoch      = "epoch"
	commitNo   = "commitNo"
	commitID   = "commitId"
	start      = "start"
	checkpoint = "checkpoint"
	readUntil  = "readUntil"
	finished   = "finished"
	parents    = "parents"
	pending    = "pending"
	state      = "state"
	schema     = "schemaVersion"
	updated    = "updated"
)

// KeyAttribute is the attribute that is the table's key.
const KeyAttribute = leaseKey

// ParseLease reads a shard's item. An attribute that is absent or of another type reads as zero, and then fails the
// conditions of writes.
func ParseLease(it Item) (*Lease, error) {
	l := &Lease{}
	l.Shard, _ = it[leaseKey].(string)
	l.Owner, _ = it[owner].(string)
	l.Epoch, _ = it[epoch].(int64)
	l.CommitNo, _ = it[commitNo].(int64)
	l.CommitID, _ = it[commitID].(string)
	l.Start, _ = it[start].(string)
	l.Checkpoint, _ = it[checkpoint].(string)
	l.ReadUntil, _ = it[readUntil].(string)
	l.Finished, _ = it[finished].(bool)
	version, _ := it[schema].(int64)
	l.Schema = int(version)
	l.Updated, _ = it[updated].(string)
	return l, errors.Join(l.read(it, parents, &l.Parents), l.read(it, pending, &l.Pending), l.read(it, state, &l.State))
}

// read reads an attribute that holds a document.
func (l *Lease) read(it Item, name string, v any) error {
	text, _ := it[name].(string)
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), v); err != nil {
		return fmt.Errorf("the attribute %s of the item %s in the lease table is damaged: %w", name, l.Shard, err)
	}
	return nil
}

// document is a value as JSON text.
func document(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only plain structs of this file come here
	}
	return b
}

// Later tells whether sequence number a is later than b. They are decimal integers without leading zeros; the empty one, of a
// shard without a commit, is before all.
func Later(a, b string) bool {
	if len(a) != len(b) {
		return len(a) > len(b)
	}
	return a > b
}
