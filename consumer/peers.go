package consumer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/sluice-etl/sluice/consumer/protocol"
)

// told is what a shard's last commit tells the others: the beginning of its snapshot.
type told struct {
	sum     string // SHA-256 of it, as the shard's item has it
	summary []byte
}

// gather reads what the shards' last commits tell, of those that have committed since: the items that a look at the table found name
// it. So nothing is told that is not committed. What cannot be read stays as it was, and is read with the next look: that keeps no
// data waiting, and so the worker is ready all the same.
func (c *Consumer) gather(ctx context.Context) {
	c.mu.Lock()
	rows, before := maps.Clone(c.rows), c.told
	c.mu.Unlock()
	now := map[string]told{}
	var errs []error
	for shard, l := range rows {
		if l.State == nil || l.State.Summary <= 0 {
			continue
		}
		old, known := before[shard]
		if known {
			now[shard] = old
		}
		if known && old.sum == l.State.SummarySHA256 {
			continue
		}
		switch summary, err := c.summary(ctx, l.State); {
		case errors.Is(err, fs.ErrNotExist): // since the look it has been replaced by a later one
		case err != nil:
			errs = append(errs, fmt.Errorf("shard %s: %w", shard, err))
		default:
			now[shard] = told{l.State.SummarySHA256, summary}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told, c.gathered = now, len(errs) == 0
	if len(errs) > 0 && ctx.Err() == nil {
		c.observe.log.Warn("what other shards tell could not be read; what is known of them stays as it was", "error", errors.Join(errs...))
	}
}

func (c *Consumer) summary(ctx context.Context, of *protocol.StateRef) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	summary := make([]byte, of.Summary)
	if err := c.store.ReadAt(ctx, of.Key, summary, 0); err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(summary); hex.EncodeToString(sum[:]) != of.SummarySHA256 {
		return nil, fmt.Errorf("the first %d bytes of %s are damaged; it is passed over until the shard's next commit", of.Summary, of.Key)
	}
	return summary, nil
}

// Peers gives what the last commits of the other shards tell (see Batch.Summary), also of finished ones, by the order of their
// ids. It waits for nothing: it is as old as the last look at the table, a few seconds at most while all is well. It is not ok where
// some of it could not be read, or nothing was yet.
func (s *Session) Peers() (summaries [][]byte, ok bool) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	for _, shard := range slices.Sorted(maps.Keys(s.c.told)) {
		if shard != s.shard {
			summaries = append(summaries, s.c.told[shard].summary)
		}
	}
	return summaries, s.c.gathered
}
