package consumer

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/consumer/protocol"
)

// group is several workers deciding by their views of one table, as an event loop does: one shard at a time.
type group struct {
	shards  []protocol.Shard
	leases  map[string]*protocol.Lease
	alive   map[string]bool
	leaving map[string]bool
	unowned time.Duration // of every free shard
}

func newGroup(shards int, workers ...string) *group {
	g := &group{leases: map[string]*protocol.Lease{}, alive: map[string]bool{}, leaving: map[string]bool{}}
	for i := range shards {
		g.shards = append(g.shards, protocol.Shard{ID: fmt.Sprintf("shardId-%012d", i)})
	}
	for _, w := range workers {
		g.alive[w] = true
	}
	return g
}

func (g *group) view(me string) *view {
	v := &view{me: me, failover: 10 * time.Second, listed: g.shards, leases: g.leases, mine: map[string]bool{}, alive: g.alive, leaving: g.leaving}
	for id, l := range g.leases {
		if l.Owner == me {
			v.mine[id] = true
		}
	}
	v.unowned = func(string) time.Duration { return g.unowned }
	v.gave = func(string) bool { return false }
	return v
}

// step lets a worker take what it may and give back what it should; it tells whether anything changed.
func (g *group) step(me string) bool {
	for _, s := range g.shards {
		if g.view(me).toTake()[s.ID] {
			g.leases[s.ID] = &protocol.Lease{Shard: s.ID, Owner: me}
			return true
		}
	}
	if id := g.view(me).shouldRelease(); id != "" {
		g.leases[id].Owner = ""
		return true
	}
	return false
}

// run steps the workers in a random order until nobody wants to change anything, and counts what each holds.
func (g *group) run(t *testing.T, seed uint64) map[string]int {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 0))
	workers := slices.Sorted(func(yield func(string) bool) {
		for w := range g.alive {
			if !yield(w) {
				return
			}
		}
	})
	for range 10_000 {
		random.Shuffle(len(workers), func(i, j int) { workers[i], workers[j] = workers[j], workers[i] })
		changed := false
		for _, w := range workers {
			changed = g.step(w) || changed
		}
		if !changed {
			held := map[string]int{}
			for _, l := range g.leases {
				if l.Owner != "" {
					held[l.Owner]++
				}
			}
			return held
		}
	}
	t.Fatalf("seed %d: the workers never agree: %v", seed, g.leases)
	return nil
}

func TestSharesAreFair(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		shards, workers := 1+random.IntN(20), 1+random.IntN(6)
		var names []string
		for i := range workers {
			names = append(names, fmt.Sprint("worker", i))
		}
		g := newGroup(shards, names...)
		for _, s := range g.shards { // the first worker came long before the others
			g.leases[s.ID] = &protocol.Lease{Shard: s.ID, Owner: names[0]}
		}
		held, total := g.run(t, seed), 0
		for _, name := range names {
			total += held[name]
			if held[name] > (shards+workers-1)/workers || held[name] < shards/workers {
				t.Errorf("seed %d: %d shards over %d workers: %v", seed, shards, workers, held)
				break
			}
		}
		if total != shards {
			t.Errorf("seed %d: %d of %d shards are held", seed, total, shards)
		}
	}
}

func TestTheDeadAreReplaced(t *testing.T) {
	g := newGroup(5, "a", "b", "c")
	g.run(t, 1)
	delete(g.alive, "b")
	held := g.run(t, 2)
	if held["a"]+held["c"] != 5 || max(held["a"], held["c"]) > 3 {
		t.Errorf("after the death of b: %v", held)
	}
}

// Who is about to leave keeps its shards until it gives them back, and is given none.
func TestALeavingWorkerKeepsItsShards(t *testing.T) {
	g := newGroup(4, "a", "b")
	g.run(t, 1)
	g.leaving["b"] = true
	for _, s := range g.shards {
		if g.leases[s.ID].Owner == "b" && g.view("a").toTake()[s.ID] {
			t.Errorf("%s is taken from a worker that lives", s.ID)
		}
	}
	if !g.view("a").changing() {
		t.Error("a shard is about to be given back, and nobody looks out for it")
	}
	for _, l := range g.leases {
		if l.Owner == "b" {
			l.Owner = ""
		}
	}
	if held := g.run(t, 2); held["a"] != 4 {
		t.Errorf("after b gave its shards back: %v", held)
	}
}

// A worker with too few looks out for what the others give back; with enough it does not.
func TestAWorkerWithTooFewIsQuick(t *testing.T) {
	g := newGroup(4, "a", "b")
	for _, s := range g.shards {
		g.leases[s.ID] = &protocol.Lease{Shard: s.ID, Owner: "a"}
	}
	if !g.view("b").changing() || g.view("a").changing() {
		t.Error("b has no shard of 4 and is not quick, or a is")
	}
	g.run(t, 1)
	if g.view("a").changing() || g.view("b").changing() {
		t.Error("every worker has its share, and one is quick")
	}
}

func TestAShardWaitsForAllItsParents(t *testing.T) {
	child := protocol.Shard{ID: "child", Parents: []string{"left", "right"}}
	listed := []protocol.Shard{{ID: "left"}, {ID: "right"}, child}
	for _, test := range []struct {
		name   string
		listed []protocol.Shard
		leases map[string]*protocol.Lease
		ready  bool
	}{
		{"both parents are listed and nobody has read them", listed, nil, false},
		{"one parent is finished, the other has no row yet", listed, map[string]*protocol.Lease{"left": {Finished: true}}, false},
		{"one parent is being read", listed, map[string]*protocol.Lease{"left": {Finished: true}, "right": {}}, false},
		{"both are finished", listed, map[string]*protocol.Lease{"left": {Finished: true}, "right": {Finished: true}}, true},
		{"both left the stream, and their rows with them", listed[2:], nil, true},
		{"a parent left the stream before it was read to its end", listed[2:], map[string]*protocol.Lease{"right": {}}, false},
		{"the child is finished itself", listed[2:], map[string]*protocol.Lease{"child": {Finished: true}}, false},
	} {
		v := &view{listed: test.listed, leases: test.leases}
		if got := v.ready(child); got != test.ready {
			t.Errorf("%s: ready is %v", test.name, got)
		}
	}
}

func TestMoreThanTheShareOnlyWhenNobodyElseComes(t *testing.T) {
	g := newGroup(4, "me", "idle") // idle lives, but never takes
	for g.step("me") {
	}
	if n := len(g.view("me").mine); n != 2 {
		t.Fatalf("holds %d of 4 shards beside an idle worker, want the share of 2", n)
	}
	g.unowned = 11 * time.Second
	if !g.view("me").toTake()[g.shards[3].ID] {
		t.Error("leaves a shard unread that nobody took for more than a failover time")
	}
	v := g.view("me")
	v.maxLeases = 2
	if v.toTake()[g.shards[3].ID] {
		t.Error("takes more shards than it may hold at most")
	}
}

func TestAHandedOverShardIsNotTakenBack(t *testing.T) {
	g := newGroup(2, "me", "other")
	v := g.view("me")
	v.gave = func(string) bool { return true }
	if v.toTake()[g.shards[0].ID] {
		t.Error("takes back at once what it gave to others")
	}
}

func TestARowWithoutASessionIsTakenAgain(t *testing.T) {
	g := newGroup(1, "me")
	g.leases[g.shards[0].ID] = &protocol.Lease{Owner: "me"} // a take whose answer was lost
	v := g.view("me")
	v.mine = map[string]bool{}
	if !v.toTake()[g.shards[0].ID] {
		t.Error("a shard that is ours by the table, but has no session, is left alone")
	}
}

// Of workers that see each other exactly one leads, also while it leaves.
func TestPlanLeads(t *testing.T) {
	leaders := func(g *group) (all []string) {
		for w := range g.alive {
			if v := g.view(w); v.leads() {
				all = append(all, w)
			}
		}
		return all
	}
	g := newGroup(2, "c", "a", "b")
	for _, step := range []struct {
		change func()
		want   string
	}{
		{func() {}, "[a]"},
		{func() { g.leaving["a"] = true }, "[a]"},
		{func() { delete(g.alive, "a") }, "[b]"},
		{func() { delete(g.alive, "b") }, "[c]"},
		{func() { g.alive["0"] = true }, "[0]"},
	} {
		step.change()
		if got := fmt.Sprint(leaders(g)); got != step.want {
			t.Errorf("of %v, where %v leave, %s lead; want %s", g.alive, g.leaving, got, step.want)
		}
	}
	// Who does not see the others leads beside them: until it looks again.
	g = newGroup(2, "a", "b")
	g.alive = map[string]bool{"b": true}
	if v := g.view("b"); !v.leads() {
		t.Error("nobody leads whom the last one can see")
	}
}
