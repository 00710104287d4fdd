package simulate

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/sluice-etl/sluice/consumer/protocol"
)

// process is one process of a worker: what it has in memory. Several may have the same name, one that stood still and one
// that came after it.
type process struct {
	name     string
	number   int
	paused   bool
	files    int // its version: over how many files it spreads a batch
	listed   map[string]bool
	leases   map[string]*protocol.Lease
	sessions map[string]*session
	left     map[string]*session // that only finish what finished shards left
}

// session is a process's hold on a shard.
type session struct {
	hold  *protocol.Hold
	batch []int // records that were read and are not committed
	read  int   // position up to which it has read; -1 until the state is loaded
	state int   // at this position
	flush bool  // is to be given back
	files [][]int

	// The call that is being made: a request for each of its files, or one.
	call    *protocol.Call
	request int
	answer  protocol.Answer
}

func (p *process) String() string { return fmt.Sprintf("%s#%d", p.name, p.number) }

// look refreshes the process's view of the table and the stream.
func (d *day) look(p *process) {
	p.listed, p.leases = map[string]bool{}, map[string]*protocol.Lease{}
	for _, s := range d.shards {
		p.listed[s.info.ID] = true
		if l := d.lease(s.info.ID); l != nil {
			p.leases[s.info.ID] = l
		}
	}
}

// take takes a shard if the rules allow it in the process's view.
func (d *day) take(p *process, s *shard) {
	id := s.info.ID
	if !p.listed[id] || p.sessions[id] != nil || !protocol.Ready(s.info, func(id string) bool { return p.listed[id] }, p.leases) {
		return
	}
	write := protocol.Create(id, p.name, int64(1000+d.clock), "TRIM_HORIZON", s.info.Parents, "")
	if seen := p.leases[id]; seen != nil {
		write = protocol.Take(seen, p.name)
	}
	var taken *protocol.Lease
	err := d.send(p, "take "+id, func() error {
		if !d.write(write) {
			return protocol.ErrRefused
		}
		taken = d.lease(id)
		return nil
	})
	if err != nil {
		d.look(p) // who looks again sees what became of it
		return
	}
	d.stats.Takes++
	p.leases[id] = taken
	p.sessions[id] = &session{hold: protocol.NewHold(taken, names), read: -1}
}

// names are those of all objects.
var names = protocol.Names{App: "app", Stream: "stream", StatePrefix: "_state/"}

// advance does the next thing of a session: a request of the call that is being made, or what a worker does with a shard.
func (d *day) advance(p *process, id string, sessions map[string]*session) {
	s := sessions[id]
	switch {
	case s.call != nil:
		d.request(p, id, s)
	case s.hold.Step() == protocol.Over:
		if errors.Is(s.hold.Err(), protocol.ErrFenced) {
			d.stats.Fenced++
		}
		l := *s.hold.Lease()
		if s.hold.Err() == nil && !l.Finished {
			l.Owner = ""
		}
		p.leases[id] = &l
		delete(sessions, id)
	case !s.hold.Resting():
		call := s.hold.Next()
		s.call, s.request, s.answer = &call, 0, protocol.Answer{}
	case s.read < 0:
		d.load(id, s)
	default:
		d.read(p, d.byID[id], s)
	}
}

// load loads the snapshot, and looks whether it belongs to the position.
func (d *day) load(id string, s *session) {
	l := s.hold.Lease()
	refs := []*protocol.StateRef{l.State}
	if !l.Begun() {
		refs = nil
		for _, parent := range l.Parents {
			refs = append(refs, d.lease(parent).State)
		}
	}
	s.state, s.read = 0, position(l.Checkpoint)
	for _, ref := range refs {
		if ref == nil {
			continue
		}
		o, ok := d.objects[ref.Key]
		n, err := strconv.Atoi(string(o.body))
		if current := d.lease(id); (!ok || err != nil) && current.Epoch == l.Epoch && current.CommitNo == l.CommitNo {
			breached("the snapshot %s of %s is gone", ref.Key, id)
		}
		s.state += n
	}
	if d.blurred(d.byID[id]) {
		return
	}
	if current := d.lease(id); current.Epoch == l.Epoch && s.state != d.count(d.byID[id], s.read) {
		breached("the snapshot of %s at %d says %d; there are %d", id, s.read, s.state, d.count(d.byID[id], s.read))
	}
}

// read reads on, commits, or gives the shard back.
func (d *day) read(p *process, s *shard, session *session) {
	session.flush = session.flush || d.faulty && d.IntN(40) == 0
	fresh := s.after(session.read)
	end := s.closed && len(fresh) == 0
	switch {
	case len(fresh) > 0 && !session.flush && (len(session.batch) == 0 || d.IntN(3) > 0):
		fresh = fresh[:1+d.IntN(len(fresh))]
		session.batch = append(session.batch, fresh...)
		session.read = fresh[len(fresh)-1]
		session.state += len(fresh)
	case end || len(session.batch) > 0:
		d.commit(p, s, session, end)
	case session.flush || d.faulty && d.IntN(20) == 0:
		session.hold.Release(!session.flush)
	}
}

func (d *day) commit(p *process, s *shard, session *session, finished bool) {
	b := protocol.Batch{
		ID: fmt.Sprint(s.info.ID, "/", p.number, "/", d.clock), Time: "2026-01-02T03:04:05Z", Finished: finished,
		State: []byte(strconv.Itoa(session.state)),
	}
	if session.read > 0 {
		b.Checkpoint = sequence(session.read)
	}
	session.files = make([][]int, min(p.files, len(session.batch)))
	for i, record := range session.batch {
		session.files[i%len(session.files)] = append(session.files[i%len(session.files)], record)
	}
	for _, rows := range session.files {
		b.Files = append(b.Files, protocol.NewFile{Prefix: "data/", Extension: "parquet", Rows: len(rows)})
	}
	session.batch = nil
	session.hold.Commit(b)
}

// request makes the next request of a call, and gives the hold its answer after the last.
func (d *day) request(p *process, id string, s *session) {
	c := s.call
	requests := 1
	what := fmt.Sprint(c.Step, " ", id)
	var apply func() error
	switch c.Step {
	case protocol.Uploading:
		requests = len(c.Commit.Files)
		if s.request < requests {
			n, commit := s.request, c.Commit
			key, token, rows := commit.Files[n].Key, commit.Token(n), s.files[n]
			var upload string
			apply = func() error { upload = d.upload(id, key, token, rows); return nil }
			if s.fail(d.send(p, what, apply)) {
				s.answer.Uploads = append(s.answer.Uploads, protocol.Upload{ID: upload})
			}
		}
	case protocol.Publishing:
		requests = len(c.Commit.Files)
		if s.request < requests {
			n, commit := s.request, c.Commit
			f, token := commit.Files[n], commit.Token(n)
			s.fail(d.send(p, what, func() error { return d.publish(f.Key, f.Upload, token) }))
		}
	case protocol.Saving, protocol.Recording:
		key, body := c.Key, c.Body
		s.fail(d.send(p, what, func() error { d.putObject(key, body); return nil }))
	case protocol.Forgetting:
		key := c.Key
		s.fail(d.send(p, what, func() error { d.remove(key); return nil }))
	case protocol.Doubting:
		s.fail(d.send(p, what, func() error { s.answer.Lease = d.lease(id); return nil }))
	case protocol.Committing, protocol.Finishing, protocol.Clearing, protocol.Rewinding, protocol.Releasing, protocol.HandingOver:
		write := d.mutate(c)
		s.fail(d.send(p, what, func() error {
			if !d.write(write) {
				return protocol.ErrRefused
			}
			if c.Step == protocol.Committing || c.Step == protocol.Finishing {
				d.stats.Commits++
			}
			return nil
		}))
	}
	s.request++
	if s.request < requests && s.answer.Err == nil {
		return
	}
	s.call = nil
	s.hold.Done(s.answer)
}

// fail takes a request's error into the call's answer, and tells whether there is none.
func (s *session) fail(err error) bool {
	s.answer.Err = errors.Join(s.answer.Err, err)
	return err == nil
}

// mutate takes away what the day's mutation wants.
func (d *day) mutate(c *protocol.Call) protocol.Write {
	w := c.Write
	if c.Step != protocol.Committing && c.Step != protocol.Finishing {
		return w
	}
	switch d.mutation {
	case NoFence:
		w.If = nil
	case WrongEpoch:
		w.If = slices.DeleteFunc(slices.Clone(w.If), func(c protocol.Condition) bool {
			mine, ok := c.Is.(int64)
			return c.Attribute == "epoch" && ok && d.lease(w.Key).Epoch >= mine
		})
	}
	return w
}

// finishLeft begins to publish what finished shards left.
func (d *day) finishLeft(p *process) {
	if d.mutation == NoLeft {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(p.leases)) {
		l := p.leases[id]
		if l.Finished && l.Pending != nil && p.sessions[id] == nil && p.left[id] == nil {
			d.stats.Left++
			p.left[id] = &session{hold: protocol.Left(l, names)}
		}
	}
}

// clean aborts what nobody will publish, as it is in the process's view of the table.
func (d *day) clean(p *process) {
	for _, id := range slices.Sorted(maps.Keys(d.uploads)) {
		u, ok := d.uploads[id]
		if !ok {
			continue // a request that was late
		}
		_, epoch, _, _ := names.ParseObject(u.key)
		l := p.leases[u.shard]
		if l != nil && d.mutation == UnfencedCleaner {
			unfenced := *l
			unfenced.Epoch = epoch + 1
			l = &unfenced
		}
		if !protocol.Abandoned(l, epoch, id) {
			continue
		}
		_ = d.send(p, "abort "+u.key, func() error { // the next cleaner tries again
			if _, ok := d.uploads[id]; ok {
				d.stats.Aborted++
				delete(d.uploads, id)
			}
			return nil
		})
	}
}
