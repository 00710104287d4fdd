package audit

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-etl/sluice/consumer/protocol"
)

// manyFolders is how many are enough to list them side by side, each with all that lies below it. Fewer are split.
const manyFolders = 4 * atOnce

// objects lists where data and rejects lie, and reports the objects of the range that no commit claims.
func (a *audit) objects(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	suspects := make(chan suspect)
	group.Go(func() error {
		defer close(suspects)
		return a.list(ctx, suspects)
	})
	for range atOnce {
		group.Go(func() error {
			for s := range suspects {
				if err := a.suspect(ctx, s); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// suspect is an object that no commit of the range claims.
type suspect struct {
	key      string
	size     int64
	modified time.Time
}

// list finds the suspects. It lists folder by folder, many at once, since one list of a bucket that is years old would take
// hours.
func (a *audit) list(ctx context.Context, suspects chan<- suspect) error {
	l := &lister{audit: a, suspects: suspects}
	folders := roots(a.Prefixes)
	for len(folders) > 0 && len(folders) < manyFolders {
		var err error
		if folders, err = l.split(ctx, folders); err != nil {
			return err
		}
	}
	l.total = len(folders)
	return l.each(ctx, folders, nil)
}

// lister lists folders.
type lister struct {
	*audit
	suspects chan<- suspect
	listed   atomic.Int64 // objects
	done     atomic.Int64 // folders
	total    int          // folders; 0 while they are not known
}

// split lists the objects right in the folders, and gives the folders below.
func (l *lister) split(ctx context.Context, folders []string) (below []string, err error) {
	var mu sync.Mutex
	err = l.each(ctx, folders, func(prefix string) error {
		mu.Lock()
		defer mu.Unlock()
		if prefix != l.Names.StatePrefix {
			below = append(below, prefix)
		}
		return nil
	})
	l.done.Store(0)
	return below, err
}

func (l *lister) each(ctx context.Context, folders []string, below func(prefix string) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, folder := range folders {
		group.Go(func() error {
			err := l.Store.List(ctx, folder, func(key string, size int64, modified time.Time) error {
				return l.object(ctx, suspect{key, size, modified})
			}, below)
			l.done.Add(1)
			l.tell()
			return err
		})
	}
	return group.Wait()
}

// object passes on an object of the range that no commit of the range claims.
func (l *lister) object(ctx context.Context, s suspect) error {
	if l.listed.Add(1)%1000 == 0 {
		l.tell()
	}
	if strings.HasPrefix(s.key, l.Names.StatePrefix) || !l.covers(s.modified) {
		return nil
	}
	l.mu.Lock()
	l.sum.Objects++
	l.mu.Unlock()
	if _, claimed := l.claimed[maphash.String(l.seed, s.key)]; claimed {
		return nil
	}
	select {
	case l.suspects <- s:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l *lister) tell() {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := Progress{Part: "objects", Done: l.listed.Load()}
	if l.total > 0 {
		p.Share = float64(l.done.Load()) / float64(l.total)
	}
	l.Progress(p)
}

// roots are the folders in which keys with the prefixes lie, none within another. A prefix without a folder stands for
// itself.
func roots(prefixes []string) []string {
	var folders []string
	for _, p := range prefixes {
		if slash := strings.LastIndexByte(p, '/'); slash >= 0 {
			p = p[:slash+1]
		}
		folders = append(folders, p)
	}
	slices.Sort(folders)
	var outer []string
	for _, f := range folders {
		if n := len(outer); n == 0 || !strings.HasPrefix(f, outer[n-1]) {
			outer = append(outer, f)
		}
	}
	return outer
}

// suspect reports an object, unless it turns out that a commit claims it which is not of the range, or is a newer one.
func (a *audit) suspect(ctx context.Context, s suspect) error {
	n, ok := a.parse(s.key)
	if !ok {
		return a.stranger(ctx, s)
	}
	// A commit that is not pending any more has its record by now: hence this order.
	pending, err := a.Leases.PendingOf(ctx, n.shard)
	if err != nil {
		return err
	}
	if pending != nil && pending.Epoch == n.epoch && pending.Number == n.number && lists(pending, s.key) {
		return nil
	}
	for _, day := range daysAround(s.modified) {
		e, err := a.load(ctx, n, day)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return err
		case e.fault != nil:
			a.reportRecord(e.record, e.fault)
			return nil
		case lists(e.commit, s.key):
			return nil
		}
	}
	a.report(Difference{Kind: Unclaimed, Key: s.key, Found: s.size,
		Text: fmt.Sprintf("no commit claims it; it has %d bytes, and was changed last at %s", s.size, s.modified.UTC().Format(time.RFC3339))})
	return nil
}

func lists(c *protocol.Commit, key string) bool {
	return slices.ContainsFunc(c.Files, func(f protocol.File) bool { return f.Key == key })
}

// daysAround are the days on which the commit of an object may have been made, the likely ones first. The time of an upload
// is that of its beginning or of its end, depending on the store, and outages may lie between it and the commit's.
func daysAround(modified time.Time) []string {
	var all []string
	for _, days := range []int{0, -1, 1, -2, -3, -4, -5, -6, -7} {
		all = append(all, modified.UTC().AddDate(0, 0, days).Format(time.DateOnly))
	}
	return all
}

// fileName is the name that protocol.Names gives to a file of any stream.
var fileName = regexp.MustCompile(`(^|/)[a-zA-Z0-9_.-]+-[0-9]+-e[0-9]+-c[0-9]+-[0-9]+\.[a-z.]+$`)

// stranger reports an object that has not the name of a file of the stream. A file of another stream, which may lie under
// the same prefix, is counted and left to the audit of that stream.
func (a *audit) stranger(ctx context.Context, s suspect) error {
	if fileName.MatchString(s.key) {
		switch _, token, err := a.Store.Head(ctx, s.key); {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case token != "":
			a.mu.Lock()
			a.sum.Others++
			a.mu.Unlock()
			return nil
		}
	}
	a.report(Difference{Kind: Foreign, Key: s.key, Found: s.size,
		Text: fmt.Sprintf("it is no file of the stream; it has %d bytes, and was changed last at %s", s.size, s.modified.UTC().Format(time.RFC3339))})
	return nil
}
