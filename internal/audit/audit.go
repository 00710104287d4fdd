// Package audit holds what the commits claim against what lies in the bucket, and names every difference.
//
// Every commit leaves a record (see protocol.Names.Record) of its range of the shard and of its files, with their sizes and
// rows. Run reads the records of a range of time and follows the chain that those of each shard are (commits.go), looks at
// every file that they claim (files.go), and then at the objects where data and rejects lie, for those that no commit
// claims (objects.go). Of a Parquet file it reads the footer and no data, and of raw lines nothing; JSON lines it reads, since
// nothing else tells how many there are. It changes nothing, and the service may be at work meanwhile.
//
// It believes the records: that the rows are those of the stream, with their values, is not for it to tell. And it judges
// objects by the time of their last change: one that was there before the range, or came after it, is not looked at unless
// a commit of the range claims it.
package audit

import (
	"cmp"
	"context"
	"hash/maphash"
	"sync"
	"time"

	"github.com/sluice-etl/sluice/consumer/protocol"
)

// Store is where the objects are. Its methods are safe for concurrent use, and each retries for a while on its own. The
// error is fs.ErrNotExist where there is no object.
type Store interface {
	// List calls object for every object whose key begins with the prefix, with its size in bytes and the time of its
	// last change. If folder is given, it is called for every longer prefix up to the next slash, and what lies below
	// these is left out. The calls come one after the other; the first error of theirs ends the list.
	List(ctx context.Context, prefix string, object func(key string, size int64, modified time.Time) error, folder func(prefix string) error) error

	// Head tells an object's size in bytes, and the token of the commit that it carries; empty: none.
	Head(ctx context.Context, key string) (size int64, token string, err error)

	// Get reads an object whole.
	Get(ctx context.Context, key string) ([]byte, error)

	// ReadAt fills p with the bytes of an object from an offset on.
	ReadAt(ctx context.Context, key string, p []byte, offset int64) error
}

// Leases tell of commits whose files may not be visible yet. They have no record before their files are visible, and are
// told of here until they have one. The methods are safe for concurrent use.
type Leases interface {
	// Pending lists those of all shards, as they were a moment ago.
	Pending(ctx context.Context) ([]*protocol.Commit, error)

	// PendingOf gives that of a shard, as it is now; nil where there is none.
	PendingOf(ctx context.Context, shard string) (*protocol.Commit, error)
}

// Config says what is audited. All fields are required unless they say otherwise.
type Config struct {
	Names    protocol.Names // of the stream and the application
	Prefixes []string       // the literal beginnings of the keys of data and rejects
	From, To time.Time      // the range: From is of it, To is not
	Store    Store
	Leases   Leases

	// Patience is how long the files of a pending commit may take to become visible before they differ: while the service
	// is well, that is a moment. 0: no time.
	Patience time.Duration

	// Report is told of each difference, Progress of how far the work is. Neither is called twice at a time.
	Report   func(Difference)
	Progress func(Progress)
}

// Progress is how far a part of the work is.
type Progress struct {
	Part  string  // what is counted: commits first, then objects
	Done  int64   // how many of them
	Share float64 // of the part, from 0 to 1; 0 also while it is not known
}

// Summary is what an audit found.
type Summary struct {
	Stream      string         `json:"stream"`
	App         string         `json:"app"`
	From        time.Time      `json:"from"`
	To          time.Time      `json:"to"` // not of the range
	Commits     int64          `json:"commits"`
	GivenUp     int64          `json:"given_up"` // commits of which somebody aborted the uploads; their records were read again
	Claimed     Figures        `json:"claimed"`
	Found       Figures        `json:"found"`         // of what is claimed
	Objects     int64          `json:"objects"`       // last changed in the range, where data and rejects lie
	Others      int64          `json:"other_streams"` // of these: the files of other streams
	Differences map[Kind]int64 `json:"differences"`
}

// Figures are sums over files. Rows are those of Parquet files and JSON lines: raw lines do not tell how many they are of.
type Figures struct {
	Files int64 `json:"files"`
	Rows  int64 `json:"rows"`
	Bytes int64 `json:"bytes"`
}

func (f *Figures) add(g Figures) {
	f.Files += g.Files
	f.Rows += g.Rows
	f.Bytes += g.Bytes
}

// atOnce is how many lists, and how many other calls of the store, are under way at the same time.
const atOnce = 16

// Run audits. It returns the summary also where there are differences; an error tells why it could not look at everything.
//
// It keeps the names of the commits of a day, about 100 bytes each, and a hash of the name of each file that the range
// claims, about 15 bytes; nothing else grows with the range.
func Run(ctx context.Context, c Config) (*Summary, error) {
	a := &audit{
		Config: c, seed: maphash.MakeSeed(), claimed: map[uint64]struct{}{}, last: map[string]link{}, damaged: map[string]bool{},
		sum: Summary{Stream: c.Names.Stream, App: c.Names.App, From: c.From, To: c.To, Differences: map[Kind]int64{}},
	}
	if err := a.run(ctx); err != nil {
		return nil, err
	}
	return &a.sum, nil
}

// audit is one Run.
type audit struct {
	Config

	last    map[string]link     // the last commit of each shard so far
	seed    maphash.Seed        // of claimed
	claimed map[uint64]struct{} // hashes of the keys of all files claimed; not changed any more when objects are listed

	mu      sync.Mutex      // while many goroutines report: guards what follows, and calls of Report and Progress
	damaged map[string]bool // the keys of records that were reported
	sum     Summary
}

// run does its steps in this order because the service may be at work. A commit that is neither pending at the beginning
// nor recorded thereafter was made later: it claims nothing here, and its objects are told by looking it up. So are those of
// a commit that is pending, which is looked at last, when it should have become visible.
func (a *audit) run(ctx context.Context) error {
	waiting, err := a.waiting(ctx)
	if err != nil {
		return err
	}
	all := days(a.From, a.To)
	for i, day := range all {
		progress := func(done, of int) {
			a.Progress(Progress{"commits", a.sum.Commits, (float64(i) + float64(done)/float64(max(1, of))) / float64(len(all))})
		}
		if err := a.day(ctx, day, waiting, progress); err != nil {
			return err
		}
	}
	if err := a.objects(ctx); err != nil {
		return err
	}
	return a.pending(ctx, waiting)
}

// waiting lists the commits that are pending, but for those after the range. Those before it are of interest, too: nothing
// else tells of them, and they should have been visible long ago.
func (a *audit) waiting(ctx context.Context) (map[name]entry, error) {
	commits, err := a.Leases.Pending(ctx)
	if err != nil {
		return nil, err
	}
	waiting := map[name]entry{}
	for _, c := range commits {
		if at, _ := time.Parse(time.RFC3339, c.Time); at.Before(a.To) {
			n := name{c.Shard, c.Epoch, c.Number}
			waiting[n] = entry{name: n, commit: c, waits: true}
		}
	}
	return waiting, nil
}

// days are the dates, in UTC, of the range.
func days(from, to time.Time) []string {
	var all []string
	for at := from.UTC().Truncate(24 * time.Hour); at.Before(to); at = at.AddDate(0, 0, 1) {
		all = append(all, at.Format(time.DateOnly))
	}
	return all
}

// covers tells whether a time is of the range.
func (a *audit) covers(at time.Time) bool { return !at.Before(a.From) && at.Before(a.To) }

func (a *audit) report(d Difference) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sum.Differences[d.Kind]++
	a.Report(d)
}

// name tells a commit from all others of the stream.
type name struct {
	shard         string
	epoch, number int64
}

// compare orders the commits of each shard as they were made.
func (n name) compare(m name) int {
	return cmp.Or(cmp.Compare(n.shard, m.shard), cmp.Compare(n.epoch, m.epoch), cmp.Compare(n.number, m.number))
}
