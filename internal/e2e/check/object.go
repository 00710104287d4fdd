package check

import (
	"cmp"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Output says where the service's objects are, and by which rule they are named.
type Output struct {
	Dir         string // the bucket as a folder
	Stream      string
	Prefix      string // expression of the data prefix, for example data/dt=!{timestamp:yyyy-MM-dd}/
	ErrorPrefix string // expression of the prefix of rejects
	StatePrefix string // of detector snapshots; anything may lie below it

	// Unfit tells which lines can be read, but are rejected because they do not fit the schema; nil: none.
	Unfit func(line []byte) bool
}

// Partition is the prefix that rows which arrived at a time belong to.
func (o Output) Partition(at time.Time) string { return render(o.Prefix, at, "") }

// object is a visible object whose name was understood.
type object struct {
	key    string // path below the bucket, with slashes
	path   string
	prefix string // the part of the key before the name
	shard  int64
	epoch  int64
	commit int64
	index  int64
	rows   bool // not rejects
}

// pastPrefix is the rest of a key's last element after the stream's name.
var pastPrefix = regexp.MustCompile(`^-(\d+)-e(\d+)-c(\d+)-(\d+)(\.parquet|(?:\.json)?\.gz)$`)

// objects lists the Parquet files, by shard, epoch, commit and index.
func (o Output) objects() ([]object, error) {
	all, err := o.all()
	return slices.DeleteFunc(all, func(object object) bool { return !object.rows }), err
}

// all lists every object of the service's, and fails if there is anything that is none of them. Hidden folders at the
// top are the store's own.
func (o Output) all() ([]object, error) {
	var wrong differences
	var found []object
	err := filepath.WalkDir(o.Dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(o.Dir, path)
		if err != nil {
			return err
		}
		key := filepath.ToSlash(relative)
		if entry.IsDir() {
			if strings.HasPrefix(key, ".") && key != "." {
				return fs.SkipDir
			}
			return nil
		}
		if o.StatePrefix != "" && strings.HasPrefix(key, o.StatePrefix) {
			return nil
		}
		object, ok := o.parse(key)
		if !ok {
			wrong.add("%s is no object of the service's", key)
			return nil
		}
		object.path = path
		found = append(found, object)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b object) int {
		return cmp.Or(cmp.Compare(a.shard, b.shard), cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.commit, b.commit),
			cmp.Compare(a.index, b.index), strings.Compare(a.key, b.key))
	})
	return found, wrong.err("objects in " + o.Dir)
}

// parse understands a key, or is not ok.
func (o Output) parse(key string) (object, bool) {
	slash := strings.LastIndexByte(key, '/') + 1
	rest, ok := strings.CutPrefix(key[slash:], o.Stream)
	match := pastPrefix.FindStringSubmatch(rest)
	if !ok || match == nil {
		return object{}, false
	}
	parsed := object{key: key, prefix: key[:slash], rows: match[5] == ".parquet"}
	for i, n := range []*int64{&parsed.shard, &parsed.epoch, &parsed.commit, &parsed.index} {
		var err error
		if *n, err = strconv.ParseInt(match[i+1], 10, 64); err != nil {
			return object{}, false
		}
	}
	expression := o.ErrorPrefix
	if parsed.rows {
		expression = o.Prefix
	}
	fixed, _, _ := strings.Cut(expression, "!{")
	return parsed, strings.HasPrefix(key, fixed)
}

var placeholder = regexp.MustCompile(`!\{([^:}]+):([^}]*)\}`)

// render gives the prefix that an expression has at a time, in UTC. Of Java's date letters it knows those that name a
// year, month, day, hour or minute of fixed width.
func render(expression string, at time.Time, errorType string) string {
	layouts := strings.NewReplacer("yyyy", "2006", "MM", "01", "dd", "02", "HH", "15", "mm", "04")
	return placeholder.ReplaceAllStringFunc(expression, func(text string) string {
		match := placeholder.FindStringSubmatch(text)
		switch {
		case match[1] == "timestamp":
			return at.UTC().Format(layouts.Replace(match[2]))
		case match[1] == "firehose" && match[2] == "error-output-type":
			return errorType
		}
		return text
	})
}

// ShardNumber is the number in a shard's id.
func ShardNumber(id string) (int64, error) {
	digits, ok := strings.CutPrefix(id, "shardId-")
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil {
		return 0, fmt.Errorf("%q is no shard id", id)
	}
	return n, nil
}
