package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/internal/backtest"
	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/picture"
	"github.com/sluice-etl/sluice/internal/service"
	"github.com/sluice-etl/sluice/sink"
)

// backtestFlags are those of the command alone.
type backtestFlags struct {
	out, labels string
	plot        bool
	threshold   float64
}

// runBacktest shows what detectors would have flagged in what is past, each row by those before it alone.
func runBacktest(ctx context.Context, c command) error {
	own, f := flags("backtest FILE..."), backtestFlags{}
	own.StringVar(&f.out, "out", "", "`folder` for copies of series with the columns anomaly_score and anomaly, under the same names, and for pictures")
	own.BoolVar(&f.plot, "plot", false, "draw each series, and each detector, into the folder of --out: NAME.png, NAME.svg and NAME.html, a page with zoom")
	own.StringVar(&f.labels, "labels", "", "JSON `file` that tells where alerts are right: {\"FILE\": [[\"FROM\", \"TO\"], ...]}, of series with the names that files have in --out")
	own.Float64Var(&f.threshold, "threshold", anomaly.SeriesThreshold, "of series the `score` from which a row is abnormal, above 0, at most 1; detectors have their own")
	cfg, err := load(c, own, len(c.args), config.Require(), config.Default("LOG_LEVEL", "warn"))
	if err != nil {
		return err
	}
	if !(f.threshold > 0 && f.threshold <= 1) {
		return usageError(fmt.Sprintf("--threshold %v is not above 0 and at most 1", f.threshold))
	}
	if f.plot && f.out == "" {
		return usageError("--plot draws beside what --out writes: name a folder by --out")
	}
	p := startProgress(c.stderr, c.terminal)
	defer p.stop()
	b := backtest.Config{Progress: func(read, size int64) { p.set("bytes", read, float64(read)/float64(max(size, 1))) }}
	var drawn []string
	if f.plot {
		b.Draw = func(name string, o *backtest.Outcome, right []backtest.Window) error {
			path := filepath.Join(f.out, strings.TrimSuffix(name, backtest.SeriesExtension))
			drawn = append(drawn, path)
			return picture.Of(name, o, right).Write(path)
		}
	}
	if f.labels != "" {
		text, err := c.readFile(f.labels)
		if err != nil {
			return fmt.Errorf("read the labels: %w", err)
		}
		if b.Labels, err = backtest.ParseLabels(text); err != nil {
			return fmt.Errorf("%s: %w", f.labels, err)
		}
	}
	result, err := c.backtest(ctx, cfg, b, f)
	p.stop()
	if err != nil {
		return err
	}
	for _, path := range drawn {
		if _, err := fmt.Fprintf(c.stdout, "drawn: %s.png, .svg and .html\n", path); err != nil {
			return err
		}
	}
	return result.Print(c.stdout)
}

// backtest finds out what the arguments are: places of rows that were written, series, or records.
func (c command) backtest(ctx context.Context, cfg *config.Config, b backtest.Config, f backtestFlags) (*backtest.Result, error) {
	if len(cfg.Args) == 0 {
		return nil, usageError("name the files or folders: series (CSV with the columns timestamp and value), records in the format of SLUICE_FORMAT (- for the standard input), " +
			"or Parquet files of sluice, also as s3://BUCKET/PREFIX")
	}
	inBuckets := slices.ContainsFunc(cfg.Args, func(arg string) bool { return strings.HasPrefix(arg, service.S3URL) })
	var files []backtest.File
	if !inBuckets {
		var err error
		if files, err = c.find(cfg.Args); err != nil {
			return nil, err
		}
	}
	stored := inBuckets || slices.ContainsFunc(files, func(f backtest.File) bool { return strings.HasSuffix(f.Path, "."+sink.ParquetExtension) })
	series := !stored && (len(cfg.Detectors) == 0 || cfg.Format != "csv" && isSeries(files))
	switch {
	case series:
		files, err := backtest.FindEnding(cfg.Args, backtest.SeriesExtension)
		if err != nil {
			return nil, err
		}
		result, err := b.RunSeries(ctx, backtest.Series{Files: files, Threshold: f.threshold, Out: f.out})
		if errors.Is(err, backtest.ErrReplaces) {
			return nil, usageError("--out: " + err.Error())
		}
		return result, err
	case len(cfg.Detectors) == 0:
		return nil, usageError("there is no detector to try; name one by SLUICE_ANOMALY_DETECTORS")
	case f.out != "" && !f.plot:
		return nil, usageError("--out is for series and for pictures (--plot); rows of records with what is found in them are written by sluice backfill --out")
	case stored:
		return service.BacktestStored(ctx, cfg, b, cfg.Args)
	}
	return service.BacktestRecords(ctx, cfg, c.logger(cfg), b, backtest.Records{Files: files, Stdin: c.stdin})
}

// find gives the files below the arguments.
func (c command) find(args []string) (files []backtest.File, err error) {
	for _, arg := range args {
		if arg == backtest.Stdin {
			files = append(files, backtest.File{Path: arg, Name: arg})
			continue
		}
		found, err := backtest.Find([]string{arg})
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	return files, nil
}

// isSeries tells whether the first file that can be one is a series.
func isSeries(files []backtest.File) bool {
	i := slices.IndexFunc(files, func(f backtest.File) bool { return f.Path != backtest.Stdin })
	return i >= 0 && backtest.IsSeries(files[i].Path)
}
