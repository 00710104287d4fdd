package trace

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-etl/sluice/consumer/protocol"
)

// shelf is a store in memory; gets counts what is read of it.
type shelf struct {
	objects map[string][]byte
	gets    int
}

func (s *shelf) List(_ context.Context, prefix string, object func(string, int64, time.Time) error, folder func(string) error) error {
	last := ""
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		below, ok := strings.CutPrefix(key, prefix)
		if !ok {
			continue
		}
		if slash := strings.IndexByte(below, '/'); folder != nil && slash >= 0 {
			if name := prefix + below[:slash+1]; name != last {
				last = name
				if err := folder(name); err != nil {
					return err
				}
			}
			continue
		}
		if err := object(key, int64(len(s.objects[key])), time.Time{}); err != nil {
			return err
		}
	}
	return nil
}

func (s *shelf) Get(_ context.Context, key string) ([]byte, error) {
	s.gets++
	body, ok := s.objects[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return body, nil
}

func (s *shelf) ReadAt(_ context.Context, key string, p []byte, offset int64) error {
	body, ok := s.objects[key]
	if !ok {
		return fs.ErrNotExist
	}
	copy(p, body[offset:])
	return nil
}

var names = protocol.Names{App: "a", Stream: "s-1", StatePrefix: "_sluice/"}

const shard = "shardId-000000000001"

// commits are of three days, a hundred numbers each, in two epochs; the fifth was given up and has no record, and the shards
// beside have other numbers.
func commits() (*shelf, []*protocol.Commit) {
	s := &shelf{objects: map[string][]byte{}}
	var all []*protocol.Commit
	add := func(c *protocol.Commit) {
		body, err := json.Marshal(c)
		if err != nil {
			panic(err)
		}
		s.objects[names.Record(c)] = body
	}
	position := 1000
	for day := range 3 {
		for range 100 {
			n := len(all) + 1
			c := &protocol.Commit{Shard: shard, Epoch: int64(1 + n/150), Number: int64(n), Time: fmt.Sprintf("2026-03-%02dT10:00:00Z", day+9),
				After: fmt.Sprint(position), Checkpoint: fmt.Sprint(position + 10)}
			all = append(all, c)
			switch n {
			case 5:
			case 6:
				c.GivesUp, c.Checkpoint = 5, c.After
				c.After = fmt.Sprint(position + 10)
			default:
				position += 10
			}
			if n != 5 {
				add(c)
			}
			add(&protocol.Commit{Shard: "shardId-000000000010", Epoch: 1, Number: int64(n), Time: c.Time, After: "1", Checkpoint: "2"})
		}
	}
	return s, all
}

func TestLocate(t *testing.T) {
	s, all := commits()
	last := all[len(all)-1]
	end := last.Checkpoint
	next := fmt.Sprint(len(all)*10 + 900)
	for _, test := range []struct {
		sequence string
		pending  *protocol.Commit
		state    State
		commit   int64
	}{
		{sequence: "1001", state: Visible, commit: 1}, {sequence: "1010", state: Visible, commit: 1}, {sequence: "1011", state: Visible, commit: 2},
		{sequence: "1041", state: Visible, commit: 7}, {sequence: "1050", state: Visible, commit: 7}, {sequence: "1051", state: Visible, commit: 8},
		{sequence: "2001", state: Visible, commit: 103}, {sequence: end, state: Visible, commit: 300},
		{sequence: "1000", state: Unknown, commit: 1}, {sequence: "999", state: Unknown, commit: 1},
		{sequence: next, state: Visible, commit: 292},
		{sequence: "99999", state: NotCommitted, commit: 300},
		{sequence: "99999", state: Pending, commit: 301, pending: &protocol.Commit{Shard: shard, Epoch: 2, Number: 301, After: end, Checkpoint: "100000"}},
		{sequence: "100001", state: NotCommitted, commit: 300, pending: &protocol.Commit{Shard: shard, Epoch: 2, Number: 301, After: end, Checkpoint: "100000"}},
	} {
		s.gets = 0
		got, err := Run(t.Context(), Config{Names: names, Store: s, Shard: shard, Sequence: test.sequence,
			Pending: func(context.Context, string) (*protocol.Commit, error) { return test.pending, nil }})
		if err != nil {
			t.Fatal(err)
		}
		if got.State != test.state || got.Commit != test.commit || len(got.Places) != 0 {
			t.Errorf("%s: %+v; want %s, commit %d", test.sequence, got, test.state, test.commit)
		}
		if s.gets > 24 { // eight a day
			t.Errorf("%s: %d records are read", test.sequence, s.gets)
		}
	}
}

func TestLocateNothing(t *testing.T) {
	s, _ := commits()
	none := func(context.Context, string) (*protocol.Commit, error) { return nil, nil }
	got, err := Run(t.Context(), Config{Names: names, Store: s, Shard: "shardId-000000000002", Sequence: "5", Pending: none})
	if err != nil || got.State != NotCommitted || got.Commit != 0 {
		t.Errorf("of a shard without a commit: %+v, %v", got, err)
	}
	first := &protocol.Commit{Shard: "shardId-000000000002", Epoch: 1, Number: 1, Checkpoint: "9"}
	pending := func(context.Context, string) (*protocol.Commit, error) { return first, nil }
	got, err = Run(t.Context(), Config{Names: names, Store: s, Shard: "shardId-000000000002", Sequence: "5", Pending: pending})
	if err != nil || got.State != Pending || got.Commit != 1 {
		t.Errorf("of a shard's first commit, which is pending: %+v, %v", got, err)
	}
	for key := range s.objects {
		s.objects[key] = []byte("{")
	}
	if _, err = Run(t.Context(), Config{Names: names, Store: s, Shard: shard, Sequence: "1500", Pending: none}); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("of damaged records: %v", err)
	}
}
