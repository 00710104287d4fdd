package check

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/parquet/file"
)

// Shard is what the service itself says of a shard, as `sluice shards --json` prints it.
type Shard struct {
	ID       string `json:"shard"`
	Owner    string `json:"owner"`
	Epoch    int64  `json:"epoch"`
	Commit   int64  `json:"commit"`
	Finished bool   `json:"finished"`
	Pending  int    `json:"pending_files"`
}

// record is what the service keeps of a commit below its state prefix, for ever.
type record struct {
	path string

	Shard      string `json:"shard"`
	Epoch      int64  `json:"epoch"`
	Number     int64  `json:"commit"`
	After      string `json:"after"`
	Checkpoint string `json:"checkpoint"`
	GivesUp    int64  `json:"givesUp"`
	Files      []struct {
		Key  string `json:"key"`
		Size int64  `json:"size"`
		Rows int64  `json:"rows"`
	} `json:"files"`
}

// Commits holds the objects against the records of the commits, and these against what the service says of its shards:
// each object is listed by exactly one commit, with its size and rows; each listed one is there; the commits of a shard are
// numbered without a gap, and each begins where the one before it ended; nothing committed waits to become visible. The
// service must not be running. It returns the number of commits.
func (o Output) Commits(shards []Shard) (commits int, err error) {
	objects, err := o.all()
	if err != nil {
		return 0, err
	}
	records, err := o.records()
	if err != nil {
		return 0, err
	}
	var wrong differences
	listed := o.listed(records, &wrong)
	for _, object := range objects {
		if listed[object.key] == 0 {
			wrong.add("%s is an object of no commit", object.key)
		}
	}
	byShard := map[string][]record{}
	for _, r := range records {
		byShard[r.Shard] = append(byShard[r.Shard], r)
	}
	for _, s := range shards {
		follow(s, byShard[s.ID], &wrong)
		delete(byShard, s.ID)
	}
	// The service forgets shards that have left the stream. It has none that were never there.
	for shard, list := range byShard {
		if len(shards) > 0 && shard > slices.MaxFunc(shards, func(a, b Shard) int { return cmp.Compare(a.ID, b.ID) }).ID {
			wrong.add("%d commits of %s, of which the service does not know", len(list), shard)
		}
	}
	return len(records), wrong.err("the objects against the commits")
}

// records reads the records of all commits, in the order of shards and numbers.
func (o Output) records() ([]record, error) {
	var list []record
	err := filepath.WalkDir(filepath.Join(o.Dir, filepath.FromSlash(o.StatePrefix)), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() || !strings.Contains(filepath.ToSlash(path), "/commits/") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		r := record{path: path}
		if err := json.Unmarshal(text, &r); err != nil {
			return fmt.Errorf("the record of a commit cannot be read: %s: %w", path, err)
		}
		list = append(list, r)
		return nil
	})
	slices.SortFunc(list, func(a, b record) int {
		return cmp.Or(strings.Compare(a.Shard, b.Shard), cmp.Compare(a.Number, b.Number))
	})
	return list, err
}

// listed counts how often each object is listed, and holds the files of the records against the objects.
func (o Output) listed(records []record, wrong *differences) map[string]int {
	type commit struct {
		shard  string
		number int64
	}
	given := map[commit]bool{} // up: its files were lost
	for _, r := range records {
		if r.GivesUp > 0 {
			given[commit{r.Shard, r.GivesUp}] = true
		}
	}
	listed := map[string]int{}
	for _, r := range records {
		if given[commit{r.Shard, r.Number}] {
			continue
		}
		for _, f := range r.Files {
			if listed[f.Key]++; listed[f.Key] > 1 {
				wrong.add("%s is listed by two commits, the second is %d of %s", f.Key, r.Number, r.Shard)
			}
			path := filepath.Join(o.Dir, filepath.FromSlash(f.Key))
			info, err := os.Stat(path)
			switch {
			case err != nil:
				wrong.add("%s is missing, of commit %d of %s: %v", f.Key, r.Number, r.Shard, err)
			case info.Size() != f.Size:
				wrong.add("%s has %d bytes, by its commit %d", f.Key, info.Size(), f.Size)
			case strings.HasSuffix(path, ".parquet"):
				if n, err := rowsOf(path); err != nil || n != f.Rows {
					wrong.add("%s has %d rows, by its commit %d: %v", f.Key, n, f.Rows, err)
				}
			}
		}
	}
	return listed
}

// rowsOf reads the number of rows from a file's footer.
func rowsOf(path string) (int64, error) {
	in, err := file.OpenParquetFile(path, false)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	return in.NumRows(), nil
}

// follow checks that the commits of a shard, by number, follow one another up to the last one that the service knows.
func follow(s Shard, records []record, wrong *differences) {
	if s.Pending > 0 {
		wrong.add("%s: %d committed files are not visible", s.ID, s.Pending)
	}
	if int64(len(records)) != s.Commit {
		wrong.add("%s: %d commits have a record, and the last one is number %d", s.ID, len(records), s.Commit)
	}
	end := ""
	for i, r := range records {
		if r.Number != int64(i)+1 {
			wrong.add("%s: commit %d in place %d", s.ID, r.Number, i+1)
			return
		}
		if r.After != end {
			wrong.add("%s: commit %d begins after %q, and the one before it ended at %q", s.ID, r.Number, r.After, end)
		}
		if r.Epoch > s.Epoch || i > 0 && r.Epoch < records[i-1].Epoch {
			wrong.add("%s: commit %d is of epoch %d, and the shard is in epoch %d", s.ID, r.Number, r.Epoch, s.Epoch)
		}
		end = r.Checkpoint
	}
}
