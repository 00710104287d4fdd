package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sluice-etl/sluice/internal/config"
	"github.com/sluice-etl/sluice/internal/feed"
	"github.com/sluice-etl/sluice/internal/kdg"
	"github.com/sluice-etl/sluice/internal/service"
)

// repeated is a flag that may be given more than once.
type repeated []string

func (r *repeated) String() string     { return strings.Join(*r, ",") }
func (r *repeated) Set(s string) error { *r = append(*r, s); return nil }

// generation is what generate is asked for.
type generation struct {
	sources  []kdg.Source
	inject   []kdg.Injection
	count    int           // 0: no limit
	duration time.Duration // 0: no limit
	seed     uint64
	begin    time.Time
	to, key  string
	labels   string // a file; empty: none
}

// generate makes records of KDG templates. To a file they are written as fast as they can be made, to a stream at
// their rate.
func generate(ctx context.Context, c command) error {
	g, cfg, err := parseGeneration(c)
	if err != nil {
		return err
	}
	if g.labels != "" {
		if err := g.writeLabels(); err != nil {
			return err
		}
	}
	stream := kdg.NewStream(g.sources, g.seed, g.begin, g.inject...)
	kind, name, _ := strings.Cut(g.to, ":")
	switch {
	case kind == "kinesis" || kind == "firehose":
		f := feed.Feed{
			Records: stream, Key: feed.RandomKey(g.seed), Count: g.count, Duration: g.duration, Unpaced: g.sources[0].Mean == 0, ByClock: true,
			Newlines: kind == "firehose",
		}
		if g.key != "random" {
			f.Key = feed.FieldKey(g.key)
		}
		if f.Producer, err = service.Producer(ctx, cfg, kind, name); err != nil {
			return err
		}
		return f.Run(ctx, g.begin)
	case g.to == "-":
		return write(ctx, c.stdout, stream, g.begin, g.count, g.duration)
	}
	file, err := os.Create(g.to)
	if err != nil {
		return err
	}
	return errors.Join(write(ctx, file, stream, g.begin, g.count, g.duration), file.Close())
}

// parseGeneration reads the flags.
func parseGeneration(c command) (g generation, cfg *config.Config, err error) {
	own := flags("generate")
	var named, injected repeated
	own.Var(&named, "template", "`FILE[@RATE]` of a KDG template, and how many records a second it gives: a number, or MEAN~AMPLITUDE/PERIOD as in 100~50/24h; may be repeated")
	own.IntVar(&g.count, "count", 0, "number of records; 0: no limit")
	own.DurationVar(&g.duration, "duration", 0, "time that the records cover; 0: no limit")
	own.Uint64Var(&g.seed, "seed", 0, "makes the same records every time; 0: others each time")
	start := own.String("start", "", "RFC 3339 `time` of the first record (default: now); to a stream, records of the past are put at once, those of the future when they are due")
	own.StringVar(&g.to, "to", "-", "`-`, a file, kinesis:STREAM or firehose:STREAM")
	own.StringVar(&g.key, "partition-key", "random", "random, or a `field` at the top of the records")
	own.Var(&injected, "inject", "`KIND@TIME+DURATION` of something abnormal, as in spike@10m+30s: spike (ten times as many records), shift (twice as many), "+
		"silence (none) or flood (as many again, all with the same values); TIME is RFC 3339, or a time after the start; may be repeated")
	own.StringVar(&g.labels, "labels", "", "write the times of what is injected to a `file`, in the form of NAB's labels")
	if cfg, err = load(c, own, 0, config.Require()); err != nil {
		return g, nil, err
	}
	limited := strings.HasPrefix(g.to, "kinesis:") || strings.HasPrefix(g.to, "firehose:")
	switch {
	case len(named) == 0:
		return g, nil, usageError("--template is missing: give a file with a KDG template, as in --template payment.kdg@100")
	case g.count < 0 || g.duration < 0:
		return g, nil, usageError("--count and --duration cannot be negative")
	case g.count == 0 && g.duration == 0 && !limited:
		return g, nil, usageError("say how much: --count N or --duration TIME")
	}
	g.begin = time.Now()
	if *start != "" {
		if g.begin, err = time.Parse(time.RFC3339, *start); err != nil {
			return g, nil, usageError(fmt.Sprintf("--start %q is no RFC 3339 time, as 2026-01-31T12:00:00Z is", *start))
		}
	}
	if g.seed == 0 {
		g.seed = uint64(time.Now().UnixNano())
	}
	for _, name := range named {
		source, err := readTemplate(c, name)
		if err != nil {
			return g, nil, err
		}
		if source.Mean == 0 && (g.duration > 0 || len(injected) > 0) {
			return g, nil, usageError(fmt.Sprintf("--duration and --inject need rates: --template %s@100 for 100 records a second", name))
		}
		g.sources = append(g.sources, source)
	}
	for _, text := range injected {
		i, err := kdg.ParseInjection(text, g.begin)
		if err != nil {
			return g, nil, usageError(fmt.Sprintf("--inject %s: %v", text, err))
		}
		if g.duration > 0 && !i.At.Before(g.begin.Add(g.duration)) {
			return g, nil, usageError(fmt.Sprintf("--inject %s: it begins after the end, which is %v after the start", text, g.duration))
		}
		g.inject = append(g.inject, i)
	}
	return g, cfg, nil
}

// writeLabels writes the windows of what is injected, in the form of the labels of the Numenta Anomaly Benchmark: an object
// from the name of a file to the first and the last time of each window, in UTC.
//
// https://github.com/numenta/NAB/blob/master/labels/combined_windows.json
func (g *generation) writeLabels() error {
	const form = "2006-01-02 15:04:05.000000"
	windows := [][2]string{}
	for _, i := range g.inject {
		windows = append(windows, [2]string{i.At.UTC().Format(form), i.At.Add(i.For).UTC().Format(form)})
	}
	slices.SortFunc(windows, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	text, err := json.MarshalIndent(map[string][][2]string{filepath.Base(g.to): windows}, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(g.labels, append(text, '\n'), 0o644)
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

// readTemplate reads FILE[@RATE]. The last @ counts.
func readTemplate(c command, name string) (kdg.Source, error) {
	file, rate := name, kdg.Rate{}
	if i := strings.LastIndexByte(name, '@'); i >= 0 {
		var err error
		if rate, err = kdg.ParseRate(name[i+1:]); err != nil {
			return kdg.Source{}, usageError(fmt.Sprintf("--template %s: %v", name, err))
		}
		file = name[:i]
	}
	text, err := c.readFile(file)
	if err != nil {
		return kdg.Source{}, fmt.Errorf("read the template: %w", err)
	}
	template, err := kdg.Parse(filepath.Base(file), string(text))
	return kdg.Source{Template: template, Rate: rate}, err
}
