package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/sluice-etl/sluice/internal/backfill"
	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/ops"
	"github.com/sluice-etl/sluice/internal/service"
)

// backfillMemory is the default of SLUICE_MEMORY_LIMIT here: other than the service, a backfill has not the machine for itself.
const backfillMemory = "256MiB"

// runBackfill brings files through the same stages as the records of the stream.
func runBackfill(ctx context.Context, c command) error {
	begun := time.Now()
	own := flags("backfill")
	out := own.String("out", "", "write to a `folder` instead of the bucket")
	force := own.Bool("force", false, "bring also files that were brought before: their rows are then there twice")
	asJSON := own.Bool("json", false, "print what became of each file as a line of JSON, and the sums as the last line")
	cfg, err := load(c, own, len(c.args), config.Require(), config.Default("MEMORY_LIMIT", backfillMemory), config.Default("LOG_LEVEL", "warn"))
	if err != nil {
		return err
	}
	switch {
	case len(cfg.Args) == 0:
		return usageError("give the files to bring, or - for the standard input")
	case *out == "" && cfg.Bucket == "":
		return usageError("say where to: --out FOLDER, or SLUICE_BUCKET for S3")
	case *out == "" && cfg.Stream == "":
		return usageError("SLUICE_STREAM is missing: in the bucket the rows lie beside those of the stream, and have its columns")
	}
	p := startProgress(c.stderr, c.terminal)
	defer p.stop()
	o := backfillOutput{w: c.stdout, progress: p}
	if *asJSON {
		o.json = json.NewEncoder(c.stdout)
	}
	err = service.Backfill(ctx, cfg, *out, c.logger(cfg), backfill.Config{
		Files: cfg.Args, Stdin: c.stdin, Force: *force, Report: o.file,
		Progress: func(read, size int64) { p.set("bytes", read, float64(read)/float64(max(size, 1))) },
	})
	p.stop()
	o.sums.Seconds, o.sums.CPU = time.Since(begun).Seconds(), ops.CPUTime().Seconds()
	o.summary()
	if err != nil {
		return err
	}
	return o.err
}

// backfillSums are sums over the files that were brought now. Of those that were brought before there is a count alone.
type backfillSums struct {
	Inputs    int     `json:"inputs"`
	Before    int     `json:"inputs_brought_before"`
	Records   int     `json:"records"`
	Rows      int     `json:"rows"`
	Rejects   int     `json:"rejects"`
	Filtered  int     `json:"filtered"`
	Anomalies int     `json:"anomalies"`
	Files     int     `json:"files"`
	Bytes     int64   `json:"bytes"`
	Seconds   float64 `json:"seconds"`
	CPU       float64 `json:"cpu_seconds"` // of the whole process
}

// backfillOutput prints what became of the files.
type backfillOutput struct {
	w        io.Writer
	json     *json.Encoder // nil: for people
	progress *progress
	sums     backfillSums
	err      error // the first one of a write
}

func (o *backfillOutput) keep(err error) {
	if o.err == nil {
		o.err = err
	}
}

func (o *backfillOutput) file(r backfill.Result) {
	o.progress.hide()
	o.sums.Inputs++
	if r.Before.IsZero() {
		o.sums.Records += r.Records
		o.sums.Rows += r.Rows
		o.sums.Rejects += r.Rejects
		o.sums.Filtered += r.Filtered
		o.sums.Anomalies += r.Anomalies
		o.sums.Files += r.Files
		o.sums.Bytes += r.Bytes
	} else {
		o.sums.Before++
	}
	if o.json != nil {
		o.keep(o.json.Encode(r))
		return
	}
	if !r.Before.IsZero() {
		_, err := fmt.Fprintf(o.w, "%s was brought before, at %s: nothing to do (--force brings it again, and doubles its %d rows)\n",
			r.File, r.Before.Format(time.RFC3339), r.Rows)
		o.keep(err)
		return
	}
	_, err := fmt.Fprintf(o.w, "%s: %d records: %d rows, %d rejects, %d left out; %d anomalies; %d files, %d bytes\n",
		r.File, r.Records, r.Rows, r.Rejects, r.Filtered, r.Anomalies, r.Files, r.Bytes)
	o.keep(err)
}

func (o *backfillOutput) summary() {
	s := o.sums
	if o.json != nil {
		o.keep(o.json.Encode(s))
		return
	}
	_, err := fmt.Fprintf(o.w, "%d records: %d rows, %d rejects, %d left out; %d anomalies; %d files, %d bytes; %.2f seconds, %.2f CPU seconds\n",
		s.Records, s.Rows, s.Rejects, s.Filtered, s.Anomalies, s.Files, s.Bytes, s.Seconds, s.CPU)
	o.keep(err)
}
