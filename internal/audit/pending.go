package audit

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"
)

// pending audits the commits that were pending at the beginning, and have no record as far as is known.
func (a *audit) pending(ctx context.Context, waiting map[name]entry) error {
	patient, cancel := context.WithTimeout(ctx, a.Patience)
	defer cancel()
	var claims []claim
	for _, n := range slices.SortedFunc(maps.Keys(waiting), name.compare) {
		e, err := a.outcome(ctx, patient, waiting[n])
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was given up: what it claimed was read again
		}
		if err != nil {
			return err
		}
		if last, ok := a.last[n.shard]; !ok || last.compare(n) < 0 { // unless a later one was recorded meanwhile
			a.follow(e)
		}
		claims = append(claims, a.claim(e)...)
	}
	return a.files(ctx, claims)
}

// outcome waits until a commit is not pending any more, or the context patient ends, and gives it as it then is. The error
// is fs.ErrNotExist where it is neither pending nor recorded.
func (a *audit) outcome(ctx, patient context.Context, e entry) (entry, error) {
	again := time.NewTicker(200 * time.Millisecond)
	defer again.Stop()
	for {
		now, err := a.Leases.PendingOf(ctx, e.shard)
		if err != nil {
			return e, err
		}
		if now == nil || now.ID != e.commit.ID {
			day, _, _ := strings.Cut(e.commit.Time, "T")
			return a.load(ctx, e.name, day)
		}
		select {
		case <-again.C:
		case <-patient.Done():
			return e, context.Cause(ctx)
		}
	}
}
