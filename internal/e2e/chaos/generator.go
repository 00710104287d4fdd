package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/sluice-etl/sluice/internal/e2e/world"
)

// generator puts records at a rate, and does not stop for calls that fail: what became of those, the stream tells at
// the end.
type generator struct {
	producer *world.Producer
	rate     int // records a second
	failed   atomic.Int64
}

// badEvery is how often a record is one that must be rejected.
const badEvery = 400

func newGenerator(w *world.World, j *Journal, rate int, seed uint64) *generator {
	return &generator{rate: rate, producer: &world.Producer{
		Client: w.Kinesis, Random: rand.New(rand.NewPCG(seed, streamOfGenerator)), Loud: loudShare,
		Intended: j.intend, Acknowledged: j.acknowledge,
	}}
}

// loudShare is the share of one key in all records: far more than that of any other, so that the detector has something
// to find.
const loudShare = 0.05

// run puts records until the context ends. It fails only where the journal cannot be written.
func (g *generator) run(ctx context.Context) error {
	const perSecond = 10
	ticker := time.NewTicker(time.Second / perSecond)
	defer ticker.Stop()
	begun, made := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		// As many as the time asks for, so that a slow call does not lower the rate; but no flood after a long outage.
		due := int(time.Since(begun).Seconds()*float64(g.rate)) - made
		if most := 2 * g.rate; due > most {
			made += due - most
			due = most
		}
		for due > 0 {
			records := g.batch(min(due, world.BatchSize), made)
			due -= len(records)
			made += len(records)
			// A call that was begun is ended: whether its answer came decides what must be visible.
			err := g.producer.Put(context.WithoutCancel(ctx), records)
			var written *journalError
			if errors.As(err, &written) {
				return err
			}
			if err != nil {
				g.failed.Add(1)
				break
			}
		}
	}
}

// batch makes records; made is how many there are already.
func (g *generator) batch(count, made int) []world.Record {
	records := make([]world.Record, count)
	for i := range records {
		if n := made + i; n%badEvery == badEvery/2 {
			records[i] = g.producer.MakeBad(n / badEvery)
		} else {
			records[i] = g.producer.Make()
		}
	}
	return records
}

// put puts a number of records as fast as it can, and fails with the first call that does.
func (g *generator) put(ctx context.Context, count int) error {
	for made := 0; made < count; {
		records := g.batch(min(count-made, world.BatchSize), made)
		if err := g.producer.Put(ctx, records); err != nil {
			return fmt.Errorf("put a backlog: %w", err)
		}
		made += len(records)
	}
	return nil
}
