package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/parquet-go/parquet-go"

	"github.com/sluice-etl/sluice/internal/config"
)

// results is what lies in the bucket: of all runs on the folder, whichever process wrote it.
type results struct {
	Records   int        `json:"records"` // of Kinesis
	Rows      int        `json:"rows"`
	Rejected  int        `json:"rejected"`
	Anomalies int        `json:"anomalies"` // rows that are flagged
	Commits   int        `json:"commits"`
	Files     int        `json:"files"`
	Bytes     int64      `json:"bytes"`
	DataDir   string     `json:"data_dir"`
	Top       []abnormal `json:"top_anomalies"`
}

// abnormal is a key that a detector flagged.
type abnormal struct {
	Detector string  `json:"detector"`
	Key      string  `json:"key"`
	Count    int     `json:"count"`
	MaxScore float64 `json:"max_score"`
}

// topKeys is how many keys the summary names.
const topKeys = 10

// readResults reads the files of the bucket.
func readResults(bucket string, detectors []config.Detector) (*results, error) {
	r := &results{DataDir: filepath.Join(bucket, stream), Top: []abnormal{}}
	keys := map[[2]string]*abnormal{}
	err := filepath.WalkDir(bucket, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == bucket {
			return nil
		}
		if err != nil || entry.IsDir() {
			return err
		}
		read := r.readRejects
		switch {
		case strings.HasSuffix(path, ".parquet"):
			read = func(file *os.File) error { return r.readRows(file, detectors, keys) }
		case !strings.HasSuffix(path, ".json.gz"):
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
		if err := read(file); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	})
	for _, a := range keys {
		r.Top = append(r.Top, *a)
	}
	slices.SortFunc(r.Top, func(a, b abnormal) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(b.MaxScore, a.MaxScore), cmp.Compare(a.Detector, b.Detector), cmp.Compare(a.Key, b.Key))
	})
	r.Top = r.Top[:min(len(r.Top), topKeys)]
	return r, err
}

// readRejects counts the lines of a file of rejects. A record of the generator is one line, so each is a record, too.
func (r *results) readRejects(file *os.File) error {
	lines, err := gzip.NewReader(bufio.NewReader(file))
	if err != nil {
		return err
	}
	text, err := io.ReadAll(lines)
	n := strings.Count(string(text), "\n")
	r.Rejected += n
	r.Records += n
	return err
}

// readRows counts the rows of a Parquet file, the Kinesis records they are of, and the keys of those that are flagged.
func (r *results) readRows(file *os.File, detectors []config.Detector, keys map[[2]string]*abnormal) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	parquetFile, err := parquet.OpenFile(file, info.Size())
	if err != nil {
		return err
	}
	for _, group := range parquetFile.RowGroups() {
		read := func(column string) ([]parquet.Value, error) { return readColumn(parquetFile.Schema(), group, column) }
		sequence, err := read("ingest_seq")
		if err != nil {
			return err
		}
		r.Rows += len(sequence)
		for i := range sequence { // the rows of a record follow each other
			if i == 0 || !parquet.Equal(sequence[i], sequence[i-1]) {
				r.Records++
			}
		}
		flags, err := read("anomaly")
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(flags, parquet.Value.Boolean) {
			continue
		}
		names, err := read("anomaly_detector")
		if err != nil {
			return err
		}
		scores, err := read("anomaly_score")
		if err != nil {
			return err
		}
		columns := map[string][]parquet.Value{}
		for _, d := range detectors {
			for _, column := range d.Key {
				if columns[column], err = read(column); err != nil {
					return err
				}
			}
		}
		for row, flag := range flags {
			if !flag.Boolean() {
				continue
			}
			r.Anomalies++
			flagged := strings.Split(names[row].String(), ",")
			for _, d := range detectors {
				if !slices.Contains(flagged, d.Name) {
					continue
				}
				var key []string
				for _, column := range d.Key {
					key = append(key, columns[column][row].String())
				}
				id := [2]string{d.Name, strings.Join(key, ", ")}
				if keys[id] == nil {
					keys[id] = &abnormal{Detector: id[0], Key: id[1]}
				}
				keys[id].Count++
				keys[id].MaxScore = max(keys[id].MaxScore, scores[row].Double())
			}
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
