package chaos

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/check"
	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// Journal is the generator's ledger on disk: before each call a line for every record in it, and a line for each
// acknowledgement. The lines of a call are on the disk before it is made. It is safe for concurrent use.
type Journal struct {
	mu     sync.Mutex
	file   *os.File
	prefix func(time.Time) string // the partition that the rule gives

	acknowledged atomic.Int64 // payloads
	records      atomic.Int64 // acknowledged
	last         atomic.Int64 // when something was acknowledged last, in nanoseconds since 1970
}

// line is a line of the journal, of either kind.
type line struct {
	Put *int64 `json:"put,omitempty"` // id of a record that is about to be put
	Ack *int64 `json:"ack,omitempty"` // id of a record that was acknowledged
	At  int64  `json:"at"`            // milliseconds since 1970

	Key       string   `json:"key,omitempty"`
	Record    string   `json:"record,omitempty"`    // SHA-256 of the Kinesis record's data
	Payloads  [][]byte `json:"payloads,omitempty"`  // what must come out of it
	Hashes    []string `json:"sha256,omitempty"`    // of the payloads
	Partition string   `json:"partition,omitempty"` // where it belongs if it arrives at once
	Verdict   string   `json:"verdict,omitempty"`   // row or reject

	Shard string `json:"shard,omitempty"`
	Seq   string `json:"seq,omitempty"`
}

// The verdicts.
const (
	verdictRow    = "row"
	verdictReject = "reject"
)

// newJournal makes a file; prefix gives the partition of what arrives at a time.
func newJournal(path string, prefix func(time.Time) string) (*Journal, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("make the journal: %w", err)
	}
	return &Journal{file: file, prefix: prefix}, nil
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}

// intend writes down what is about to be put, and waits for the disk.
func (j *Journal) intend(records []world.Record, at time.Time) error {
	lines := make([]line, len(records))
	for i, r := range records {
		l := line{Put: &r.ID, At: at.UnixMilli(), Key: r.Key, Record: sum(r.Data), Payloads: r.Payloads, Partition: j.prefix(at), Verdict: verdictRow}
		for _, p := range r.Payloads {
			l.Hashes = append(l.Hashes, sum(p))
		}
		if r.Rejected {
			l.Verdict = verdictReject
		}
		lines[i] = l
	}
	return j.write(lines)
}

// acknowledge writes down what was taken by the stream.
func (j *Journal) acknowledge(taken []world.Taken, at time.Time) error {
	lines := make([]line, len(taken))
	payloads := 0
	for i, r := range taken {
		lines[i] = line{Ack: &r.ID, At: at.UnixMilli(), Shard: r.Shard, Seq: r.Seq}
		payloads += len(r.Payloads)
	}
	if err := j.write(lines); err != nil {
		return err
	}
	j.acknowledged.Add(int64(payloads))
	j.records.Add(int64(len(taken)))
	j.last.Store(at.UnixNano())
	return nil
}

func (j *Journal) write(lines []line) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	for i := range lines {
		if err := encoder.Encode(&lines[i]); err != nil {
			return err
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_, err := j.file.Write(text.Bytes())
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		return &journalError{err}
	}
	return nil
}

// journalError tells that the journal could not be written: nothing can be held against it any more.
type journalError struct{ err error }

func (e *journalError) Error() string { return "write the journal: " + e.err.Error() }
func (e *journalError) Unwrap() error { return e.err }

// Acknowledged is the number of payloads that were acknowledged so far.
func (j *Journal) Acknowledged() int64 { return j.acknowledged.Load() }

// Close closes the file.
func (j *Journal) Close() error { return j.file.Close() }

// Put is a record that was about to be put.
type Put struct {
	Key      string
	Record   string // SHA-256 of its data
	Payloads [][]byte
	Rejected bool
	At       int64
}

// Audit is a journal that was read back, and held against what the stream holds.
type Audit struct {
	Ledger  *check.Ledger
	Records int // acknowledged
	Unknown int // in the stream, and not acknowledged
	Lost    int // put, and neither acknowledged nor in the stream
}

// ReadJournal reads a journal, and completes it by what the stream holds beyond what was acknowledged: a call that failed
// may have been applied. It fails where the stream lacks what it acknowledged, holds other bytes, or what nobody put.
func ReadJournal(path string, contents []world.Stored) (*Audit, error) {
	puts, acks, err := readLines(path)
	if err != nil {
		return nil, err
	}
	stored := make(map[[2]string]*world.Stored, len(contents))
	for i := range contents {
		stored[[2]string{contents[i].Shard, contents[i].Seq}] = &contents[i]
	}
	a := &Audit{Ledger: &check.Ledger{}, Records: len(acks)}
	arrived := map[int64]bool{}
	for _, ack := range acks {
		put, ok := puts[*ack.Ack]
		if !ok {
			return nil, fmt.Errorf("%s: record %d was acknowledged and never put", path, *ack.Ack)
		}
		at := [2]string{ack.Shard, ack.Seq}
		switch r := stored[at]; {
		case r == nil:
			return nil, fmt.Errorf("the stream has lost record %d, which it acknowledged as %s of %s", *ack.Ack, ack.Seq, ack.Shard)
		case sum(r.Data) != put.Record:
			return nil, fmt.Errorf("the stream holds other bytes than it acknowledged for record %d, %s of %s", *ack.Ack, ack.Seq, ack.Shard)
		}
		delete(stored, at)
		arrived[*ack.Ack] = true
		if err := a.add(put, ack.Shard, ack.Seq, put.Key, ack.At); err != nil {
			return nil, err
		}
	}
	byHash := make(map[string]int64, len(puts))
	for id, put := range puts {
		// Of equal records the first: what is in the stream arrived after that, whichever of them it is.
		if first, ok := byHash[put.Record]; !ok || id < first {
			byHash[put.Record] = id
		}
	}
	for i := range contents { // in their order
		r := &contents[i]
		if stored[[2]string{r.Shard, r.Seq}] == nil {
			continue
		}
		id, ok := byHash[sum(r.Data)]
		if !ok {
			return nil, fmt.Errorf("the stream holds what nobody put: %s of %s", r.Seq, r.Shard)
		}
		arrived[id] = true
		a.Unknown++
		// Without its key: a call that is made again puts a second time what it put, behind later records perhaps.
		if err := a.add(puts[id], r.Shard, r.Seq, "", 0); err != nil {
			return nil, err
		}
	}
	a.Lost = len(puts) - len(arrived)
	return a, nil
}

func (a *Audit) add(put Put, shard, seq, key string, acked int64) error {
	for sub, payload := range put.Payloads {
		e := check.NewEntry(shard, seq, int32(sub), key, payload)
		e.Put, e.Acked, e.Rejected = put.At, acked, put.Rejected
		if err := a.Ledger.Add(e); err != nil {
			return err
		}
	}
	return nil
}

func readLines(path string) (puts map[int64]Put, acks []line, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	puts = map[int64]Put{}
	reader := bufio.NewReaderSize(file, 1<<20)
	for number := 1; ; number++ {
		text, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(text) == 0 {
			return puts, acks, nil
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s:%d: %w", path, number, err)
		}
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			return nil, nil, fmt.Errorf("%s:%d: %w", path, number, err)
		}
		switch {
		case l.Ack != nil:
			acks = append(acks, l)
		case l.Put != nil:
			for i, p := range l.Payloads {
				if i >= len(l.Hashes) || sum(p) != l.Hashes[i] {
					return nil, nil, fmt.Errorf("%s:%d: a payload is not what its hash is of", path, number)
				}
			}
			puts[*l.Put] = Put{Key: l.Key, Record: l.Record, Payloads: l.Payloads, Rejected: l.Verdict == verdictReject, At: l.At}
		default:
			return nil, nil, fmt.Errorf("%s:%d: a line of neither kind", path, number)
		}
	}
}
