package backtest

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/sluice-etl/sluice/anomaly"
)

// Series are files of CSV with the columns timestamp and value.
type Series struct {
	Files     []File
	Threshold float64
	Out       string // folder for copies with the columns anomaly_score and anomaly, under the same names; empty: none
}

// SeriesExtension ends the names of series.
const SeriesExtension = ".csv"

// ErrReplaces tells that results would replace what they are made of.
var ErrReplaces = errors.New("results would replace what they are made of; name another folder")

// IsSeries tells whether a file begins as a series does.
func IsSeries(path string) bool {
	in, err := os.Open(path)
	if err != nil {
		return false
	}
	defer in.Close()
	_, _, err = seriesHeader(csv.NewReader(bufio.NewReader(io.LimitReader(in, 64<<10))))
	return err == nil
}

// seriesHeader reads the header, and finds the places of the two columns.
func seriesHeader(r *csv.Reader) (header []string, columns [2]int, err error) {
	if header, err = r.Read(); err != nil {
		return nil, columns, fmt.Errorf("want CSV with a header: %w", err)
	}
	columns = [2]int{slices.Index(header, "timestamp"), slices.Index(header, "value")}
	if slices.Min(columns[:]) < 0 {
		return nil, columns, errors.New("it is no series: its header lacks the columns timestamp and value")
	}
	return slices.Clone(header), columns, nil
}

// RunSeries judges each row of each file by those before it in the file.
func (c Config) RunSeries(ctx context.Context, s Series) (*Result, error) {
	if err := distinct(s.Files); err != nil {
		return nil, err
	}
	size, sizes := int64(0), make([]int64, len(s.Files))
	for i, f := range s.Files {
		info, err := os.Stat(f.Path)
		if err != nil {
			return nil, err
		}
		sizes[i] = info.Size()
		size += sizes[i]
		if to, err := os.Stat(filepath.Join(s.Out, f.Name)); s.Out != "" && err == nil && os.SameFile(info, to) {
			return nil, fmt.Errorf("%s: %w", f.Path, ErrReplaces)
		}
	}
	for name := range c.Labels {
		if !slices.ContainsFunc(s.Files, func(f File) bool { return f.Name == name }) {
			return nil, fmt.Errorf("there are labels for %s, which is none of the files", name)
		}
	}
	all := newOutcome(anomaly.Settings{Kind: anomaly.KindSeries, Threshold: &s.Threshold}, 0)
	result := &Result{Outcomes: []*Outcome{&all}, Labelled: c.Labels != nil}
	read := int64(0)
	for i, f := range s.Files {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		one := series{File: f, windows: c.Labels[f.Name], tell: func(n int64) { c.Progress(read+n, size) }}
		one.Outcome = newOutcome(all.Settings, len(one.windows))
		if c.Draw != nil {
			one.curves = newCurves(all.Settings)
		}
		if err := one.run(s.Out); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		if c.Draw != nil {
			if err := c.Draw(f.Name, &one.Outcome, one.windows); err != nil {
				return nil, err
			}
		}
		read += sizes[i]
		result.Rows += one.rows
		windows := append(all.hits, one.hits...)
		all.hits, one.hits = nil, nil // each file has windows of its own
		all.add(&one.Outcome)
		all.hits = windows
	}
	return result, nil
}

// series is one file.
type series struct {
	File
	Outcome
	windows []Window
	tell    func(read int64)
	rows    int64
	reason  []byte
}

// run reads the file, and writes what it finds into a folder, unless its name is empty.
func (s *series) run(out string) (err error) {
	in, err := os.Open(s.Path)
	if err != nil {
		return err
	}
	defer in.Close()
	r := csv.NewReader(bufio.NewReader(in))
	r.ReuseRecord = true
	header, columns, err := seriesHeader(r)
	if err != nil {
		return err
	}
	w := csv.NewWriter(io.Discard)
	if out != "" {
		path := filepath.Join(out, s.Name)
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
	if err := w.Write(append(header, "anomaly_score", "anomaly")); err != nil {
		return err
	}
	track := anomaly.NewTrack(s.Thresholds...)
	for {
		row, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		at, err := parseTimestamp(row[columns[0]])
		if err != nil {
			line, _ := r.FieldPos(columns[0])
			return fmt.Errorf("line %d: %w", line, err)
		}
		score, abnormal := s.row(track, at.UnixMilli(), row[columns[1]])
		if err := w.Write(append(row, strconv.FormatFloat(score, 'g', -1, 64), strconv.FormatBool(abnormal))); err != nil {
			return err
		}
		if s.rows%4096 == 0 {
			s.tell(r.InputOffset())
		}
	}
	w.Flush()
	return w.Error()
}

// row judges a row. Of a series each flagged row begins an episode.
func (s *series) row(track *anomaly.Track, at int64, value string) (score float64, abnormal bool) {
	s.rows++
	x, err := strconv.ParseFloat(value, 64)
	if err != nil {
		s.Unusable++
		return 0, false
	}
	v, ok := track.Observe(at, x)
	if !ok {
		s.Unusable++
		return v.Score, false
	}
	opens := track.Opens()
	if slices.Contains(opens, true) {
		window := slices.IndexFunc(s.windows, func(w Window) bool { return w.holds(at) })
		for i, opened := range opens {
			if opened {
				s.alert(i, window, true)
			}
		}
	}
	abnormal = opens[s.Chosen]
	if s.curves != nil {
		s.curves.add([]byte(s.Name), at, pointOf(anomaly.KindSeries, &v, abnormal))
	}
	if abnormal {
		s.reason = track.AppendReason(s.reason[:0], &v)
		s.Keys.flag([]byte(s.Name), v.Score, at, s.reason)
	}
	return v.Score, abnormal
}
