package anomaly_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/internal/columns"
)

// watched is an engine with a detector of the kind rule, whose episodes last until 10 s without a value of 100.
type watched struct {
	*anomaly.Engine
	t     *testing.T
	table *columns.Table
}

func watch(t *testing.T, names ...string) watched {
	t.Helper()
	var settings []anomaly.Settings
	for _, name := range names {
		settings = append(settings, anomaly.Settings{Name: name, Kind: anomaly.KindRule, Key: []string{"key"}, Expression: "x < 100"})
	}
	e, err := anomaly.NewEngine(settings)
	if err != nil {
		t.Fatal(err)
	}
	fields := []columns.Field{{Name: "key", Type: columns.String}, {Name: "x", Type: columns.Double}}
	if err := e.Bind(fields); err != nil {
		t.Fatal(err)
	}
	e.Follow("shardId-000000000001", 10*time.Second)
	return watched{e, t, columns.NewTable(fields)}
}

func (w watched) row(second int, key string, x float64) {
	w.table.Truncate(0)
	w.table.Columns[0].AppendString(key)
	w.table.Columns[1].AppendDouble(x)
	w.table.EndRow()
	w.Score(w.table, 0, noon.Add(time.Duration(second)*time.Second).UnixMilli())
}

func (w watched) restore(states ...[]byte) {
	w.t.Helper()
	for i, state := range states {
		load := w.Restore
		if i > 0 {
			load = w.Merge
		}
		if err := load(state); err != nil {
			w.t.Fatal(err)
		}
	}
}

func shown(notices []anomaly.Notice) (all []string) {
	for _, n := range notices {
		all = append(all, fmt.Sprintf("%s %s %d: %d rows in %d s", n.Key, n.Phase, n.Sequence, n.Rows, (n.At-n.Opened)/1000))
	}
	return all
}

// The episodes that are open follow from the rows alone, wherever these are cut into batches.
func TestEpisodesDoNotDependOnCommits(t *testing.T) {
	var first []byte
	var told []string
	for _, every := range []int{1, 7, 1000} {
		w := watch(t, "high")
		var all []anomaly.Notice
		for second := range 300 {
			x := 1.0
			if second%40 < 20 {
				x = 100
			}
			w.row(second, fmt.Sprint("key", second%3), x)
			if second%every == every-1 || second == 299 {
				w.Settle()
				w.Snapshot(nil)
				for _, n := range w.Durable() {
					all = append(all, n)
					w.Told(n.ID, n.Sequence)
				}
			}
		}
		state, now := w.Snapshot(nil), shown(all)
		slices.Sort(now)
		if first == nil {
			first, told = state, now
		}
		if !bytes.Equal(state, first) || !slices.Equal(now, told) {
			t.Errorf("with a commit every %d rows the state has %d bytes, not %d, or others are told:\n%q\n%q", every, len(state), len(first), now, told)
		}
	}
	if len(told) != 3*8+3*7 {
		t.Errorf("%d notices: %q", len(told), told)
	}
}

// What was committed and not told is told after a restart, under the same names; what was told is not.
func TestNoticesWait(t *testing.T) {
	w := watch(t, "high")
	w.row(0, "a", 100)
	w.row(0, "b", 100)
	if len(w.Waiting()) != 0 {
		t.Error("a notice waits that is in no snapshot")
	}
	w.Snapshot(nil)
	fresh := w.Durable()
	if len(fresh) != 2 || fresh[0].ID == fresh[1].ID || fresh[0].Group == fresh[1].Group || fresh[0].Score != 1 || fresh[0].Reason == "" {
		t.Fatalf("%+v", fresh)
	}
	w.Told(fresh[0].ID, 0)
	saved := w.Snapshot(nil)

	again := watch(t, "high")
	again.restore(saved)
	if waiting := again.Waiting(); len(waiting) != 1 || waiting[0] != fresh[1] {
		t.Errorf("after a restart these wait: %+v; want %+v", waiting, fresh[1])
	}
	again.row(5, "a", 100)
	again.row(30, "c", 1)
	again.Settle()
	if got := shown(again.Durable()); !slices.Equal(got, []string{"key a closes 1: 2 rows in 5 s", "key b closes 1: 1 rows in 0 s"}) {
		t.Errorf("%q", got)
	}
}

// Where two shards become one, the earlier episode of a key goes on and the other one ends; that of a detector which is no more ends, too.
func TestEpisodesMove(t *testing.T) {
	var states [][]byte
	var ids []string
	for shard := range 2 {
		w := watch(t, "high", "gone")
		w.row(5-shard, "a", 100)
		w.Snapshot(nil)
		for _, n := range w.Durable() {
			w.Told(n.ID, n.Sequence)
			if n.Detector == "high" {
				ids = append(ids, n.ID)
			}
		}
		states = append(states, w.Snapshot(nil))
	}
	w := watch(t, "high")
	w.restore(states...)
	var high, gone []anomaly.Notice
	for _, n := range w.Durable() {
		if n.Detector == "high" {
			high = append(high, n)
		} else {
			gone = append(gone, n)
		}
	}
	if len(high) != 1 || high[0].ID != ids[0] || high[0].Phase != anomaly.Closes || len(gone) != 2 {
		t.Errorf("%+v, %+v", high, gone)
	}
	w.row(30, "b", 1)
	w.Settle()
	if left := w.Durable(); len(left) != 1 || left[0].ID != ids[1] {
		t.Errorf("%+v", left)
	}
}
