// Package simulate drives the commit protocol through bad days, and looks whether each record still becomes visible exactly
// once. Everything that happens follows from a seed: a run takes a fraction of a millisecond, and can be told again.
//
// A run has up to four workers, a stream that is split and merged, a table and a store. The workers run the machine that
// the service runs (protocol.Hold), and the rules beside it; what is around them is as unkind as it can be. Requests are
// lost, or applied with their answer lost, or applied later, also after their sender died. Processes crash between any two
// requests, stand still and come back, also while another process has their name; each new one may cut batches in its own
// way. Anybody may take a living worker's shard, since who is dead can only be guessed; views of the table are old. Cleaners
// abort what nobody will publish, somebody aborts what was to be published, and finished shards leave files.
//
// What must hold is looked at from outside (world.go): a row is visible once at most, at any time; an upload that is
// committed can be published; a snapshot belongs to the position where it is loaded; no shard is committed before its
// parents are read to their end. When the faults end, everything that was put becomes visible, every commit has its record, and
// no upload of an epoch that is over remains.
package simulate

import (
	"fmt"
	"io"
	"math/rand/v2"
)

// Options of a run.
type Options struct {
	Seed     uint64
	Mutation Mutation
	Trace    io.Writer // nil: none
}

// Mutation takes a part of the protocol away, to see that the simulator would notice.
type Mutation string

// The mutations.
const (
	None            Mutation = ""
	NoFence         Mutation = "no fence"         // commits have no conditions
	WrongEpoch      Mutation = "wrong epoch"      // a commit's epoch may be an older one
	UnfencedCleaner Mutation = "unfenced cleaner" // it aborts all that is not pending
	NoLeft          Mutation = "no left"          // what a finished shard left stays
)

// Mutations lists them.
func Mutations() []Mutation { return []Mutation{NoFence, WrongEpoch, UnfencedCleaner, NoLeft} }

// Fault is what went wrong in a run.
type Fault struct {
	Seed uint64
	What string
}

func (f *Fault) Error() string { return fmt.Sprintf("seed %d: %s", f.Seed, f.What) }

// Stats counts what happened in a run, to show that it was a bad day.
type Stats struct {
	Records, Commits, Takes, Crashes, Pauses, Fenced, Lost, Unanswered, Late, Aborted, Reshards, Left, GivenUp int
}

// Add adds up.
func (s *Stats) Add(o Stats) {
	s.Records += o.Records
	s.Commits += o.Commits
	s.Takes += o.Takes
	s.Crashes += o.Crashes
	s.Pauses += o.Pauses
	s.Fenced += o.Fenced
	s.Lost += o.Lost
	s.Unanswered += o.Unanswered
	s.Late += o.Late
	s.Aborted += o.Aborted
	s.Reshards += o.Reshards
	s.Left += o.Left
	s.GivenUp += o.GivenUp
}

// Run makes a run. Its error is a *Fault.
func Run(o Options) (stats Stats, err error) {
	d := &day{
		Rand: rand.New(rand.NewPCG(o.Seed, 1)), mutation: o.Mutation, trace: o.Trace, faulty: true,
		world: newWorld(),
	}
	defer func() {
		// A fault is found deep inside, and ends the run.
		if r := recover(); r != nil {
			f, ok := r.(breach)
			if !ok {
				panic(r)
			}
			d.say("FAULT: %s", string(f))
			stats, err = d.stats, &Fault{o.Seed, string(f)}
		}
	}()
	d.begin()
	for range 100 + d.IntN(400) {
		d.event()
	}
	d.end()
	return d.stats, nil
}
