package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"

	"github.com/sluice-etl/sluice/internal/alert"
	"github.com/sluice-etl/sluice/internal/config"
)

// results is what lies in the bucket: of all runs on the folder, whichever process wrote it.
type results struct {
	Records   int           `json:"records"` // of Kinesis
	Rows      int           `json:"rows"`
	Rejected  int           `json:"rejected"`
	Anomalies int           `json:"anomalies"` // rows that are flagged
	Commits   int           `json:"commits"`
	Files     int           `json:"files"`
	Bytes     int64         `json:"bytes"`
	DataDir   string        `json:"data_dir"`
	Top       []abnormal    `json:"top_anomalies"`
	Alerts    []alert.Alert `json:"alerts"` // of this run, as each episode stood last
	Module    int           `json:"module"`
	Answer    []answer      `json:"answer"` // to the module's question

	question  question
	pattern   *regexp.Regexp // of the question; nil: the rows have columns
	detectors []config.Detector
	keys      map[[2]string]*abnormal // by detector and key
	counts    map[string]int          // of the question
}

// answer is a value, and in how many rows it is.
type answer struct {
	Value string `json:"value"`
	Rows  int    `json:"rows"`
}

// abnormal is a key that a detector flagged.
type abnormal struct {
	Detector string  `json:"detector"`
	Key      string  `json:"key"`
	Count    int     `json:"count"`
	MaxScore float64 `json:"max_score"`
}

// topKeys is how many abnormal keys, and how many values of the answer, the summary names.
const topKeys = 10

// readResults reads the files of the bucket, a folder.
func readResults(bucket string, cfg *config.Config, number int) (*results, error) {
	m := modules[number]
	folder := func(prefix string) string { // that all keys with the prefix lie in
		static, _, _ := strings.Cut(prefix, "!{")
		return static[:strings.LastIndexByte(static, '/')+1]
	}
	data, rejects := folder(cfg.Prefix), folder(cfg.ErrorPrefix)
	r := &results{
		DataDir: filepath.Join(bucket, filepath.FromSlash(data)), Top: []abnormal{}, Module: number, Answer: []answer{},
		question: m.question, detectors: cfg.Detectors, keys: map[[2]string]*abnormal{}, counts: map[string]int{},
	}
	if m.question.pattern != "" {
		r.pattern = regexp.MustCompile(m.question.pattern)
	}
	if err := r.walk(bucket, data, rejects); err != nil {
		return nil, err
	}
	for _, a := range r.keys {
		r.Top = append(r.Top, *a)
	}
	slices.SortFunc(r.Top, func(a, b abnormal) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(b.MaxScore, a.MaxScore), cmp.Compare(a.Detector, b.Detector), cmp.Compare(a.Key, b.Key))
	})
	r.Top = r.Top[:min(len(r.Top), topKeys)]
	for value, n := range r.counts {
		r.Answer = append(r.Answer, answer{value, n})
	}
	slices.SortFunc(r.Answer, func(a, b answer) int { return cmp.Or(cmp.Compare(b.Rows, a.Rows), cmp.Compare(a.Value, b.Value)) })
	r.Answer = r.Answer[:min(len(r.Answer), topKeys)]
	return r, nil
}

// walk reads the files of the two folders; one may lie in the other, and then the longer name counts.
func (r *results) walk(bucket, data, rejects string) error {
	return filepath.WalkDir(bucket, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == bucket {
			return nil
		}
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(bucket, path)
		if err != nil {
			return err
		}
		key := filepath.ToSlash(relative)
		isReject := strings.HasPrefix(key, rejects) && (len(rejects) > len(data) || !strings.HasPrefix(key, data))
		if !isReject && !strings.HasPrefix(key, data) {
			return nil
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		r.Files++
		r.Bytes += info.Size()
		if err := r.read(file, info.Size(), isReject); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	})
}

// read reads a file, whose name tells what it is.
func (r *results) read(file *os.File, size int64, isReject bool) error {
	name := file.Name()
	if strings.HasSuffix(name, ".parquet") {
		return r.readParquet(file, size)
	}
	var in io.Reader = bufio.NewReader(file)
	var err error
	switch filepath.Ext(name) {
	case ".gz":
		in, err = gzip.NewReader(in)
	case ".zst":
		in, err = zstd.NewReader(in)
	}
	if err != nil {
		return err
	}
	lines := bufio.NewReader(in)
	last := ""
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) == 0 || err != nil {
			if errors.Is(err, io.EOF) && len(line) == 0 {
				return nil
			}
			return fmt.Errorf("a line without an end: %w", err)
		}
		line = line[:len(line)-1]
		switch {
		case isReject: // a record of the generator is one line, so each is a record, too
			r.Rejected++
			r.Records++
		case strings.Contains(filepath.Base(name), ".json"):
			var fields map[string]any
			if err := json.Unmarshal(line, &fields); err != nil {
				return err
			}
			last = r.row(last, func(column string) string { return fmt.Sprint(fields[column]) })
		default:
			var groups []string
			if r.pattern != nil {
				groups = r.pattern.FindStringSubmatch(string(line))
			}
			r.row("", func(column string) string {
				if i := slices.Index(r.pattern.SubexpNames(), column); groups != nil && i > 0 {
					return groups[i]
				}
				return ""
			})
		}
	}
}

// row counts a row, of which get gives the values as texts, and returns the sequence number of its record. Rows of a record
// follow each other: last is that of the row before.
func (r *results) row(last string, get func(column string) string) string {
	r.Rows++
	sequence := get("ingest_seq")
	if sequence != last || sequence == "" {
		r.Records++
	}
	if r.question.where == "" || get(r.question.where) == r.question.value {
		r.counts[get(r.question.column)]++
	}
	if get("anomaly") != "true" {
		return sequence
	}
	r.Anomalies++
	flagged := strings.Split(get("anomaly_detector"), ",")
	score, _ := strconv.ParseFloat(get("anomaly_score"), 64) // the service writes numbers there
	for _, d := range r.detectors {
		if !slices.Contains(flagged, d.Name) {
			continue
		}
		var key []string
		for _, column := range d.Key {
			key = append(key, get(column))
		}
		id := [2]string{d.Name, strings.Join(key, ", ")}
		if r.keys[id] == nil {
			r.keys[id] = &abnormal{Detector: id[0], Key: id[1]}
		}
		r.keys[id].Count++
		r.keys[id].MaxScore = max(r.keys[id].MaxScore, score)
	}
	return sequence
}

// readParquet reads a Parquet file.
func (r *results) readParquet(file *os.File, size int64) error {
	parquetFile, err := parquet.OpenFile(file, size)
	if err != nil {
		return err
	}
	names := []string{"ingest_seq", "anomaly", "anomaly_detector", "anomaly_score", r.question.column}
	if r.question.where != "" {
		names = append(names, r.question.where)
	}
	for _, d := range r.detectors {
		names = append(names, d.Key...)
	}
	last := ""
	for _, group := range parquetFile.RowGroups() {
		columns := map[string][]parquet.Value{}
		for _, name := range names {
			if columns[name], err = readColumn(parquetFile.Schema(), group, name); err != nil {
				return err
			}
		}
		for row := range columns["ingest_seq"] {
			last = r.row(last, func(column string) string { return columns[column][row].String() })
		}
	}
	return nil
}

// readColumn reads the values of a flat column, one for each row.
func readColumn(schema *parquet.Schema, group parquet.RowGroup, name string) ([]parquet.Value, error) {
	leaf, ok := schema.Lookup(name)
	if !ok {
		return nil, fmt.Errorf("there is no column %s", name)
	}
	pages := group.ColumnChunks()[leaf.ColumnIndex].Pages()
	defer pages.Close()
	values := make([]parquet.Value, 0, group.NumRows())
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return values, nil
		}
		if err != nil {
			return nil, err
		}
		reader := page.Values()
		for {
			n, err := reader.ReadValues(values[len(values):cap(values)])
			for i := len(values); i < len(values)+n; i++ {
				values[:cap(values)][i] = values[:cap(values)][i].Clone() // the page's memory is used again
			}
			values = values[:len(values)+n]
			if errors.Is(err, io.EOF) || err == nil && n == 0 {
				break
			}
			if err != nil {
				return nil, err
			}
		}
		parquet.Release(page)
	}
}
