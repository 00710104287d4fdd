package simulate

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/sluice-etl/sluice/consumer/protocol"
)

// day is one run.
type day struct {
	*rand.Rand
	world
	mutation  Mutation
	trace     io.Writer
	faulty    bool // until the end
	clock     int
	started   int // processes so far
	processes []*process
	late      []request // on their way
	stats     Stats
}

// request is a request that reaches the world later than its sender believes.
type request struct {
	what  string
	apply func() error
}

// say tells what happens.
func (d *day) say(format string, args ...any) {
	if d.trace != nil {
		fmt.Fprintf(d.trace, "%4d  "+format+"\n", append([]any{d.clock}, args...)...)
	}
}

// errLost is what a sender sees of a request that has no answer.
var errLost = errors.New("no answer")

// send sends a request. What becomes of it is drawn; the sender sees the request's own error, or errLost.
func (d *day) send(p *process, what string, apply func() error) error {
	d.clock++
	fate := 99
	if d.faulty {
		fate = d.IntN(100)
	}
	switch {
	case fate < 6:
		d.stats.Lost++
		d.say("%v  %s: lost", p, what)
		return errLost
	case fate < 12:
		d.stats.Unanswered++
		err := apply()
		d.say("%v  %s: the answer (%v) is lost", p, what, err)
		return errLost
	case fate < 20:
		d.stats.Late++
		d.late = append(d.late, request{fmt.Sprint(p, "  ", what), apply})
		d.say("%v  %s: late", p, what)
		return errLost
	}
	err := apply()
	d.say("%v  %s: %v", p, what, ok(err))
	return err
}

func ok(err error) string {
	if err == nil {
		return "done"
	}
	return err.Error()
}

// begin makes a stream and its workers.
func (d *day) begin() {
	for range 1 + d.IntN(3) {
		d.put(d.addShard())
	}
	for i := range 1 + d.IntN(4) {
		d.start(string(rune('A' + i)))
	}
}

// start starts a process under a name.
func (d *day) start(name string) *process {
	d.started++
	p := &process{name: name, number: d.started, files: 1 + d.IntN(3), sessions: map[string]*session{}, left: map[string]*session{}}
	d.processes = append(d.processes, p)
	d.look(p)
	d.say("%v  starts, with %d files for a batch", p, p.files)
	return p
}

// event lets one thing happen.
func (d *day) event() {
	d.clock++
	switch n := d.IntN(1000); {
	case n < 80:
		if open := d.open(); len(open) > 0 {
			d.put(open[d.IntN(len(open))])
		}
	case n < 90:
		d.reshard()
	case n < 96:
		d.crash(d.IntN(len(d.processes)))
	case n < 104:
		d.abortPending()
	case n < 114:
		d.pause(d.processes[d.IntN(len(d.processes))])
	case n < 158:
		if len(d.late) > 0 {
			d.deliver(d.IntN(len(d.late)))
		}
	default:
		if p := d.processes[d.IntN(len(d.processes))]; !p.paused {
			d.work(p)
		}
	}
}

// abortPending lets somebody abort what a commit waits to publish.
func (d *day) abortPending() {
	first := d.IntN(len(d.shards))
	for i := range d.shards {
		id := d.shards[(first+i)%len(d.shards)].info.ID
		if l := d.lease(id); l != nil && l.Pending != nil && d.abort(l.Pending) {
			d.stats.GivenUp++
			d.say("somebody aborts the committed uploads of %s, commit %d", id, l.CommitNo)
			return
		}
	}
}

// work lets a process do something.
func (d *day) work(p *process) {
	sessions := slices.Sorted(maps.Keys(p.sessions))
	lefts := slices.Sorted(maps.Keys(p.left))
	n := d.IntN(20)
	switch {
	case n < 1:
		d.look(p)
	case n < 3:
		// Mostly what is free; sometimes what seems to belong to a dead worker, though it may live.
		s := d.shards[d.IntN(len(d.shards))]
		if l := p.leases[s.info.ID]; l == nil || l.Owner == "" || l.Owner == p.name || d.IntN(4) == 0 {
			d.take(p, s)
		}
	case n < 4:
		d.clean(p)
	case n < 5:
		d.finishLeft(p)
	case n < 7 && len(lefts) > 0:
		d.advance(p, lefts[d.IntN(len(lefts))], p.left)
	case len(sessions) > 0:
		d.advance(p, sessions[d.IntN(len(sessions))], p.sessions)
	default:
		d.look(p)
	}
}

// deliver lets a late request arrive.
func (d *day) deliver(i int) {
	r := d.late[i]
	d.late = slices.Delete(d.late, i, i+1)
	err := r.apply()
	d.say("%s: arrives: %v", r.what, ok(err))
}

// crash ends a process. Another starts under its name, at once or, where the name has none, with the end.
func (d *day) crash(i int) {
	p := d.processes[i]
	d.stats.Crashes++
	d.say("%v  crashes", p)
	d.processes = slices.Delete(d.processes, i, i+1)
	if len(d.processes) == 0 || d.IntN(3) > 0 {
		d.start(p.name)
	}
}

// pause makes a process stand still, or go on. While it stands still another may start under its name.
func (d *day) pause(p *process) {
	d.stats.Pauses++
	p.paused = !p.paused
	d.say("%v  stands still: %v", p, p.paused)
	if p.paused && len(d.processes) < 4 && d.IntN(2) == 0 {
		d.start(p.name)
	}
}

func (d *day) open() []*shard {
	return slices.DeleteFunc(slices.Clone(d.shards), func(s *shard) bool { return s.closed })
}

// reshard splits a shard, or merges two.
func (d *day) reshard() {
	open := d.open()
	if len(d.shards) > 8 {
		return
	}
	d.stats.Reshards++
	a := open[d.IntN(len(open))]
	if b := open[d.IntN(len(open))]; a != b {
		a.closed, b.closed = true, true
		child := d.addShard(a.info.ID, b.info.ID)
		d.say("%s and %s are merged into %s", a.info.ID, b.info.ID, child.info.ID)
		return
	}
	a.closed = true
	left, right := d.addShard(a.info.ID), d.addShard(a.info.ID)
	d.say("%s is split into %s and %s", a.info.ID, left.info.ID, right.info.ID)
}

// end ends the faults, and lets the workers finish: all that is on its way arrives or is lost, the paused go on, and
// every process works until nothing is left to do.
func (d *day) end() {
	d.say("the faults end")
	d.faulty = false
	for len(d.late) > 0 {
		i := d.IntN(len(d.late))
		if d.IntN(2) == 0 {
			d.say("%s: is lost for ever", d.late[i].what)
			d.late = slices.Delete(d.late, i, i+1)
			continue
		}
		d.deliver(i)
	}
	for _, p := range d.processes {
		p.paused = false
	}
	for range 40 {
		d.work(d.processes[d.IntN(len(d.processes))])
	}
	// Of several processes with one name, the newest is the one that lives.
	newest := map[string]*process{}
	for _, p := range d.processes {
		newest[p.name] = p
	}
	d.processes = slices.DeleteFunc(d.processes, func(p *process) bool { return newest[p.name] != p })
	d.stats.Records = d.last

	for range 1000 {
		for _, p := range d.processes {
			d.finish(p, newest)
		}
		if d.atRest() {
			for _, p := range d.processes {
				d.look(p)
				d.clean(p)
			}
			d.check(names)
			return
		}
	}
	breached("the workers do not come to an end")
}

// finish lets a process do all that it can, without faults.
func (d *day) finish(p *process, alive map[string]*process) {
	d.look(p)
	for _, s := range d.shards {
		l := p.leases[s.info.ID]
		if l == nil || l.Owner == "" || alive[l.Owner] == nil || l.Owner == p.name {
			d.take(p, s)
		}
	}
	d.finishLeft(p)
	for _, id := range slices.Sorted(maps.Keys(p.left)) {
		for p.left[id] != nil {
			d.advance(p, id, p.left)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(p.sessions)) {
		for range 10 {
			if s := p.sessions[id]; s != nil && !d.idle(id, s) {
				d.advance(p, id, p.sessions)
			}
		}
	}
}

// idle tells whether a session has nothing to do.
func (d *day) idle(id string, s *session) bool {
	return s.call == nil && s.hold.Step() == protocol.Reading && s.read >= 0 && len(s.batch) == 0 && !s.flush &&
		len(d.byID[id].after(s.read)) == 0 && !d.byID[id].closed
}

// atRest tells whether everything was read and nothing waits.
func (d *day) atRest() bool {
	for _, p := range d.processes {
		for id, s := range p.sessions {
			if !d.idle(id, s) {
				return false
			}
		}
	}
	for _, s := range d.shards {
		l := d.lease(s.info.ID)
		if l == nil || d.mutation != NoLeft && l.Pending != nil || s.closed && !l.Finished || len(s.after(position(l.Checkpoint))) > 0 {
			return false
		}
	}
	return true
}
