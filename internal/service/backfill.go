package service

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"runtime"
	"runtime/debug"

	"github.com/sluice-etl/sluice/internal/backfill"
	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/once"
	"github.com/sluice-etl/sluice/internal/ops"
	"github.com/sluice-etl/sluice/internal/pipeline"
	"github.com/sluice-etl/sluice/sink/dir"
	"github.com/sluice-etl/sluice/transform"
)

// Backfill brings files through the configured stages, to a folder, or to the configured bucket if out is empty. In the
// bucket the files have the columns that the workers of the application have agreed on. The files and whom to tell are
// given; the rest of the backfill's configuration is filled in here.
func Backfill(ctx context.Context, cfg *config.Config, out string, log *slog.Logger, c backfill.Config) error {
	plan, faults := interpret(cfg)
	if len(faults) > 0 {
		return faults
	}
	debug.SetMemoryLimit(cfg.MemoryLimit * 7 / 8) // the runtime's own, and what it frees late, are the rest
	c.Stream, c.State = cfg.StreamName(), cfg.StatePrefix+cfg.App+"/backfill/"
	if c.Stream == "" {
		c.Stream = "sluice"
	}
	if c.Format = cfg.Format; c.Format == "json" {
		c.Format = transform.FormatJSON
	}
	if out != "" {
		store, err := dir.New(dir.Options{Dir: out})
		if err != nil {
			return err
		}
		c.Store, c.Documents = store, documents{store, c.State}
	} else {
		clients, store, err := Connect(ctx, cfg, nil)
		if err != nil {
			return err
		}
		if err := store.Check(ctx); err != nil {
			return err
		}
		agreed, err := clients.Documents(ctx, cfg.LeaseTable, cfg.CreateTable)
		if err != nil {
			return err
		}
		c.Store, c.Documents = store, agreed
	}
	c.Parallel = min(runtime.GOMAXPROCS(0), len(c.Files))
	stages := plan.stages(cfg, ops.ReadBuild().Version)
	stages.Log = log
	// A file does not wait: its batches end by their size. What a batch grows into, what is encoded of it, and garbage have the rest.
	stages.FlushInterval = math.MaxInt64
	stages.MemoryLimit = cfg.MemoryLimit / 5 / int64(c.Parallel)
	c.NewPipeline = func(m pipeline.Metrics) (*pipeline.Pipeline, error) {
		own := stages
		own.Metrics = m
		return pipeline.New(own)
	}
	return backfill.Run(ctx, c)
}

// documents keeps what is agreed on where there is no lease table: as objects with the numbers 1, 2, 3, of which the last
// counts. Each number is given once.
type documents struct {
	store once.Store
	state string
}

// last gives the document that counts, and its number; 0 where there is none.
func (d documents) last(ctx context.Context, name string) (body string, number int, err error) {
	for {
		next, err := d.store.Get(ctx, d.key(name, number+1))
		if errors.Is(err, fs.ErrNotExist) {
			return body, number, nil
		}
		if err != nil {
			return "", 0, err
		}
		body = string(next)
		number++
	}
}

func (d documents) key(name string, number int) string {
	return fmt.Sprintf("%s_%s-%d.json", d.state, name, number)
}

func (d documents) Agreed(ctx context.Context, name string) (string, error) {
	body, _, err := d.last(ctx, name)
	return body, err
}

func (d documents) Agree(ctx context.Context, name, body string) (string, error) {
	return d.Amend(ctx, name, "", body)
}

func (d documents) Amend(ctx context.Context, name, old, body string) (string, error) {
	there, number, err := d.last(ctx, name)
	if err != nil || there != old {
		return there, err
	}
	made, err := once.Create(ctx, d.store, d.key(name, number+1), rand.Text(), []byte(body))
	return string(made), err
}
