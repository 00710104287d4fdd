package consumer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"

	"github.com/sluice-etl/sluice/consumer/protocol"
)

// Session is the hold of this worker on one shard, from its take to its release. Its methods are for the one
// goroutine that runs Config.Process.
type Session struct {
	c *Consumer

	shard string         // its id
	hold  *protocol.Hold // the session's goroutine alone uses it once it runs

	fetches  chan Fetch    // from the library's goroutine
	stopping chan struct{} // closed when the shard is to be given back
	stopOnce sync.Once
	spare    atomic.Bool     // it is given back because another worker has too few
	ctx      context.Context // ends when the session is over, or the consumer is abandoned
	cancel   context.CancelCauseFunc
	started  chan struct{} // closed when the library's consumer began
	done     chan struct{} // closed when the session's goroutine has ended
	err      error         // set before done is closed

	reader *reader // the library's goroutine alone uses it
}

// errEnded is given to the library where a session is over, so that its goroutines for the shard end.
var errEnded = errors.New("the session of this shard is over")

func newSession(c *Consumer, l *protocol.Lease) *Session {
	s := &Session{
		c: c, shard: l.Shard, hold: protocol.NewHold(l, c.names), fetches: make(chan Fetch), stopping: make(chan struct{}),
		started: make(chan struct{}), done: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancelCause(c.ctx)
	s.reader = newReader(c.raw, c.streamID(), l, c.now, c.observe)
	return s
}

// Shard is the shard's id.
func (s *Session) Shard() string { return s.shard }

// Fetches gives what is read from the shard, in order. It is never closed; after a Fetch that is the End, nothing
// comes. Reading waits while a fetch is not taken: there is at most one more in flight.
func (s *Session) Fetches() <-chan Fetch { return s.fetches }

// Stopping is closed when the shard is to be given back: commit what was taken from Fetches, and return.
func (s *Session) Stopping() <-chan struct{} { return s.stopping }

// State gives the snapshot committed with the position at which the session begins. For a shard without a commit of
// its own it inherits: these are the snapshots of its parents. A snapshot that is missing or damaged is passed over, and told of
// by warn: the data goes on without it.
func (s *Session) State(ctx context.Context, warn func(error)) (states [][]byte, inherits bool, err error) {
	lease := s.hold.Lease()
	refs := []*protocol.StateRef{lease.State}
	if inherits = !lease.Begun(); inherits {
		refs = nil
		for _, parent := range lease.Parents {
			var l *protocol.Lease
			err := s.retry(ctx, "read the parent", func() (err error) { l, err = s.c.table.read(ctx, parent); return })
			if err != nil {
				return nil, false, err
			}
			if l != nil {
				refs = append(refs, l.State)
			}
		}
	}
	for _, ref := range refs {
		if ref == nil {
			continue
		}
		var body []byte
		err := s.retry(ctx, "load the state", func() (err error) {
			body, err = s.c.store.Get(ctx, ref.Key)
			if errors.Is(err, fs.ErrNotExist) {
				body, err = nil, nil
			}
			return
		})
		if err != nil {
			return nil, false, err
		}
		if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != ref.SHA256 {
			warn(fmt.Errorf("the snapshot %s of shard %s is missing or damaged: the detectors start without it", ref.Key, s.Shard()))
			continue
		}
		states = append(states, body)
	}
	return states, inherits, nil
}

// run is the session's goroutine: finish what the last holder left, process, and give the shard back.
func (s *Session) run() {
	err := s.drive(s.ctx, nil)
	if err == nil && !s.finished() {
		err = s.c.cfg.Process(s.ctx, s)
	}
	if err == nil && !s.finished() {
		s.hold.Release(s.spare.Load())
		if e := s.drive(s.ctx, nil); e != nil {
			s.c.cfg.Log.Warn("could not give the shard back; others take it after the failover time", "shard", s.Shard(), "error", e)
		}
	}
	s.end(err)
}

// finished tells whether the shard is read to its end.
func (s *Session) finished() bool { return s.hold.Lease().Finished }

// end makes the session over.
func (s *Session) end(err error) {
	s.err = err
	s.cancel(errEnded)
	close(s.done)
	s.c.ended(s, err)
}

// over tells whether the session has ended.
func (s *Session) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// stop asks for the shard back. It may be called more than once, and by any goroutine.
func (s *Session) stop() { s.stopOnce.Do(func() { close(s.stopping) }) }

// deliver hands a fetch to the session's goroutine, and waits until it is taken or the session is over.
func (s *Session) deliver(f Fetch) {
	select {
	case s.fetches <- f:
	case <-s.ctx.Done():
	case <-s.done:
	}
}
