package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-etl/sluice/consumer/protocol"
	"github.com/sluice-etl/sluice/internal/crash"
)

// errNotOurs tells the event loop that a shard is not this worker's to take now.
var errNotOurs = errors.New("the shard is not ours to take now")

// session is the session of a shard; nil where there is none.
func (c *Consumer) session(shard string) *Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions[shard]
}

// arm gives the row of a shard, and allows the next acquire to take it where it has no session. The library asks for
// a lease and for its renewal by the same call, also from goroutines whose consumer is about to end. Only its event
// loop calls this first; so a late renewal never takes a shard that nobody would then read.
func (c *Consumer) arm(shard string) *protocol.Lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sessions[shard] == nil {
		c.armed[shard] = true
	}
	return c.rows[shard]
}

// acquire takes a shard if the plan says so, and opens its session.
func (c *Consumer) acquire(shard string) error {
	c.mu.Lock()
	armed := c.armed[shard]
	delete(c.armed, shard)
	if !armed || !c.wanted[shard] {
		c.mu.Unlock()
		return errNotOurs
	}
	v := c.view() // a shard before it in this round may have taken its time
	if !v.toTake()[shard] {
		c.mu.Unlock()
		return errNotOurs
	}
	at := slices.IndexFunc(c.listed, func(s protocol.Shard) bool { return s.ID == shard }) // only what is listed is taken
	info, seen := c.listed[at], c.rows[shard]
	c.mu.Unlock()

	ctx, cancel := context.WithTimeout(c.ctx, readTimeout)
	defer cancel()
	write := protocol.Create(shard, c.cfg.Worker, c.now().Unix(), c.first.start(shard), info.Parents, stamp(c.now()))
	if seen != nil {
		write = protocol.Take(seen, c.cfg.Worker)
		if seen.Owner != "" && seen.Owner != c.cfg.Worker {
			switch dead, err := c.dead(ctx, seen.Owner); {
			case err != nil:
				return fmt.Errorf("look at the worker %s: %w", seen.Owner, err)
			case !dead:
				return errNotOurs
			}
		}
	}
	crash.At("take.before")
	l, err := c.table.writeLease(ctx, write)
	crash.At("take.after")
	if errors.Is(err, protocol.ErrRefused) {
		return errNotOurs // another was faster
	}
	if err != nil {
		// The write may have been applied. The next look at the table shows this worker as a holder without a
		// session, and the shard is taken again.
		c.observe.retrying("", lookAtLeases, fmt.Errorf("take %s: %w", shard, err)) // who looks again sees what became of it
		return err
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows[shard] = l
	delete(c.free, shard)
	session := newSession(c, l)
	if c.draining { // since a moment
		session.stop()
	}
	c.sessions[shard] = session
	c.observe.Leases(len(c.sessions))
	c.cfg.Log.Info("took a shard", "shard", shard, "epoch", l.Epoch, "after", l.Checkpoint)
	return nil
}

// begin starts a session's goroutine.
func (c *Consumer) begin(s *Session) {
	close(s.started)
	go s.run()
}

// ended is called by a session's goroutine at its end.
func (c *Consumer) ended(s *Session, err error) {
	switch {
	case err == nil && s.finished():
		select {
		case c.relist <- struct{}{}: // its children are new
		default:
		}
	case err == nil:
	case errors.Is(err, ErrFenced):
		c.observe.Lost(s.Shard())
		c.cfg.Log.Warn("lost a shard to another worker; what was not committed is read again there", "shard", s.Shard())
	case errors.Is(err, protocol.ErrRewound):
		c.cfg.Log.Warn("a shard is read again from an earlier position", "shard", s.Shard(), "after", s.hold.Lease().Checkpoint)
	case c.ctx.Err() != nil: // abandoned at the end of the grace
	default:
		c.fail(fmt.Errorf("shard %s: %w", s.Shard(), err))
	}
}

// drop forgets a session when the library's consumer of the shard has ended.
func (c *Consumer) drop(shard string) {
	s := c.session(shard)
	if s == nil {
		return
	}
	s.stop()
	select {
	case <-s.started:
	default: // the library never came so far as to begin it; it ends as any other, and gives the shard back
		c.begin(s)
	}
	<-s.done
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.sessions, shard)
	// The row as this worker knows it. The next look at the table brings what others made of it.
	row := *s.hold.Lease()
	if s.err == nil {
		row.Owner = ""
	}
	c.rows[shard] = &row
	c.observe.Leases(len(c.sessions))
	c.observe.Forget(shard)
}

// firstListing is what the group's first worker found: the shards of then begin at the configured start, and all
// that come later at their oldest record, so that a reshard loses nothing.
type firstListing struct {
	Shards []string `json:"shards"`
	Start  string   `json:"start"`
}

func (f firstListing) start(shard string) string {
	if slices.Contains(f.Shards, shard) {
		return f.Start
	}
	return startOldest
}

// begun records the first listing, or reads the one that another worker recorded.
func (c *Consumer) begun(ctx context.Context) error {
	mine := firstListing{Start: startOldest}
	switch {
	case c.cfg.Start.Latest:
		mine.Start = formatStart(c.now())
	case !c.cfg.Start.At.IsZero():
		mine.Start = formatStart(c.cfg.Start.At)
	}
	c.mu.Lock()
	for _, s := range c.listed {
		mine.Shards = append(mine.Shards, s.ID)
	}
	c.mu.Unlock()
	body, err := json.Marshal(mine)
	if err != nil {
		return err
	}
	found, err := c.table.once(ctx, streamKey, string(body))
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(found), &c.first); err != nil {
		return fmt.Errorf("the item %s of the lease table is damaged: %w", streamKey, err)
	}
	return nil
}

// Agree stores a document for all workers of the group under a name, unless one is there, and gives the one that is.
func (s *Session) Agree(ctx context.Context, name, body string) (agreed string, err error) {
	err = s.retry(ctx, "store the "+name, func() (err error) { agreed, err = s.c.table.once(ctx, "_"+name, body); return })
	return agreed, err
}

// Amend stores a document in the place of the one that is expected under a name, and gives the one that is there then: body,
// or what others made of the old one before. Of workers that amend the same document, one succeeds.
func (s *Session) Amend(ctx context.Context, name, old, body string) (agreed string, err error) {
	err = s.retry(ctx, "amend the "+name, func() (err error) { agreed, err = s.c.table.swap(ctx, "_"+name, old, body); return })
	return agreed, err
}

// Agreed gives the document of a name, or an empty string.
func (s *Session) Agreed(ctx context.Context, name string) (agreed string, err error) {
	err = s.retry(ctx, "read the "+name, func() (err error) {
		agreed, err = s.c.table.agreed(ctx, "_"+name)
		return err
	})
	return agreed, err
}

// Agreed gives the document of a name, or an empty string. Unlike that of a session, it makes one attempt.
func (c *Consumer) Agreed(ctx context.Context, name string) (string, error) {
	return c.table.agreed(ctx, "_"+name)
}

// clean aborts what nobody will ever publish, and forgets shards and workers that are gone.
func (c *Consumer) clean(ctx context.Context) error {
	for _, prefix := range c.cfg.Prefixes {
		if err := c.abortAbandoned(ctx, prefix); err != nil {
			return err
		}
	}
	return c.tidy(ctx)
}

// abortAbandoned aborts the uploads that were given up for ever.
func (c *Consumer) abortAbandoned(ctx context.Context, prefix string) error {
	rows := map[string]*protocol.Lease{}
	return c.store.Uploads(ctx, prefix, func(key, upload string, _ time.Time) error {
		shard, epoch, _, ok := c.names.ParseObject(key)
		if !ok {
			return nil // not ours
		}
		l, known := rows[shard]
		if !known {
			var err error
			if l, err = c.table.read(ctx, shard); err != nil {
				return err
			}
			rows[shard] = l
		}
		if !protocol.Abandoned(l, epoch, upload) {
			return nil
		}
		c.cfg.Log.Info("abort an abandoned upload", "key", key)
		return c.store.Abort(ctx, key, upload)
	})
}

// tidy removes the rows of shards that are finished, have left the stream, and whose children have commits of their
// own; and those of workers that died long ago.
func (c *Consumer) tidy(ctx context.Context) error {
	c.mu.Lock()
	v := c.view()
	var dead []workerRow
	for id, w := range c.workers {
		if !v.alive[id] && c.now().Sub(w.moved) > cleanEvery {
			dead = append(dead, w.row)
		}
	}
	c.mu.Unlock()
	for _, w := range dead {
		if err := c.table.forget(ctx, w.ID, w.Nonce); err != nil {
			return err
		}
	}
	for id, l := range v.leases {
		if v.lists(id) || !l.Finished || !childrenProgressed(v, id) {
			continue
		}
		if err := c.table.remove(ctx, id, protocol.Remove(l)); errors.Is(err, protocol.ErrRefused) {
			continue // the view was old
		} else if err != nil {
			return err
		}
		if l.State != nil {
			if err := c.store.Delete(ctx, l.State.Key); err != nil {
				return err
			}
		}
	}
	return nil
}

// childrenProgressed tells whether the shard has children, and no child needs its state any more: also none that is listed,
// and that nobody has taken yet.
func childrenProgressed(v view, parent string) bool {
	for _, s := range v.listed {
		if slices.Contains(s.Parents, parent) && v.leases[s.ID] == nil {
			return false
		}
	}
	found := false
	for _, l := range v.leases {
		if slices.Contains(l.Parents, parent) {
			if !l.Begun() {
				return false
			}
			found = true
		}
	}
	return found
}
