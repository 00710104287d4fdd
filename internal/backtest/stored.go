package backtest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-etl/sluice/anomaly"
	"github.com/sluice-etl/sluice/internal/columns"
	"github.com/sluice-etl/sluice/internal/pipeline"
	"github.com/sluice-etl/sluice/sink"
)

// Store is where objects lie. It is safe for concurrent use.
type Store interface {
	// List calls object for every object whose key begins with the prefix; see sink/s3.
	List(ctx context.Context, prefix string, object func(key string, size int64, modified time.Time) error, folder func(prefix string) error) error
	// Get reads an object whole.
	Get(ctx context.Context, key string) ([]byte, error)
}

// Folder is a folder of the local disk, or one file, as a Store. The keys are paths.
type Folder string

// List implements Store for the whole folder.
func (f Folder) List(_ context.Context, _ string, object func(key string, size int64, modified time.Time) error, _ func(string) error) error {
	files, err := Find([]string{string(f)})
	if err != nil {
		return err
	}
	for _, file := range files {
		info, err := os.Stat(file.Path)
		if err == nil {
			err = object(filepath.ToSlash(file.Path), info.Size(), info.ModTime())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Get implements Store.
func (f Folder) Get(_ context.Context, key string) ([]byte, error) {
	return os.ReadFile(filepath.FromSlash(key))
}

// Place is where files that sluice has written are looked for.
type Place struct {
	Store  Store
	Prefix string
	Name   string // for a person
}

// Stored are rows in the Parquet files that sluice has written.
type Stored struct {
	Places   []Place
	Time     pipeline.EventTime // as when they were written
	Parallel int                // shards that are read at a time
}

// object is a file of a commit.
type object struct {
	store         Store
	key           string
	size          int64
	epoch, commit int64
}

// objectName is that of protocol.Names: the stream and the shard's number, epoch and commit.
var objectName = regexp.MustCompile(`(?:^|/)([^/]+-[0-9]+)-e([0-9]+)-c([0-9]+)-[0-9]+\.parquet$`)

// RunStored judges the rows again, those of each shard in the order in which they came.
//
// That order is found a commit at a time. The commits of a shard are ranges of it that follow each other, and their files are named by
// them; so only the rows of one commit, which are spread over its partitions and may be sorted by their own time, have to be put in order,
// by ingest_seq and ingest_sub. No more than these is in memory at a time, and of their columns those that are needed.
func (c Config) RunStored(ctx context.Context, s Stored) (*Result, error) {
	shards, size, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	all, err := c.newJudges()
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex // guards what follows
	read, objects, commits := int64(0), 0, 0
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.Parallel)
	for _, files := range shards {
		group.Go(func() error {
			judges, err := c.newJudges()
			if err != nil {
				return err
			}
			shard := shard{judges: judges, time: s.Time, tell: func(n int64) {
				mu.Lock()
				defer mu.Unlock()
				read += n
				c.Progress(read, size)
			}}
			if err := shard.run(ctx, files); err != nil {
				return err
			}
			judges.finish()
			mu.Lock()
			defer mu.Unlock()
			all.add(judges)
			objects += len(files)
			commits += shard.commits
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := c.draw(all.outcomes()); err != nil {
		return nil, err
	}
	result := &Result{Rows: all.rows, Outcomes: all.outcomes(), Labelled: c.Labels != nil, Stored: true}
	result.What = fmt.Sprintf("%d rows of %d shards, in %d commits and %d files%s", all.rows, len(shards), commits, objects, all.span())
	if anomaly.Streamwide(c.Detectors) {
		result.Notes = append(result.Notes, "The scope stream is that of a service: here each shard is judged by what it has itself.")
	}
	return result, nil
}

// list finds the files of each shard, in the order of the shard.
func (s *Stored) list(ctx context.Context) (shards map[string][]object, size int64, err error) {
	shards = map[string][]object{}
	for _, place := range s.Places {
		found := 0
		err := place.Store.List(ctx, place.Prefix, func(key string, bytes int64, _ time.Time) error {
			if !strings.HasSuffix(key, "."+sink.ParquetExtension) {
				return nil
			}
			name := objectName.FindStringSubmatch(key)
			if name == nil {
				return fmt.Errorf("%s: this is no file of sluice, whose names are STREAM-SHARD-eEPOCH-cCOMMIT-INDEX.parquet: when its rows came cannot be known", key)
			}
			epoch, err := strconv.ParseInt(name[2], 10, 64)
			commit, err2 := strconv.ParseInt(name[3], 10, 64)
			found++
			size += bytes
			shards[name[1]] = append(shards[name[1]], object{place.Store, key, bytes, epoch, commit})
			return errors.Join(err, err2)
		}, nil)
		if err != nil {
			return nil, 0, err
		}
		if found == 0 {
			return nil, 0, fmt.Errorf("%s: there is no file *.parquet", place.Name)
		}
	}
	for _, files := range shards {
		slices.SortFunc(files, func(a, b object) int {
			return cmp.Or(cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.commit, b.commit), cmp.Compare(a.key, b.key))
		})
	}
	return shards, size, nil
}

// shard is one shard that is read again.
type shard struct {
	judges *judges
	time   pipeline.EventTime
	tell   func(bytes int64)

	commits int
	table   *columns.Table
	clock   pipeline.Clock
	arrival *columns.Column
	seq     *columns.Column
	sub     *columns.Column
	flagged *columns.Column // anomaly_detector
	order   []int32
}

// run reads the files, which are in their order, a commit at a time.
func (s *shard) run(ctx context.Context, files []object) error {
	if err := s.bind(ctx, files[len(files)-1]); err != nil {
		return err
	}
	for len(files) > 0 {
		n := 1
		for n < len(files) && files[n].epoch == files[0].epoch && files[n].commit == files[0].commit {
			n++
		}
		s.table.Truncate(0)
		for _, o := range files[:n] {
			if err := s.read(ctx, o); err != nil {
				return err
			}
		}
		s.commit()
		files = files[n:]
	}
	return nil
}

// bind finds the columns that are needed among those of the last file, since columns are added and none goes.
func (s *shard) bind(ctx context.Context, last object) error {
	file, err := last.open(ctx)
	if err != nil {
		return err
	}
	fields := file.Fields()
	for name := range folders(last.key) {
		if !slices.ContainsFunc(fields, func(f columns.Field) bool { return f.Name == name }) {
			fields = append(fields, columns.Field{Name: name, Type: columns.String})
		}
	}
	if err := s.judges.Bind(fields); err != nil {
		return fmt.Errorf("%s: %w; what SLUICE_ENRICH drops is in no file", last.key, err)
	}
	own := []string{"ingest_time", "ingest_seq", "ingest_sub", "anomaly_detector"}
	needed := append(s.judges.columns(), append(own, s.time.Column)...)
	fields = slices.DeleteFunc(slices.Clone(fields), func(f columns.Field) bool { return !slices.Contains(needed, f.Name) })
	s.table = columns.NewTable(fields)
	var places [4]*columns.Column
	for i, name := range own {
		at := slices.IndexFunc(fields, func(f columns.Field) bool { return f.Name == name })
		if at < 0 {
			return fmt.Errorf("%s: this is no file of sluice: it has no column %s", last.key, name)
		}
		places[i] = &s.table.Columns[at]
	}
	s.arrival, s.seq, s.sub, s.flagged = places[0], places[1], places[2], places[3]
	if s.clock, err = s.time.Clock(s.table.Columns); err != nil {
		return fmt.Errorf("%s: %w", last.key, err)
	}
	return s.judges.Bind(fields)
}

// read adds the rows of a file to the table.
func (s *shard) read(ctx context.Context, o object) error {
	file, err := o.open(ctx)
	if err != nil {
		return err
	}
	before := s.table.Rows()
	if err := file.Append(s.table); err != nil {
		return fmt.Errorf("%s: %w", o.key, err)
	}
	s.fromFolders(o.key, file.Fields(), before)
	s.tell(o.size)
	return nil
}

// fromFolders fills the columns that a prefix shows as NAME=VALUE, which the file has not then, in the rows from one on. An empty text and a null
// have the same folder, and are taken for null.
func (s *shard) fromFolders(key string, fields []columns.Field, from int) {
	for name, value := range folders(key) {
		at := slices.IndexFunc(s.table.Columns, func(c columns.Column) bool { return c.Name == name })
		if at < 0 || value == sink.NullFolder || slices.ContainsFunc(fields, func(f columns.Field) bool { return f.Name == name }) {
			continue
		}
		c := &s.table.Columns[at]
		c.Truncate(from)
		for range s.table.Rows() - from {
			c.AppendString(value)
		}
	}
}

// folders are the names and values of a key's folders that are of Hive's form.
func folders(key string) map[string]string {
	found := map[string]string{}
	for folder := range strings.SplitSeq(key, "/") {
		if name, value, ok := strings.Cut(folder, "="); ok {
			if plain, err := url.PathUnescape(value); err == nil {
				found[name] = plain
			}
		}
	}
	return found
}

// open reads a file.
func (o *object) open(ctx context.Context) (*sink.ParquetFile, error) {
	body, err := o.store.Get(ctx, o.key)
	if err != nil {
		return nil, err
	}
	file, err := sink.OpenParquet(bytes.NewReader(body), int64(len(body)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.key, err)
	}
	return file, nil
}

// commit judges the rows of a commit, in the order in which they came.
func (s *shard) commit() {
	s.commits++
	s.order = s.order[:0]
	for row := range s.table.Rows() {
		s.order = append(s.order, int32(row))
	}
	came := func(a, b int32) int {
		x, y := s.seq.TextAt(int(a)), s.seq.TextAt(int(b)) // decimal digits, without zeros before them
		return cmp.Or(cmp.Compare(len(x), len(y)), bytes.Compare(x, y), cmp.Compare(s.sub.Ints[a], s.sub.Ints[b]))
	}
	if !slices.IsSortedFunc(s.order, came) {
		slices.SortFunc(s.order, came)
	}
	for _, row := range s.order {
		at, _, _ := s.clock.Time(int(row), s.arrival.Ints[row])
		s.judges.Row(s.table, int(row), at)
		s.judges.compare(s.flagged.TextAt(int(row)))
	}
}
