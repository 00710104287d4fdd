// Package trace tells where a record of the stream went: in which commit it is, and which rows and rejects of which objects
// came of it. It knows that from the records of commits (see protocol.Names.Record), the lease table, and the files
// themselves, and changes nothing; the service may be at work, or gone.
package trace

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/sluice-etl/sluice/consumer/protocol"
)

// Store is where the objects are. Its methods are safe for concurrent use, and each retries for a while on its own. The
// error is fs.ErrNotExist where there is no object.
type Store interface {
	// List calls object for every object whose key begins with the prefix, with its size in bytes and the time of its
	// last change. If folder is given, it is called for every longer prefix up to the next slash, and what lies below
	// these is left out. The first error of the calls ends the list.
	List(ctx context.Context, prefix string, object func(key string, size int64, modified time.Time) error, folder func(prefix string) error) error

	// Get reads an object whole.
	Get(ctx context.Context, key string) ([]byte, error)

	// ReadAt fills p with the bytes of an object from an offset on.
	ReadAt(ctx context.Context, key string, p []byte, offset int64) error
}

// Config says what is looked for. All fields are required.
type Config struct {
	Names    protocol.Names // of the stream and the application
	Store    Store
	Shard    string // its whole id
	Sequence string // of the Kinesis record: a decimal number without leading zeros

	// Pending gives the commit of the shard whose files may not be visible yet, as it is now; nil where there is none.
	Pending func(ctx context.Context, shard string) (*protocol.Commit, error)
}

// State is how far a record came.
type State string

// The states.
const (
	Visible      State = "visible"       // its commit is done: Trace.Places are all that came of it
	Pending      State = "pending"       // it is committed, and whoever holds the shard makes its files visible
	NotCommitted State = "not committed" // no commit of the shard reaches it yet
	Unknown      State = "unknown"       // every commit that there is a record of begins after it
)

// Trace is where a record went.
type Trace struct {
	Shard    string `json:"shard"`
	Sequence string `json:"sequence"`
	State    State  `json:"state"`

	// Of the commit that holds it; of the shard's last one, or first, where there is none.
	Epoch  int64  `json:"epoch,omitempty"`
	Commit int64  `json:"commit,omitempty"`
	Time   string `json:"time,omitempty"` // by the clock of the worker that committed

	Places []Place  `json:"places"`         // in the order of Sub
	Gone   []string `json:"gone,omitempty"` // objects of the commit that are not there any more: any of them may have held it
	Raw    []string `json:"raw,omitempty"`  // objects of raw lines, which do not tell whose they are: any of them may hold it
}

// Place is a row or a reject.
type Place struct {
	Sub     int64  `json:"sub"` // the place in the Kinesis record
	Object  string `json:"object"`
	Row     int64  `json:"row"`               // its number in the object, from 0
	Reason  string `json:"reason,omitempty"`  // why detectors flagged the row
	Code    string `json:"code,omitempty"`    // of a reject
	Message string `json:"message,omitempty"` // the same, for a person
}

// Run looks for a record. It asks for the list of one shard's commits for each day back to the record's, for a dozen of their
// records on that day, and for the files of one commit.
func Run(ctx context.Context, c Config) (*Trace, error) {
	t := &Trace{Shard: c.Shard, Sequence: c.Sequence, Places: []Place{}}
	commit, err := c.locate(ctx, t)
	if err != nil {
		return nil, err
	}
	if commit == nil {
		return t, nil
	}
	t.Epoch, t.Commit, t.Time = commit.Epoch, commit.Number, commit.Time
	if t.State != Visible {
		return t, nil
	}
	for _, f := range commit.Files {
		err := c.search(ctx, f, t)
		if errors.Is(err, fs.ErrNotExist) {
			t.Gone = append(t.Gone, f.Key)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", f.Key, err)
		}
	}
	slices.SortFunc(t.Places, func(a, b Place) int {
		return cmp.Or(cmp.Compare(a.Sub, b.Sub), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Row, b.Row))
	})
	return t, nil
}

// locate finds the commit that holds the record, or else the nearest, and the state.
func (c Config) locate(ctx context.Context, t *Trace) (*protocol.Commit, error) {
	pending, err := c.Pending(ctx, c.Shard) // before the records: what becomes visible meanwhile has one then
	if err != nil {
		return nil, err
	}
	days, err := c.days(ctx)
	if err != nil {
		return nil, err
	}
	var nearest *protocol.Commit
	for _, day := range slices.Backward(days) {
		names, err := c.commits(ctx, day)
		if err != nil {
			return nil, err
		}
		// The checkpoints of commits that have a record never fall: one that was given up has none.
		var failure error
		at, _ := slices.BinarySearchFunc(names, c.Sequence, func(key, sequence string) int {
			commit, err := c.read(ctx, key)
			if err != nil {
				failure = cmp.Or(failure, err)
				return 0
			}
			if protocol.Later(sequence, commit.Checkpoint) {
				return -1
			}
			nearest = commit
			return 1
		})
		if failure != nil {
			return nil, failure
		}
		if at == len(names) && nearest == nil && len(names) > 0 { // it is behind all of the newest day's
			if pending != nil && !protocol.Later(c.Sequence, pending.Checkpoint) {
				t.State = Pending
				return pending, nil
			}
			t.State = NotCommitted
			return c.read(ctx, names[len(names)-1])
		}
		if nearest != nil && protocol.Later(c.Sequence, nearest.After) {
			t.State = Visible
			return nearest, nil
		}
	}
	switch {
	case nearest != nil:
		t.State = Unknown
	case pending != nil && !protocol.Later(c.Sequence, pending.Checkpoint):
		t.State = Pending
		return pending, nil
	default:
		t.State = NotCommitted
	}
	return nearest, nil
}

// days lists the days of which there are records of commits, in their order.
func (c Config) days(ctx context.Context) ([]string, error) {
	all := strings.TrimSuffix(c.Names.Records(""), "/")
	var days []string
	err := c.Store.List(ctx, all, func(string, int64, time.Time) error { return nil }, func(prefix string) error {
		days = append(days, strings.Trim(strings.TrimPrefix(prefix, all), "/"))
		return nil
	})
	slices.Sort(days)
	return days, err
}

// commits lists the records of the shard's commits of a day, by their keys, in the order of the commits.
func (c Config) commits(ctx context.Context, day string) ([]string, error) {
	type entry struct {
		key           string
		epoch, number int64
	}
	var all []entry
	example := c.Names.Record(&protocol.Commit{Shard: c.Shard, Time: day})
	prefix := example[:strings.LastIndex(example, "-e")+2]
	err := c.Store.List(ctx, prefix, func(key string, _ int64, _ time.Time) error {
		if shard, epoch, number, ok := c.Names.ParseObject(key); ok && shard == c.Shard {
			all = append(all, entry{key, epoch, number})
		}
		return nil
	}, nil)
	slices.SortFunc(all, func(a, b entry) int { return cmp.Or(cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.number, b.number)) })
	keys := make([]string, len(all))
	for i, e := range all {
		keys[i] = e.key
	}
	return keys, err
}

func (c Config) read(ctx context.Context, key string) (*protocol.Commit, error) {
	text, err := c.Store.Get(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("read the record of a commit %s: %w", key, err)
	}
	commit := &protocol.Commit{}
	if err := json.Unmarshal(text, commit); err != nil {
		return nil, fmt.Errorf("the record of a commit %s is damaged: %w", key, err)
	}
	return commit, nil
}
