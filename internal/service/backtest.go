package service

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/sluice-etl/sluice/internal/backtest"
	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/pipeline"
	"github.com/sluice-etl/sluice/transform"
)

// BacktestRecords runs the configured detectors over files of records in the configured format.
func BacktestRecords(ctx context.Context, cfg *config.Config, log *slog.Logger, c backtest.Config, r backtest.Records) (*backtest.Result, error) {
	plan, faults := interpret(cfg)
	if len(faults) > 0 {
		return nil, faults
	}
	debug.SetMemoryLimit(cfg.MemoryLimit)
	c.Detectors, c.Quiet = plan.detectors, cfg.AlertQuiet
	if r.Format = cfg.Format; r.Format == "json" {
		r.Format = transform.FormatJSON
	}
	r.Timed = cfg.TimeColumn != ""
	r.NewPipeline = func(look pipeline.Looker, m pipeline.Metrics) (*pipeline.Pipeline, error) {
		stages := plan.stages(cfg, "")
		stages.Detectors, stages.Look, stages.Metrics, stages.Log = nil, look, m, log
		stages.EventTime.MaxSkew = math.MaxInt64
		stages.FlushInterval = math.MaxInt64 // a file does not wait
		stages.FlushBytes, stages.MemoryLimit = min(stages.FlushBytes, backtestBatch), cfg.MemoryLimit
		return pipeline.New(stages)
	}
	return c.RunRecords(ctx, r)
}

// backtestBatch is at which size, in bytes, a batch ends of which nothing is written.
const backtestBatch = 8 << 20

// S3URL begins the names of places in buckets: s3://BUCKET/PREFIX.
const S3URL = "s3://"

// BacktestStored runs the configured detectors over rows that were written: in Parquet files in folders, or below prefixes of buckets.
func BacktestStored(ctx context.Context, cfg *config.Config, c backtest.Config, places []string) (*backtest.Result, error) {
	plan, faults := interpret(cfg)
	if len(faults) > 0 {
		return nil, faults
	}
	debug.SetMemoryLimit(cfg.MemoryLimit)
	c.Detectors, c.Quiet = plan.detectors, cfg.AlertQuiet
	stored := backtest.Stored{Time: plan.time, Parallel: runtime.GOMAXPROCS(0)}
	for _, name := range places {
		bucket, prefix, _ := strings.Cut(strings.TrimPrefix(name, S3URL), "/")
		switch {
		case !strings.HasPrefix(name, S3URL):
			stored.Places = append(stored.Places, backtest.Place{Store: backtest.Folder(name), Name: name})
			continue
		case bucket == "":
			return nil, errors.New("want s3://BUCKET/PREFIX")
		}
		of := *cfg
		of.Bucket = bucket
		_, store, err := Connect(ctx, &of, nil)
		if err != nil {
			return nil, err
		}
		stored.Places = append(stored.Places, backtest.Place{Store: store, Prefix: prefix, Name: name})
	}
	return c.RunStored(ctx, stored)
}
