package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/internal/config"
)

// tried are the thresholds at which a backtest counts alerts, beside the chosen one.
var tried = []float64{0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}

// backtest shows what the kind series would have flagged in series of the past, each row by those before it alone.
func backtest(ctx context.Context, c command) error {
	own := flags("backtest")
	out := own.String("out", "", "`folder` for copies of the files with the columns anomaly_score and anomaly, under the same names")
	labels := own.String("labels", "", "JSON `file` that tells where alerts are right: {\"FILE\": [[\"FROM\", \"TO\"], ...]}, with the names that files have in --out")
	threshold := own.Float64("threshold", anomaly.SeriesThreshold, "the `score` from which a row is abnormal, above 0, at most 1")
	cfg, err := load(c, own, manyArguments, config.Require())
	if err != nil {
		return err
	}
	switch {
	case len(cfg.Args) == 0:
		return usageError("name the files: CSV with the columns timestamp and value, or folders with such files")
	case !(*threshold > 0 && *threshold <= 1):
		return usageError(fmt.Sprintf("--threshold %v is not above 0 and at most 1", *threshold))
	}
	t := trial{thresholds: append([]float64{*threshold}, tried...), out: *out, progress: startProgress(c.stderr, c.terminal)}
	defer t.progress.stop()
	t.alerts, t.right, t.found = make([]int, len(t.thresholds)), make([]int, len(t.thresholds)), make([]int, len(t.thresholds))
	if *labels != "" {
		if t.labels, err = readLabels(c, *labels); err != nil {
			return err
		}
	}
	files, err := seriesFiles(cfg.Args)
	if err != nil {
		return err
	}
	if *out != "" {
		if err := apart(*out, files); err != nil {
			return err
		}
	}
	for i, f := range files {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := t.file(f, float64(i)/float64(len(files))); err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
	}
	for name := range t.labels {
		if !slices.ContainsFunc(files, func(f seriesFile) bool { return f.name == name }) {
			return fmt.Errorf("%s has labels for %s, which is none of the files", *labels, name)
		}
	}
	t.progress.stop()
	return t.report(c.stdout)
}

const manyArguments = 1 << 20

// seriesFile is a file, and its name below --out.
type seriesFile struct{ path, name string }

func seriesFiles(paths []string) (files []seriesFile, err error) {
	for _, path := range paths {
		found := len(files)
		err := filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			name, err := filepath.Rel(path, file)
			if name == "." { // the path is a file
				name = filepath.Base(file)
			} else if !strings.HasSuffix(file, ".csv") {
				return nil
			}
			files = append(files, seriesFile{file, filepath.ToSlash(name)})
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(files) == found {
			return nil, fmt.Errorf("%s: there is no file *.csv in this folder", path)
		}
	}
	for i, f := range files {
		if slices.ContainsFunc(files[:i], func(other seriesFile) bool { return other.name == f.name }) {
			return nil, fmt.Errorf("%s: another file is called %s, too", f.path, f.name)
		}
	}
	return files, nil
}

// apart refuses a folder in which results would replace what they are made of.
func apart(out string, files []seriesFile) error {
	for _, f := range files {
		to, err := os.Stat(filepath.Join(out, f.name))
		if err != nil {
			continue // nothing is there
		}
		if from, err := os.Stat(f.path); err == nil && os.SameFile(from, to) {
			return usageError(fmt.Sprintf("--out %s would replace %s; name another folder", out, f.path))
		}
	}
	return nil
}

// trial gathers what thresholds would have given.
type trial struct {
	thresholds []float64
	out        string
	labels     map[string][]span
	progress   *progress

	rows, unusable       int
	windows              int
	alerts, right, found []int // by threshold: alerts, those within a label's window, and windows with an alert
}

type span struct{ from, to time.Time }

// timestampLayouts are tried in this order; each takes a fraction of the second, too.
var timestampLayouts = []string{time.DateTime, time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02"}

// parseTimestamp takes the usual forms, and seconds since 1970. What has no offset is UTC.
func parseTimestamp(text string) (time.Time, error) {
	for _, layout := range timestampLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds > -1e11 && seconds < 1e11 {
		return time.UnixMilli(int64(seconds * 1000)), nil
	}
	return time.Time{}, fmt.Errorf("%q is no timestamp such as 2026-01-31 12:00:00, 2026-01-31T12:00:00Z, or seconds since 1970", text)
}

func readLabels(c command, path string) (map[string][]span, error) {
	text, err := c.readFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the labels: %w", err)
	}
	var written map[string][][2]string
	if err := json.Unmarshal(text, &written); err != nil {
		return nil, fmt.Errorf("%s: want {\"FILE\": [[\"FROM\", \"TO\"], ...]}: %w", path, err)
	}
	labels := make(map[string][]span, len(written))
	for name, windows := range written {
		for _, w := range windows {
			from, err := parseTimestamp(w[0])
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", path, name, err)
			}
			to, err := parseTimestamp(w[1])
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", path, name, err)
			}
			labels[name] = append(labels[name], span{from, to})
		}
	}
	return labels, nil
}

// file runs the detector over one series.
func (t *trial) file(f seriesFile, share float64) (err error) {
	in, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer in.Close()
	r := csv.NewReader(bufio.NewReader(in))
	r.ReuseRecord = true
	header, err := r.Read()
	if err != nil {
		return fmt.Errorf("want CSV with a header: %w", err)
	}
	at, value := slices.Index(header, "timestamp"), slices.Index(header, "value")
	if at < 0 || value < 0 {
		return errors.New("it is no series: its header lacks the columns timestamp and value")
	}
	w := csv.NewWriter(io.Discard)
	if t.out != "" {
		path := filepath.Join(t.out, f.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return err
		}
		result, err := os.Create(path)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, result.Close()) }()
		w = csv.NewWriter(result)
	}
	if err := w.Write(append(slices.Clone(header), "anomaly_score", "anomaly")); err != nil {
		return err
	}
	windows := t.labels[f.name]
	t.windows += len(windows)
	found := make([][]bool, len(windows))
	for i := range found {
		found[i] = make([]bool, len(t.thresholds))
	}
	track := anomaly.NewTrack(t.thresholds...)
	for {
		row, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		when, err := parseTimestamp(row[at])
		if err != nil {
			line, _ := r.FieldPos(at)
			return fmt.Errorf("line %d: %w", line, err)
		}
		var v anomaly.Verdict
		x, parseErr := strconv.ParseFloat(row[value], 64)
		ok := parseErr == nil
		if ok {
			v, ok = track.Observe(when.UnixMilli(), x)
		}
		t.rows++
		if !ok {
			t.unusable++
		} else {
			t.count(when, track.Opens(), windows, found)
		}
		if err := w.Write(append(row, strconv.FormatFloat(v.Score, 'g', -1, 64), strconv.FormatBool(v.Abnormal))); err != nil {
			return err
		}
		if t.rows%4096 == 0 {
			t.progress.set("rows", int64(t.rows), share)
		}
	}
	for _, window := range found {
		for i, hit := range window {
			if hit {
				t.found[i]++
			}
		}
	}
	w.Flush()
	return w.Error()
}

// count takes in the alerts of a row.
func (t *trial) count(when time.Time, opens []bool, windows []span, found [][]bool) {
	for i, opened := range opens {
		if !opened {
			continue
		}
		t.alerts[i]++
		for w := range windows {
			if !when.Before(windows[w].from) && !when.After(windows[w].to) {
				t.right[i]++
				found[w][i] = true
				break
			}
		}
	}
}

// report prints the alerts by threshold, lowest first. The chosen one, the first, has its line among them.
func (t *trial) report(w io.Writer) error {
	fmt.Fprintf(w, "%d rows, %d of them without a number\n\n", t.rows, t.unusable)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	heads := "threshold\talerts\tper 1,000 rows\t"
	if t.labels != nil {
		heads += "precision\trecall\t"
	}
	fmt.Fprintln(table, heads+"\t")
	order := make([]int, len(t.thresholds))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		if t.thresholds[a] < t.thresholds[b] {
			return -1
		} else if t.thresholds[a] > t.thresholds[b] {
			return 1
		}
		return 0
	})
	for k, i := range order {
		if k > 0 && t.thresholds[i] == t.thresholds[order[k-1]] {
			continue // the chosen one is among those that are tried
		}
		fmt.Fprintf(table, "%g\t%d\t%s\t", t.thresholds[i], t.alerts[i], ratio(1000*t.alerts[i], t.rows))
		if t.labels != nil {
			fmt.Fprintf(table, "%s\t%s\t", ratio(t.right[i], t.alerts[i]), ratio(t.found[i], t.windows))
		}
		mark := ""
		if i == 0 {
			mark = "*"
		}
		fmt.Fprintln(table, mark+"\t")
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "\n* the threshold of the column anomaly; another is given by --threshold")
	return err
}

func ratio(n, of int) string {
	if of == 0 {
		return "-"
	}
	return strconv.FormatFloat(float64(n)/float64(of), 'f', 3, 64)
}
