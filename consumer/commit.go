package consumer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
)

// Batch is what a commit makes durable: the files made of all of the shard's records after the last commit, up to
// and including Checkpoint.
type Batch struct {
	Checkpoint string // sequence number; empty where the shard gave no record since it was made
	Finished   bool   // the shard is closed and Checkpoint is its last record
	Files      []File
	State      []byte // belongs to Checkpoint, and comes back from Session.State; nil for none
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

// ErrFenced tells that another worker holds the shard now. Nothing of the batch is lost: its records are read again
// by that worker. The session is over.
var ErrFenced = errors.New("another worker holds the shard")

// Commit makes a batch durable and visible, exactly once, or not at all. It tries again for as long as it takes: it
// returns nil, ErrFenced, or the context's error; after an error the session can commit nothing more. It is not safe
// for concurrent use.
//
// What is uploaded is invisible until committed, what is committed is always completed, and commits of a shard are
// serialised by (epoch, commit number); so the batches of a shard follow each other without gap or overlap. The
// batch that is read again after a crash need not be cut at the same place.
func (s *Session) Commit(ctx context.Context, b Batch) error {
	begun := s.c.now()
	next := s.next(b)

	// Upload the files and the snapshot. A crash leaves uploads that nobody will ever see; the cleaner aborts them
	// when the shard has a later epoch.
	if err := s.retry(ctx, "upload", func() (err error) { next.Pending, err = s.upload(ctx, next, b.Files); return }); err != nil {
		return err
	}
	if next.State != nil {
		if err := s.retry(ctx, "save the state", func() error { return s.c.store.Put(ctx, next.State.Key, b.State) }); err != nil {
			return err
		}
	}

	// Commit. Before this write the batch never was, after it the batch is for ever. A crash right after it leaves
	// pending files, which the next holder of the shard publishes before it reads on.
	if err := s.retry(ctx, "commit", func() error { return s.decide(ctx, next) }); err != nil {
		return err
	}
	previous := s.lease
	s.lease = next

	// Publish, and say so. A crash in between leaves published files in the list of those to publish: to publish
	// again does nothing.
	if err := s.settle(ctx); err != nil {
		return err
	}

	if previous.State != nil && (next.State == nil || previous.State.Key != next.State.Key) {
		// Nothing names the older snapshot now. Should this fail, a small object is left behind.
		_ = s.c.store.Delete(ctx, previous.State.Key)
	}
	s.c.observe.committed(s.Shard(), b, next, s.c.now().Sub(begun))
	return nil
}

// next is the item as it will be once the batch is committed.
func (s *Session) next(b Batch) *lease {
	next := *s.lease
	next.CommitNo++
	next.CommitID = fmt.Sprintf("%s/%d/%d/%08x", next.Shard, next.Epoch, next.CommitNo, rand.Uint32())
	if b.Checkpoint != "" {
		next.Checkpoint = b.Checkpoint
	}
	next.Finished, next.Schema, next.Pending, next.State = b.Finished, b.Schema, nil, nil
	if b.State != nil {
		sum := sha256.Sum256(b.State)
		next.State = &stateRef{SHA256: hex.EncodeToString(sum[:]),
			Key: s.c.cfg.StatePrefix + objectName(s.c.cfg.App+"/"+s.c.cfg.Stream, next.Shard, next.Epoch, next.CommitNo, 0, "state")}
	}
	return &next
}

// upload stores the batch's files, a few at a time, and lists them in their order.
func (s *Session) upload(ctx context.Context, next *lease, files []File) ([]pendingFile, error) {
	pending := make([]pendingFile, len(files))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, f := range files {
		group.Go(func() error {
			key := f.Prefix + objectName(s.c.cfg.Stream, next.Shard, next.Epoch, next.CommitNo, i, f.Extension)
			id, etags, err := s.c.store.Upload(ctx, key, token(next, i), f.ContentType, f.Body)
			pending[i] = pendingFile{Key: key, Upload: id, ETags: etags, Size: len(f.Body), Rows: f.Rows}
			return err
		})
	}
	return pending, group.Wait()
}

// token is what an object carries to show which commit it belongs to.
func token(l *lease, index int) string { return fmt.Sprintf("%s/%d", l.CommitID, index) }

// decide writes the commit. On any doubt it looks: the answer may have been lost, or the write may still be on its
// way, so that only the item itself tells.
func (s *Session) decide(ctx context.Context, next *lease) error {
	err := s.c.table.commit(ctx, next, s.c.now())
	if err == nil {
		return nil
	}
	found, readErr := s.c.table.read(ctx, next.Shard)
	switch {
	case readErr != nil:
		return readErr
	case found == nil:
		return ErrFenced // the table was deleted, or made anew
	case found.CommitID == next.CommitID && found.CommitNo == next.CommitNo:
		return nil // it was applied
	case found.Epoch != next.Epoch || found.Owner != next.Owner || found.CommitNo != next.CommitNo-1:
		return ErrFenced // drop the batch, and abort no upload: who comes later knows better what is needed
	case errors.Is(err, errCondition):
		return fmt.Errorf("commit %d of %s was refused though the item is as expected: %w", next.CommitNo, next.Shard, err)
	}
	return err // not applied: try again
}

// settle publishes what is pending and clears the list. Recovery is this very function.
func (s *Session) settle(ctx context.Context) error {
	if len(s.lease.Pending) == 0 {
		return nil
	}
	err := s.retry(ctx, "publish", func() error { return publish(ctx, s.c.store, s.lease) })
	if err != nil {
		return err
	}
	err = s.retry(ctx, "clear the published files", func() error {
		err := s.c.table.clear(ctx, s.lease.Shard, s.lease.CommitNo, s.c.now())
		if !errors.Is(err, errCondition) {
			return err
		}
		return ErrFenced // a later commit is there, by another
	})
	if err != nil {
		return err
	}
	s.lease.Pending = nil
	return nil
}

// publish makes the pending files of a commit visible.
func publish(ctx context.Context, store Store, l *lease) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, f := range l.Pending {
		group.Go(func() error {
			err := store.Publish(ctx, f.Key, f.Upload, f.ETags, token(l, i))
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("the committed upload of %s (%d rows) is gone: somebody aborted it or a lifecycle rule did; the shard stands still until it is decided what to do: %w", f.Key, f.Rows, err)
			}
			return err
		})
	}
	return group.Wait()
}

// retry calls f until it succeeds, finds the shard with another worker, or the context ends.
func (s *Session) retry(ctx context.Context, what string, f func() error) error {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		err := f()
		if err == nil {
			s.c.observe.clear(s.Shard(), what)
			return nil
		}
		if errors.Is(err, ErrFenced) {
			return err
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
