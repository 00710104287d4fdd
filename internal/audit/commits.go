package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-etl/sluice/consumer/protocol"
	"github.com/sluice-etl/sluice/sink"
)

const (
	// commitsAtOnce is how many commits, with their files, are in memory at a time. A commit has at most 100 files.
	commitsAtOnce = 256

	// clocks is how far the clocks of workers and of the store may be apart.
	clocks = time.Hour
)

// entry is a commit, by its name and by its record.
type entry struct {
	name
	record string           // its key; empty where there is none
	commit *protocol.Commit // nil: the record cannot be read
	fault  error            // why
	waits  bool             // it is pending, and has no record
}

// claim is a file of a commit.
type claim struct {
	entry
	file int
}

// day audits the commits that were made on a day, in UTC. It takes those that have a record by now out of waiting.
func (a *audit) day(ctx context.Context, day string, waiting map[name]entry, progress func(done, of int)) error {
	names, err := a.names(ctx, day)
	if err != nil {
		return err
	}
	done := 0
	for chunk := range slices.Chunk(names, commitsAtOnce) {
		entries, err := a.read(ctx, day, chunk)
		if err != nil {
			return err
		}
		var claims []claim
		for _, e := range entries {
			delete(waiting, e.name)
			a.follow(e)
			claims = append(claims, a.claim(e)...)
		}
		if err := a.files(ctx, claims); err != nil {
			return err
		}
		done += len(chunk)
		progress(done, len(names))
	}
	if len(names) == 0 {
		progress(1, 1)
	}
	return nil
}

// names lists the commits that have a record of a day, in the order of the shards and of their commits.
func (a *audit) names(ctx context.Context, day string) ([]name, error) {
	var names []name
	err := a.Store.List(ctx, a.Names.Records(day), func(key string, _ int64, modified time.Time) error {
		n, ok := a.parse(key)
		// A record is written after the commit's time: what was written before the range is not of it.
		if ok && key == a.record(n, day) && !modified.Before(a.From.Add(-clocks)) {
			names = append(names, n)
		}
		return nil
	}, nil)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(names, name.compare)
	return names, nil
}

// parse finds the commit in the name of an object of the stream.
func (a *audit) parse(key string) (n name, ok bool) {
	n.shard, n.epoch, n.number, ok = a.Names.ParseObject(key)
	return n, ok
}

// record is the key of the record of a commit that was made on a day.
func (a *audit) record(n name, day string) string {
	return a.Names.Record(&protocol.Commit{Shard: n.shard, Epoch: n.epoch, Number: n.number, Time: day})
}

// read reads the records of commits of a day.
func (a *audit) read(ctx context.Context, day string, names []name) ([]entry, error) {
	entries := make([]entry, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, n := range names {
		group.Go(func() (err error) {
			entries[i], err = a.load(ctx, n, day)
			if errors.Is(err, fs.ErrNotExist) {
				entries[i].fault, err = errors.New("it was there a moment ago, and is gone: records are to be kept"), nil
			}
			return err
		})
	}
	return entries, group.Wait()
}

// load reads the record of a commit. The error is fs.ErrNotExist where there is none on that day; a record that is damaged
// is no error, but has a fault.
func (a *audit) load(ctx context.Context, n name, day string) (entry, error) {
	e := entry{name: n, record: a.record(n, day)}
	text, err := a.Store.Get(ctx, e.record)
	if err != nil {
		return e, err
	}
	commit := &protocol.Commit{}
	if e.fault = json.Unmarshal(text, commit); e.fault != nil {
		return e, nil
	}
	e.commit = commit
	if _, e.fault = e.time(); e.fault == nil && a.Names.Record(commit) != e.record {
		e.fault = fmt.Errorf("it is that of commit %d in epoch %d of shard %s at %s", commit.Number, commit.Epoch, commit.Shard, commit.Time)
	}
	if e.fault != nil {
		e.commit = nil
	}
	return e, nil
}

// time is when the commit was made, by the clock of its worker.
func (e entry) time() (time.Time, error) {
	if e.commit == nil {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339, e.commit.Time)
}

// reportRecord reports a record that cannot be read, once.
func (a *audit) reportRecord(key string, fault error) {
	a.mu.Lock()
	before := a.damaged[key]
	a.damaged[key] = true
	a.mu.Unlock()
	if !before {
		a.report(Difference{Kind: Record, Key: key, Text: fmt.Sprintf("the record cannot be read: %v", fault)})
	}
}

// claim enters what a commit of the range, or one that is pending, claims, and gives the files to look at.
func (a *audit) claim(e entry) []claim {
	if e.fault != nil {
		a.reportRecord(e.record, e.fault)
		return nil
	}
	if at, _ := e.time(); !e.waits && !a.covers(at) {
		return nil
	}
	a.sum.Commits++
	if e.commit.GivesUp != 0 {
		a.sum.GivenUp++
	}
	var claims []claim
	for i, f := range e.commit.Files {
		figures := Figures{Files: 1, Bytes: int64(f.Size)}
		if counted(f) {
			figures.Rows = int64(f.Rows)
		}
		a.sum.Claimed.add(figures)
		hash := maphash.String(a.seed, f.Key)
		if _, twice := a.claimed[hash]; twice {
			a.report(Difference{Kind: Twice, Key: f.Key, Record: e.record, Text: fmt.Sprintf("%s claims it, and so does another commit, or the same one before", e.whose())})
			continue
		}
		a.claimed[hash] = struct{}{}
		claims = append(claims, claim{e, i})
	}
	return claims
}

// whose names the commit for people.
func (e entry) whose() string {
	if e.waits {
		return fmt.Sprintf("commit %d of %s, which is pending,", e.number, e.shard)
	}
	return fmt.Sprintf("commit %d of %s", e.number, e.shard)
}

func isParquet(key string) bool { return strings.HasSuffix(key, "."+sink.ParquetExtension) }

// counted tells whether a file's rows can be counted. The files of rejects claim none, and a raw line may hold a newline.
func counted(f protocol.File) bool { return isParquet(f.Key) || f.Rows > 0 && sink.IsJSON(f.Key) }

// link is what the next commit of a shard must follow.
type link struct {
	name
	checkpoint string
	known      bool // the checkpoint is
}

// follow holds a commit against the one of its shard before it, if that is of the range or near it. What is known of the
// commit by its record's name alone, it has to follow by its number.
func (a *audit) follow(e entry) {
	before, ok := a.last[e.shard]
	next := link{name: e.name}
	if e.commit != nil {
		next.checkpoint, next.known = e.commit.Checkpoint, true
	}
	a.last[e.shard] = next
	if at, _ := e.time(); !ok || e.commit != nil && !e.waits && !a.covers(at) {
		return
	}
	key := e.record
	if e.waits {
		key = a.Names.Record(e.commit)
	}
	if d := broken(before, e); d != nil {
		d.Key = key
		a.report(*d)
	}
}

// broken tells how a commit fails to follow the one before; nil: it does not.
func broken(before link, e entry) *Difference {
	want, begins := before.number+1, ""
	if e.commit != nil {
		begins = e.commit.After
		if e.commit.GivesUp == want {
			// The commit between has no record, because its files never became visible: this one takes the position back.
			want, begins = want+1, e.commit.Checkpoint
		}
	}
	if e.number != want {
		kind, text := Gap, fmt.Sprintf("%d between have no record", e.number-want)
		if e.number < want {
			kind, text = Overlap, "the shard was read twice"
		}
		return &Difference{Kind: kind, Claimed: want, Found: e.number,
			Text: fmt.Sprintf("commit %d in epoch %d follows commit %d in epoch %d: %s", e.number, e.epoch, before.number, before.epoch, text)}
	}
	if e.commit == nil || !before.known || begins == before.checkpoint {
		return nil
	}
	kind, text := Gap, "what lies between is in no file"
	if protocol.Later(before.checkpoint, begins) {
		kind, text = Overlap, "what lies between is in two files"
	}
	return &Difference{Kind: kind, Claimed: before.checkpoint, Found: begins,
		Text: fmt.Sprintf("commit %d begins after sequence number %s, and the one before ends at %s: %s", e.number, orNone(begins), orNone(before.checkpoint), text)}
}

func orNone(sequence string) string {
	if sequence == "" {
		return "(none)"
	}
	return sequence
}
