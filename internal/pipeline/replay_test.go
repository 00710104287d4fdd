package pipeline

import (
	"errors"
	"fmt"
	"testing"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/consumer"
)

var errCrash = errors.New("the process dies here")

// replay plays the same records, and dies at every crash-th commit: before it is applied, or after. Whoever comes next begins with what was
// committed, as after a SIGKILL. peers is what other shards tell. It gives the rows that are visible in the end, in order.
func replay(t *testing.T, scope string, crash int, applied bool, peers func() ([][]byte, bool)) []row {
	t.Helper()
	const records = 600
	documents, commits := &documents{text: map[string]string{}}, 0
	var visible []consumer.Batch
	for next := 0; next < records; {
		var died bool
		l := newLab(t, func(c *Config, s *fakeShard) {
			c.Detectors = []anomaly.Settings{{Name: "source", Kind: "rate", Key: []string{"ip"}, Scope: scope}}
			c.FlushBytes = 32 << 10
			c.Schema = declared(t, `{"name":"ip"},{"name":"text"}`)
			s.documents, s.peers = documents, peers
			if len(visible) > 0 {
				s.states = [][]byte{visible[len(visible)-1].State}
			}
			s.crash = func() error {
				if commits++; crash > 0 && commits%crash == 0 {
					died = true
					return errCrash
				}
				return nil
			}
			s.applied = applied
		})
		l.n = next
		for l.n < records {
			ip := fmt.Sprintf("10.0.%d.%d", l.n/200, l.n%200)
			if l.n%3 == 0 {
				ip = "10.9.9.9"
			}
			select {
			case l.shard.fetches <- consumer.Fetch{Records: []consumer.Record{l.record(fmt.Sprintf(`{"ip":%q,"text":"%0200d"}`, ip, l.n))}}:
			case err := <-l.done:
				if !errors.Is(err, errCrash) {
					t.Fatal(err)
				}
				l.done <- err
				l.n = records
			}
		}
		close(l.shard.stopping)
		if err := <-l.done; err != nil && !errors.Is(err, errCrash) || err != nil && !died {
			t.Fatal(err)
		}
		visible = append(visible, l.shard.batches...)
		if len(visible) > 0 {
			if _, err := fmt.Sscanf(visible[len(visible)-1].Checkpoint, "%d", &next); err != nil {
				t.Fatal(err)
			}
			next++
		}
	}
	rows, _ := read(t, visible)
	return rows
}

// A crash at a commit, whether it was applied or not, changes no flag: of the scope shard whatever the batches are, of the scope
// stream as long as the others tell the same.
func TestFlagsOverCrashes(t *testing.T) {
	if testing.Short() {
		t.Skip("commits hundreds of times")
	}
	other := newLab(t, func(c *Config, _ *fakeShard) {
		c.Detectors = []anomaly.Settings{{Name: "source", Kind: "rate", Key: []string{"ip"}, Scope: anomaly.ScopeStream}}
	})
	for range 150 {
		other.give(other.record(fmt.Sprintf(`{"ip":"10.1.%d.%d"}`, other.n/200, other.n%200)), other.record(`{"ip":"10.9.9.9"}`))
	}
	other.stop()
	last := other.shard.batches[len(other.shard.batches)-1]
	if last.Summary == 0 || last.Summary >= len(last.State) {
		t.Fatalf("a commit tells others %d bytes of %d", last.Summary, len(last.State))
	}
	told := func() ([][]byte, bool) { return [][]byte{last.State[:last.Summary]}, true }

	want := map[string][]row{}
	for _, scope := range []string{anomaly.ScopeShard, anomaly.ScopeStream} {
		want[scope] = replay(t, scope, 0, false, told)
		flagged := 0
		for _, r := range want[scope] {
			if r["anomaly"] == true {
				flagged++
			}
		}
		if flagged == 0 {
			t.Fatalf("%s: nothing is flagged", scope)
		}
		for _, crash := range []int{2} {
			for _, applied := range []bool{false, true} {
				got := replay(t, scope, crash, applied, told)
				if len(got) != len(want[scope]) {
					t.Fatalf("%s: %d rows; want %d", scope, len(got), len(want[scope]))
				}
				for i, r := range got {
					if w := want[scope][i]; r["anomaly"] != w["anomaly"] || r["anomaly_detector"] != w["anomaly_detector"] || scope == anomaly.ScopeShard && fmt.Sprint(r) != fmt.Sprint(w) {
						t.Fatalf("%s, a crash at every %d. commit, applied: %v: row %d is %v; without crashes %v", scope, crash, applied, i, r, w)
					}
				}
			}
		}
	}
	if fmt.Sprint(want[anomaly.ScopeShard]) == fmt.Sprint(want[anomaly.ScopeStream]) {
		t.Error("what the other shard tells is of no effect")
	}
}

// Where it is not known what others tell, the data goes on, and it is counted.
func TestPeersThatAreNotKnown(t *testing.T) {
	l := newLab(t, func(c *Config, s *fakeShard) {
		c.Detectors = []anomaly.Settings{{Name: "source", Kind: "rate", Key: []string{"ip"}, Scope: anomaly.ScopeStream}}
		s.peers = func() ([][]byte, bool) { return [][]byte{[]byte("damaged")}, true }
	})
	l.give(l.record(`{"ip":"10.0.0.1"}`))
	l.stop()
	if len(l.shard.batches) != 1 || l.counts.alone != 1 {
		t.Errorf("%d batches, %d without the others", len(l.shard.batches), l.counts.alone)
	}
}
