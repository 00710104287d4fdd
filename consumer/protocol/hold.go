package protocol

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// Batch is what a commit makes durable: the files made of all of the shard's records after the last commit, up to and
// including Checkpoint.
type Batch struct {
	ID         string    // unique for each attempt of a batch, also among those of other workers
	Time       string    // now, in UTC, as RFC 3339
	Checkpoint string    // sequence number; empty where the shard gave no record since it was made
	ReadUntil  string    // as in Lease
	Finished   bool      // the shard is closed and Checkpoint is its last record
	Files      []NewFile // MaxFiles at most
	State      []byte    // belongs to Checkpoint; nil: none
	Summary    int       // so many of the first bytes of State may be read alone; 0: none
	Schema     int
	Trigger    string // why the batch ended
}

// MaxFiles is how many files a batch may have: the commit lists them in the shard's item, which DynamoDB bounds at 400 KB.
const MaxFiles = 100

// NewFile is a file before it is uploaded.
type NewFile struct {
	Prefix, Extension string // of its key
	Size, Rows        int
}

// Step is where a hold is.
type Step int

// The steps, in the order of a batch.
const (
	Reading     Step = iota // nothing is to be done: records are read, and the next batch grows
	Uploading               // store each file of Call.Commit without making it visible
	Saving                  // put the snapshot
	Committing              // write, conditionally
	Finishing               // the same for the last batch of a shard
	Doubting                // read the item consistently
	Publishing              // make each file of Call.Commit visible
	Recording               // put the record of the commit
	Clearing                // write, conditionally
	Rewinding               // write, conditionally: the committed uploads are lost
	Forgetting              // delete the snapshot before; it need not succeed
	Releasing               // write, conditionally
	HandingOver             // the same, because another worker has too few shards
	Over                    // the hold has ended
)

var steps = [...]string{"read", "upload", "save", "commit", "finish", "look", "publish", "record", "clear", "give-up", "forget", "release", "hand-over", "over"}

func (s Step) String() string { return steps[s] }

// Call is what is to be done now. Which fields it has depends on the step.
type Call struct {
	Step   Step
	Commit *Commit // Uploading, Publishing
	Write  Write   // Committing, Finishing, Clearing, Rewinding, Releasing, HandingOver
	Key    string  // Doubting: of the item; Saving, Recording, Forgetting: of the object
	Body   []byte  // Saving, Recording
}

// Answer is what came of a call.
type Answer struct {
	// Err is nil when the call was done; ErrRefused when a condition did not hold; ErrGone, of Publishing, when it is certain
	// that none of the files can become visible any more; any other error when it is not known whether the call was done, or
	// whether it still will be.
	Err     error
	Uploads []Upload // Uploading: of the files, in their order
	Lease   *Lease   // Doubting: the item as it is; nil where there is none
}

// Upload is what is needed to make a file visible.
type Upload struct {
	ID    string
	ETags []string
}

// ErrRefused is the answer to a write whose condition did not hold.
var ErrRefused = errors.New("the item is not as expected")

// ErrGone is the answer to the publication of uploads that somebody aborted: none of the files is visible, or ever will be.
var ErrGone = errors.New("the committed uploads are gone")

// ErrRewound tells that the shard is to be read again from an earlier position.
var ErrRewound = errors.New("a commit was given up, and its records are to be read again")

// ErrFenced tells that another worker holds the shard now. Nothing of the batch is lost: its records are read again by
// that worker.
var ErrFenced = errors.New("another worker holds the shard")

// Hold is a worker's hold on a shard, from its take to its end: a state machine. It is not safe for concurrent use. The
// zero value is not useful; see NewHold and Left.
type Hold struct {
	names Names
	lease Lease  // as it was last known to be written
	step  Step   // to do now
	next  *Lease // as the item will be when the batch is committed; nil: there is no batch
	body  []byte // of the snapshot of the batch
	stale string // the key of the snapshot before the last commit; empty: none
	left  bool   // only finish what a commit left
	again bool   // the position went back
	err   error  // how it ended
}

// NewHold begins with the item as a take or a create gave it. The hold first finishes what the last holder left, and is
// then Reading.
func NewHold(l *Lease, names Names) *Hold {
	return newHold(l, names, false)
}

func newHold(l *Lease, names Names, left bool) *Hold {
	h := &Hold{names: names, lease: *l, left: left}
	if c := l.Pending; c != nil {
		h.replaces(c.Before)
	}
	h.settle()
	return h
}

// Left makes a hold that only finishes what the commit of a shard left that nobody takes any more. Anybody may do so, also
// several at once.
func Left(l *Lease, names Names) *Hold {
	return newHold(l, names, true)
}

// Lease is the shard's item as it was last known to be written. It is not to be changed.
func (h *Hold) Lease() *Lease { return &h.lease }

// Err tells how the hold ended: nil after the end of a shard or a release, and while it has not ended.
func (h *Hold) Err() error { return h.err }

// Step is what is to be done now.
func (h *Hold) Step() Step { return h.step }

// Resting tells that there is nothing to do until a batch or a release is asked for, or for ever.
func (h *Hold) Resting() bool { return h.step == Reading || h.step == Over }

// Commit begins a batch. The hold must be Reading.
func (h *Hold) Commit(b Batch) {
	h.must(Reading)
	next := h.lease
	next.CommitNo++
	next.CommitID = b.ID
	if b.Checkpoint != "" {
		next.Checkpoint = b.Checkpoint
	}
	next.ReadUntil, next.Finished, next.Schema, next.State = b.ReadUntil, b.Finished, b.Schema, nil
	if b.State != nil {
		sum := sha256.Sum256(b.State)
		next.State = &StateRef{Key: h.names.state(&next), SHA256: hex.EncodeToString(sum[:])}
		if b.Summary > 0 {
			sum := sha256.Sum256(b.State[:b.Summary])
			next.State.Summary, next.State.SummarySHA256 = b.Summary, hex.EncodeToString(sum[:])
		}
	}
	c := &Commit{ID: b.ID, Shard: next.Shard, Epoch: next.Epoch, Number: next.CommitNo, Time: b.Time, After: h.lease.Checkpoint,
		Checkpoint: next.Checkpoint, Finished: b.Finished, Trigger: b.Trigger, Files: make([]File, len(b.Files)), Before: h.lease.State}
	for i, f := range b.Files {
		c.Files[i] = File{Key: f.Prefix + h.names.Object(next.Shard, next.Epoch, next.CommitNo, i, f.Extension), Size: f.Size, Rows: f.Rows}
	}
	next.Pending = c
	h.next, h.body, h.step = &next, b.State, Uploading
}

// Release gives the shard back. The hold must be Reading.
func (h *Hold) Release(handOver bool) {
	h.must(Reading)
	h.step = Releasing
	if handOver {
		h.step = HandingOver
	}
}

func (h *Hold) must(s Step) {
	if h.step != s {
		panic(fmt.Sprintf("protocol: shard %s is at %s, not at %s", h.lease.Shard, h.step, s))
	}
}

// Next is the call to make now: the steps of a batch from top to bottom, each with what a crash right after it leaves.
// Until Done is told of its success, the same call is given again; it may be made several times.
func (h *Hold) Next() Call {
	c := Call{Step: h.step}
	switch h.step {
	case Uploading:
		// Leaves uploads that nobody will ever see. The cleaner aborts them when the shard has a later epoch.
		c.Commit = h.next.Pending
	case Saving:
		// Leaves a snapshot that no item names, beside the uploads. It is small, and stays.
		c.Key, c.Body = h.next.State.Key, h.body
	case Committing, Finishing:
		// Before this write the batch never was, after it the batch is for ever. Leaves files that are committed and not
		// visible: the next holder publishes them before it reads on; and of a finished shard, whoever sees it.
		c.Write = commit(h.next)
	case Doubting:
		c.Key = h.lease.Shard
	case Publishing:
		// Leaves visible files that the item still calls pending. To publish them again does nothing.
		c.Commit = h.lease.Pending
	case Recording:
		// Leaves the same, and a record that will be written again with the same bytes.
		c.Key, c.Body = h.names.Record(h.lease.Pending), h.lease.Pending.Record()
	case Clearing:
		// Leaves nothing but the snapshot before.
		c.Write = clear(&h.lease)
	case Rewinding:
		// Leaves a commit without files, which the next holder finishes as any other.
		c.Write = giveUp(h.next)
	case Forgetting:
		c.Key = h.stale
	case Releasing, HandingOver:
		// Leaves a shard that is free.
		c.Write = release(&h.lease)
	}
	return c
}

// Done tells what came of the call that Next gave.
func (h *Hold) Done(a Answer) {
	switch h.step {
	case Uploading:
		if a.Err != nil {
			return // the next attempt makes new uploads; those of this one are abandoned
		}
		for i, u := range a.Uploads {
			h.next.Pending.Files[i].Upload, h.next.Pending.Files[i].ETags = u.ID, u.ETags
		}
		switch {
		case h.next.State != nil:
			h.step = Saving
		default:
			h.decide()
		}
	case Saving:
		if a.Err == nil {
			h.decide()
		}
	case Committing, Finishing:
		if a.Err == nil {
			h.committed()
		} else {
			h.step = Doubting // also when it was refused: an earlier attempt may have been applied
		}
	case Doubting:
		h.doubt(a)
	case Publishing:
		switch {
		case a.Err == nil:
			h.step = Recording
		case errors.Is(a.Err, ErrGone):
			h.rewind()
		}
	case Recording:
		if a.Err == nil {
			h.step = Clearing
		}
	case Clearing:
		switch {
		case a.Err == nil || h.left && errors.Is(a.Err, ErrRefused): // another was faster
			h.lease.Pending = nil
			h.settle()
		case errors.Is(a.Err, ErrRefused):
			h.end(ErrFenced) // a later commit is there, by another
		}
	case Rewinding:
		switch {
		case a.Err == nil:
			h.committed()
		case errors.Is(a.Err, ErrRefused) && h.left: // another was faster
			h.end(nil)
		case errors.Is(a.Err, ErrRefused): // or an earlier attempt was applied: who takes the shard again sees it
			h.end(ErrFenced)
		}
	case Forgetting:
		h.stale = ""
		h.settle()
	case Releasing, HandingOver:
		if a.Err == nil || errors.Is(a.Err, ErrRefused) { // it is released, or it is another's
			h.end(nil)
		}
	}
}

// decide goes on to the write that decides the batch.
func (h *Hold) decide() {
	h.step = Committing
	if h.next.Finished {
		h.step = Finishing
	}
}

// doubt looks what became of a commit whose answer was lost, or that was refused. Only the item tells: the write may have
// been applied, and may still be on its way.
func (h *Hold) doubt(a Answer) {
	found := a.Lease
	switch {
	case a.Err != nil: // look again
	case found == nil:
		h.end(ErrFenced) // the table was deleted, or made anew
	case found.CommitID == h.next.CommitID && found.CommitNo == h.next.CommitNo:
		h.committed() // it was applied
	case found.Epoch != h.lease.Epoch || found.Owner != h.lease.Owner || found.CommitNo != h.lease.CommitNo:
		h.end(ErrFenced) // drop the batch, and abort no upload: who comes later knows better what is needed
	default:
		h.decide() // not applied: try again
	}
}

// committed goes on when the batch is committed.
func (h *Hold) committed() {
	h.lease, h.next, h.body = *h.next, nil, nil
	h.replaces(h.lease.Pending.Before)
	h.settle()
}

// replaces tells that the last commit has made a snapshot useless: once its files are visible, nothing names it.
func (h *Hold) replaces(before *StateRef) {
	h.stale = ""
	if before != nil && (h.lease.State == nil || h.lease.State.Key != before.Key) {
		h.stale = before.Key
	}
}

// rewind gives the pending commit up, by another that has no files: the item goes back to what it was before, but for the
// number of commits.
func (h *Hold) rewind() {
	lost, next := h.lease.Pending, h.lease
	next.CommitNo++
	next.CommitID = lost.ID + "/given up"
	next.Checkpoint, next.State, next.Finished = lost.After, lost.Before, false
	next.Pending = &Commit{
		ID: next.CommitID, Shard: lost.Shard, Epoch: lost.Epoch, Number: next.CommitNo, Time: lost.Time, After: lost.Checkpoint,
		Checkpoint: lost.After, Files: []File{}, GivesUp: lost.Number, Before: h.lease.State,
	}
	h.next, h.again, h.step = &next, true, Rewinding
}

// settle goes on to the first of the steps after a commit that there is something to do for. Recovery begins here, too.
func (h *Hold) settle() {
	switch {
	case h.lease.Pending != nil:
		h.step = Publishing
	case h.stale != "":
		h.step = Forgetting // nothing names it now
	case h.again && !h.left:
		h.end(ErrRewound)
	case h.lease.Finished || h.left:
		h.end(nil)
	default:
		h.step = Reading
	}
}

func (h *Hold) end(err error) { h.step, h.err = Over, err }
