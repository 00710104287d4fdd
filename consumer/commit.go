package consumer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-etl/sluice/consumer/protocol"
	"github.com/sluice-etl/sluice/internal/crash"
	"github.com/sluice-etl/sluice/internal/spans"
)

// Batch is what a commit makes durable: the files made of all of the shard's records after the last commit, up to
// and including Checkpoint.
type Batch struct {
	Checkpoint string    // sequence number; empty where the shard gave no record since it was made
	ReadUntil  time.Time // what arrived before is in this batch or an earlier one; zero: not known
	Finished   bool      // the shard is closed and Checkpoint is its last record
	Files      []File    // MaxFiles at most
	State      []byte    // belongs to Checkpoint, and comes back from Session.State; nil for none
	Summary    int       // so many of the first bytes of State are told to the other shards, by Session.Peers; 0: none
	Schema     int
	Trigger    string // why the batch ended, for the metrics
}

// File is one object of a batch.
type File struct {
	Prefix      string // of its key; sluice gives the name
	Extension   string
	ContentType string
	Body        []byte
	Rows        int
}

// MaxFiles is how many files a batch may have, so that its commit fits into a DynamoDB item.
const MaxFiles = protocol.MaxFiles

// ErrFenced tells that another worker holds the shard now. Nothing of the batch is lost: its records are read again
// by that worker. The session is over.
var ErrFenced = protocol.ErrFenced

// Commit makes a batch durable and visible, exactly once, or not at all. It tries again for as long as it takes: it
// returns nil, ErrFenced, or the context's error; after an error the session can commit nothing more. It is not safe
// for concurrent use.
//
// The steps, and why the batches of a shard follow each other without gap or overlap, are those of protocol.Hold.
func (s *Session) Commit(ctx context.Context, b Batch) error {
	begun := s.c.now()
	lease := s.hold.Lease()
	files := make([]protocol.NewFile, len(b.Files))
	for i, f := range b.Files {
		files[i] = protocol.NewFile{Prefix: f.Prefix, Extension: f.Extension, Size: len(f.Body), Rows: f.Rows}
	}
	id := fmt.Sprintf("%s/%d/%d/%08x", lease.Shard, lease.Epoch, lease.CommitNo+1, rand.Uint32())
	spans.Of(ctx).Text("sluice.commit", id)
	s.hold.Commit(protocol.Batch{
		ID:   id,
		Time: begun.UTC().Format(time.RFC3339Nano), Checkpoint: b.Checkpoint, ReadUntil: stampUnlessZero(b.ReadUntil), Finished: b.Finished,
		Files: files, State: b.State, Summary: b.Summary, Schema: b.Schema, Trigger: b.Trigger,
	})
	if err := s.drive(ctx, b.Files); err != nil {
		return err
	}
	s.c.observe.committed(s.Shard(), b, s.hold.Lease(), s.c.now().Sub(begun))
	return nil
}

// drive makes the calls that the session's hold wants until it rests, and waits before it tries again what has failed.
// files are those of the batch.
func (s *Session) drive(ctx context.Context, files []File) error {
	stuck, wait := protocol.Reading, firstRetry // the step that has to be tried again; Reading: none
	var failure error
	for !s.hold.Resting() {
		call := s.hold.Next()
		answer := s.c.call(ctx, call, files)
		if answer.Err != nil {
			failure = answer.Err
		}
		s.hold.Done(answer)
		next := s.hold.Step()
		switch {
		case next == protocol.Doubting && call.Step != next: // look at once
		case next > call.Step || s.hold.Resting():
			if stuck != protocol.Reading && (next > stuck || s.hold.Resting()) {
				s.c.observe.clear(s.Shard(), stuck.String())
				stuck, wait = protocol.Reading, firstRetry
			}
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w", next, context.Cause(ctx))
		default:
			if stuck != protocol.Reading && stuck != next { // nobody tries that again
				s.c.observe.clear(s.Shard(), stuck.String())
			}
			stuck = next
			s.c.observe.retrying(s.Shard(), stuck.String(), failure)
			if err := sleep(ctx, wait/2+rand.N(wait/2)); err != nil {
				return fmt.Errorf("%s: %w", next, err)
			}
			wait = min(2*wait, lastRetry)
		}
	}
	return s.hold.Err()
}

// call makes one call of the protocol. The error of its answer tells what failed, for people; that it failed is enough
// for the protocol.
func (c *Consumer) call(ctx context.Context, call protocol.Call, files []File) (a protocol.Answer) {
	crash.At(call.Step.String() + ".before")
	span := spans.Of(ctx).Child(call.Step.String())
	defer func() { span.End(a.Err) }()
	switch call.Step {
	case protocol.Uploading:
		a.Uploads, a.Err = upload(ctx, c.store, call.Commit, files)
	case protocol.Saving, protocol.Recording:
		a.Err = c.store.Put(ctx, call.Key, call.Body)
	case protocol.Committing, protocol.Finishing, protocol.Clearing, protocol.Rewinding, protocol.Releasing, protocol.HandingOver:
		_, a.Err = c.table.write(ctx, call.Write)
	case protocol.Doubting:
		a.Lease, a.Err = c.table.read(ctx, call.Key)
	case protocol.Publishing:
		a.Err = c.certain(call.Commit.ID, publish(ctx, c.store, call.Commit))
	case protocol.Forgetting:
		a.Err = c.store.Delete(ctx, call.Key)
	}
	crash.At(call.Step.String() + ".after")
	return a
}

// filesAtOnce is how many files of a batch are under way at the same time.
const filesAtOnce = 4

// upload stores the files of a commit, and lists what makes them visible in their order. Of an attempt that fails it leaves
// nothing, as far as that can be done: in a long outage many fail, and each has the bytes of a batch.
func upload(ctx context.Context, store Store, commit *protocol.Commit, files []File) ([]protocol.Upload, error) {
	uploads := make([]protocol.Upload, len(files))
	var group errgroup.Group // one that fails does not break the others off: what S3 began for them would be left unknown
	group.SetLimit(filesAtOnce)
	for i, f := range files {
		group.Go(func() (err error) {
			u := &uploads[i]
			u.ID, u.ETags, err = store.Upload(ctx, commit.Files[i].Key, commit.Token(i), f.ContentType, f.Body)
			crash.At("upload-file.after")
			return err
		})
	}
	err := group.Wait()
	for i, u := range uploads {
		if err != nil && u.ID != "" {
			// No commit names it, and none will: the next attempt makes uploads of its own. Where it stays, it is the cleaner's.
			_ = store.Abort(ctx, commit.Files[i].Key, u.ID)
		}
	}
	return uploads, err
}

// publish makes the files of a commit visible. The error is protocol.ErrGone where none of them is or can be.
func publish(ctx context.Context, store Store, commit *protocol.Commit) error {
	errs := make([]error, len(commit.Files))
	var group errgroup.Group
	group.SetLimit(filesAtOnce)
	for i, f := range commit.Files {
		group.Go(func() error {
			errs[i] = store.Publish(ctx, f.Key, f.Upload, f.ETags, commit.Token(i))
			crash.At("publish-file.after")
			return nil
		})
	}
	_ = group.Wait() // the errors are of each file
	gone := 0
	for i, err := range errs {
		if errors.Is(err, fs.ErrNotExist) {
			gone++
			errs[i] = fmt.Errorf("the committed upload of %s (%d rows) is gone: somebody aborted it, or a lifecycle rule did: %w", commit.Files[i].Key, commit.Files[i].Rows, err)
		}
	}
	err := errors.Join(errs...)
	switch {
	case gone == 0:
		return err
	case gone == len(errs):
		return fmt.Errorf("%w: %w", protocol.ErrGone, err)
	}
	return fmt.Errorf("%d of the %d files of a commit are lost and the others visible, or about to be: the shard stands still, since to read its records again would double those; remove the visible ones to have them read again: %w", gone, len(errs), err)
}

// certain takes an error for protocol.ErrGone only when it has been that for a while: a call that completes an upload may
// still be at work where nobody sees it.
func (c *Consumer) certain(commit string, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !errors.Is(err, protocol.ErrGone) {
		delete(c.gone, commit)
		return err
	}
	since, ok := c.gone[commit]
	if !ok {
		since = c.now()
		c.gone[commit] = since
	}
	wait := c.cfg.GiveUpAfter - c.now().Sub(since)
	if wait > 0 {
		return fmt.Errorf("in %v the commit is given up, and its records are read again: %w", wait.Round(time.Second), errors.New(err.Error()))
	}
	delete(c.gone, commit)
	c.observe.GaveUp(commit)
	return err
}

// retry calls f until it succeeds or the context ends.
func (s *Session) retry(ctx context.Context, what string, f func() error) error {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := f()
		if err == nil {
			s.c.observe.clear(s.Shard(), what)
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		}
		s.c.observe.retrying(s.Shard(), what, err)
		if err := sleep(ctx, wait/2+rand.N(wait/2)); err != nil {
			return err
		}
	}
}

const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 20 * time.Second
)

// sleep waits, or returns the context's error.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
