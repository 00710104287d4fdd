package consumer

import (
	"slices"
	"time"

	"github.com/sluice-etl/sluice/consumer/protocol"
)

// view is what one worker knows when it decides which shards to take and which to give back. The decisions are pure
// functions of it.
type view struct {
	me        string
	maxLeases int // 0: no limit
	failover  time.Duration

	listed  []protocol.Shard           // the stream's shards
	leases  map[string]*protocol.Lease // the rows of the table
	mine    map[string]bool            // the shards with a live session here
	alive   map[string]bool            // the workers whose heartbeat moves; with me
	leaving map[string]bool            // those of them that are about to leave: what they hold is theirs until they give it back
	unowned func(shard string) time.Duration
	gave    func(shard string) bool // whether I gave it back less than a failover time ago

	ids map[string]bool // of what is listed; made when it is needed
}

// free tells whether nobody who lives holds the shard.
func (v *view) free(shard string) bool {
	l := v.leases[shard]
	return l == nil || l.Owner == "" || !v.alive[l.Owner] || l.Owner == v.me && !v.mine[shard]
}

// ready tells whether a shard is to be read now.
func (v *view) ready(s protocol.Shard) bool {
	return protocol.Ready(s, v.lists, v.leases)
}

// lists tells whether the stream has a shard.
func (v *view) lists(id string) bool {
	if v.ids == nil {
		v.ids = make(map[string]bool, len(v.listed))
		for _, s := range v.listed {
			v.ids[s.ID] = true
		}
	}
	return v.ids[id]
}

// sharing lists the workers that the shards are for.
func (v *view) sharing() (workers []string) {
	for id := range v.alive {
		if !v.leaving[id] {
			workers = append(workers, id)
		}
	}
	return workers
}

// leads tells whether this worker is the first of those that live, by their names. One that leaves leads until it is gone: what
// it commits last is to be looked after, too.
func (v *view) leads() bool {
	for id := range v.alive {
		if id < v.me {
			return false
		}
	}
	return true
}

// readable counts the shards that are to be read now, and those that each worker holds, of the workers that share them.
func (v *view) readable() (total int, held map[string]int) {
	held = map[string]int{}
	for _, id := range v.sharing() {
		held[id] = 0
	}
	for _, s := range v.listed {
		if !v.ready(s) {
			continue
		}
		total++
		if l := v.leases[s.ID]; l != nil && l.Owner != v.me {
			if _, ok := held[l.Owner]; ok {
				held[l.Owner]++
			}
		}
	}
	held[v.me] = len(v.mine)
	return total, held
}

// changing tells whether shards are about to change hands: a worker leaves, or this one has too few.
func (v *view) changing() bool {
	for id, leaves := range v.leaving {
		if leaves && id != v.me {
			return true
		}
	}
	total, held := v.readable()
	return len(v.mine) < total/len(held)
}

// toTake tells which shards this worker should take now: those that are free, and either within the fair share,
// ceil(shards / workers), or left alone by all for a failover time.
func (v *view) toTake() map[string]bool {
	if v.leaving[v.me] || v.maxLeases > 0 && len(v.mine) >= v.maxLeases {
		return nil
	}
	total, held := v.readable()
	share := (total + len(held) - 1) / len(held)
	wanted := map[string]bool{}
	for _, s := range v.listed {
		switch {
		case v.mine[s.ID] || !v.free(s.ID) || !v.ready(s) || len(held) > 1 && v.gave(s.ID):
		case len(v.mine) < share || v.unowned(s.ID) > v.failover:
			wanted[s.ID] = true
		}
	}
	return wanted
}

// shouldRelease names the shard that this worker should hand over; empty for none. It is above the fair share, or
// has one to spare for a worker that has less than its part.
func (v *view) shouldRelease() string {
	total, held := v.readable()
	workers := len(held)
	if workers < 2 || len(v.mine) == 0 {
		return ""
	}
	share, floor := (total+workers-1)/workers, total/workers
	starving := false
	for id, n := range held {
		starving = starving || id != v.me && n < floor
	}
	if len(v.mine) > share && total >= len(v.mine) || len(v.mine) > floor && starving {
		shards := make([]string, 0, len(v.mine))
		for id := range v.mine {
			shards = append(shards, id)
		}
		return slices.Max(shards) // any would do; the youngest has the shortest history
	}
	return ""
}
