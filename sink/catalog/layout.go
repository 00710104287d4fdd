package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-etl/sluice/sink"
)

// Layout is how a table lies in a bucket: below one folder, with a partition for each of the folders that the prefix
// expression makes there. It does not change, and is safe for concurrent use.
type Layout struct {
	bucket, location string // the location is the beginning of keys, up to a slash
	levels           []sink.Folder
	keys             []string // of the levels that have an expression
}

// Partition is a folder of a table's files.
type Partition struct {
	Folder string   // the beginning of the keys of its objects, up to a slash
	Values []string // of the partition keys, in their order
	uri    string
}

// The limits that Glue has for names and values, in bytes and characters.
const (
	maxName  = 255
	maxValue = 1024
)

// NewLayout takes a prefix for that of a table. A level of its folders that has an expression is a partition key, a string,
// called as sink.Level.Key says. An error tells why no table can be made of the prefix.
func NewLayout(bucket string, prefix *sink.Prefix) (*Layout, error) {
	location, levels := prefix.Folders()
	if location == "" {
		return nil, errors.New("a table's files lie below a folder of their own, and the prefix has none before its first expression; begin it with one, as data/")
	}
	l := &Layout{bucket: bucket, location: location, levels: levels}
	for _, level := range levels {
		key := level.Key
		switch {
		case level.Text != "":
			continue
		case len(key) > maxName || strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789_") != "":
			return nil, fmt.Errorf("a partition key cannot be called %q: it has letters, digits and underscores, at most %d", level.Name, maxName)
		case slices.Contains(l.keys, key):
			return nil, fmt.Errorf("two levels of its folders would be the partition key %q; name them, as in a=!{...}/b=!{...}/", key)
		}
		l.keys = append(l.keys, key)
	}
	return l, nil
}

// Location is the beginning of the keys of everything that belongs to the table.
func (l *Layout) Location() string { return l.location }

// Keys are the names of the partition keys; none where the table is not partitioned.
func (l *Layout) Keys() []string { return l.keys }

// Depth is how many levels of folders lie between the location and the objects.
func (l *Layout) Depth() int { return len(l.levels) }

// Partition finds the partition of an object. It is false for an object that is none of the table's.
func (l *Layout) Partition(key string) (p Partition, ok bool) {
	p, depth, ok := l.Folder(key[:strings.LastIndexByte(key, '/')+1])
	return p, ok && depth == l.Depth()
}

// Folder finds how deep below the location a folder lies, which ends with a slash, and what it means there; of one that is
// not as deep as objects are, the partition has only its first values. It is false for a folder that is none of the table's.
func (l *Layout) Folder(folder string) (p Partition, depth int, ok bool) {
	below, ok := strings.CutPrefix(folder, l.location)
	if !ok {
		return p, 0, false
	}
	p.Folder, p.uri = folder, l.uri(folder)
	for below != "" {
		var name string
		if name, below, ok = strings.Cut(below, "/"); !ok || depth == len(l.levels) {
			return p, depth, false
		}
		level := l.levels[depth]
		depth++
		if level.Text != "" {
			if name != level.Text {
				return p, depth, false
			}
			continue
		}
		if level.Name != "" {
			if name, ok = strings.CutPrefix(name, level.Name+"="); !ok {
				return p, depth, false
			}
		}
		if name == "" || len(name) > maxValue {
			return p, depth, false
		}
		p.Values = append(p.Values, unescape(name))
	}
	return p, depth, true
}

// uri is where a folder lies, as Glue and Athena want it: with the key as it is.
func (l *Layout) uri(folder string) string { return "s3://" + l.bucket + "/" + folder }

// unescape undoes what Hive does to characters that mean something in paths: % and two hexadecimal digits for each byte. What
// is not of that form stands for itself, as Hive has it (FileUtils.unescapePathName).
func unescape(name string) string {
	value := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		if name[i] == '%' && i+2 < len(name) {
			if b, err := strconv.ParseUint(name[i+1:i+3], 16, 8); err == nil {
				value = append(value, byte(b))
				i += 2
				continue
			}
		}
		value = append(value, name[i])
	}
	return strings.ToValidUTF8(string(value), "\uFFFD")
}
