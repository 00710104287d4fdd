package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-etl/sluice/consumer"
	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/feed"
	"github.com/sluice-etl/sluice/internal/kdg"
	"github.com/sluice-etl/sluice/internal/service"
)

// repeated is a flag that may be given more than once.
type repeated []string

func (r *repeated) String() string     { return strings.Join(*r, ",") }
func (r *repeated) Set(s string) error { *r = append(*r, s); return nil }

// generate makes records of KDG templates. To a file they are written as fast as they can be made, to a stream at
// their rate.
func generate(ctx context.Context, c command) error {
	own := flags("generate")
	var named repeated
	own.Var(&named, "template", "`FILE[@RATE]` of a KDG template, and how many records a second it gives; may be repeated")
	count := own.Int("count", 0, "number of records; 0: no limit")
	duration := own.Duration("duration", 0, "time that the records cover; 0: no limit")
	seed := own.Uint64("seed", 0, "makes the same records every time; 0: others each time")
	start := own.String("start", "", "RFC 3339 `time` of the first record (default: now)")
	to := own.String("to", "-", "`-`, a file, or kinesis:STREAM")
	key := own.String("partition-key", "random", "random, or a `field` at the top of the records")
	cfg, err := load(c, own, 0, config.Require())
	if err != nil {
		return err
	}
	switch {
	case len(named) == 0:
		return usageError("--template is missing: give a file with a KDG template, as in --template payment.kdg@100")
	case *count < 0 || *duration < 0:
		return usageError("--count and --duration cannot be negative")
	case *count == 0 && *duration == 0 && !strings.HasPrefix(*to, "kinesis:"):
		return usageError("say how much: --count N or --duration TIME")
	}
	begin := time.Now()
	if *start != "" {
		if begin, err = time.Parse(time.RFC3339, *start); err != nil {
			return usageError(fmt.Sprintf("--start %q is no RFC 3339 time, as 2026-01-31T12:00:00Z is", *start))
		}
	}
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	var sources []kdg.Source
	for _, name := range named {
		source, err := readTemplate(c, name)
		if err != nil {
			return err
		}
		if source.Rate == 0 && *duration > 0 {
			return usageError(fmt.Sprintf("--duration needs rates: --template %s@100 for 100 records a second", name))
		}
		sources = append(sources, source)
	}
	stream := kdg.NewStream(sources, *seed, begin)

	if name, ok := strings.CutPrefix(*to, "kinesis:"); ok {
		clients, _, err := service.Connect(ctx, cfg, nil)
		if err != nil {
			return err
		}
		f := feed.Feed{
			Records: stream, Producer: &consumer.Producer{Client: clients.Kinesis, Stream: name}, Key: feed.RandomKey(*seed),
			Count: *count, Duration: *duration, Unpaced: sources[0].Rate == 0,
		}
		if *key != "random" {
			f.Key = feed.FieldKey(*key)
		}
		return f.Run(ctx, begin)
	}
	w := c.stdout
	if *to != "-" {
		file, err := os.Create(*to)
		if err != nil {
			return err
		}
		if err := write(ctx, file, stream, begin, *count, *duration); err != nil {
			file.Close()
			return err
		}
		return file.Close()
	}
	return write(ctx, w, stream, begin, *count, *duration)
}

func write(ctx context.Context, w io.Writer, stream *kdg.Stream, begin time.Time, count int, duration time.Duration) error {
	buffered := bufio.NewWriterSize(w, 64<<10)
	var record []byte
	for n := 0; count == 0 || n < count; n++ {
		var at time.Time
		record, _, at = stream.Next(record[:0])
		if duration > 0 && at.Sub(begin) >= duration || ctx.Err() != nil {
			break
		}
		if _, err := buffered.Write(record); err != nil {
			return err
		}
	}
	return buffered.Flush()
}

// readTemplate reads FILE[@RATE]. The last @ counts, and only where a number follows.
func readTemplate(c command, name string) (kdg.Source, error) {
	var rate float64
	if i := strings.LastIndexByte(name, '@'); i >= 0 {
		var err error
		if rate, err = strconv.ParseFloat(name[i+1:], 64); err != nil || !(rate > 0 && rate <= 1e6) {
			return kdg.Source{}, usageError(fmt.Sprintf("--template %s: the rate is a number of records a second, above 0 and at most 1000000", name))
		}
		name = name[:i]
	}
	text, err := c.readFile(name)
	if err != nil {
		return kdg.Source{}, fmt.Errorf("read the template: %w", err)
	}
	template, err := kdg.Parse(filepath.Base(name), string(text))
	return kdg.Source{Template: template, Rate: rate}, err
}
