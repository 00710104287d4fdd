package protocol

import (
	"fmt"
	"strconv"
	"strings"
)

// Names names objects.
type Names struct {
	App, Stream string
	StatePrefix string // of snapshots and records
}

// Object is the last part of the key of a file. No two commits of a stream ever share epoch and number, so that a name is
// used once, for ever.
func (n Names) Object(shard string, epoch, commit int64, index int, extension string) string {
	return fmt.Sprintf("%s-%s-e%d-c%d-%d.%s", n.Stream, strings.TrimPrefix(shard, shardPrefix), epoch, commit, index, extension)
}

// ParseObject is the inverse of Object for the objects of the stream. It tells whether a key is one of them.
func (n Names) ParseObject(key string) (shard string, epoch, commit int64, ok bool) {
	name := key[strings.LastIndexByte(key, '/')+1:]
	name, ok = strings.CutPrefix(name, n.Stream+"-")
	if !ok {
		return "", 0, 0, false
	}
	parts := strings.Split(name, "-")
	if len(parts) != 4 || !strings.HasPrefix(parts[1], "e") || !strings.HasPrefix(parts[2], "c") {
		return "", 0, 0, false
	}
	epoch, err := strconv.ParseInt(parts[1][1:], 10, 64)
	if err != nil {
		return "", 0, 0, false
	}
	if commit, err = strconv.ParseInt(parts[2][1:], 10, 64); err != nil {
		return "", 0, 0, false
	}
	return shardPrefix + parts[0], epoch, commit, true
}

// state is the key of the snapshot of a commit.
func (n Names) state(l *Lease) string {
	return n.StatePrefix + n.App + "/" + n.Object(l.Shard, l.Epoch, l.CommitNo, 0, "state")
}

// Records is where the records of the commits of a day lie; day is the date in UTC, as in 2006-01-02.
func (n Names) Records(day string) string { return n.StatePrefix + n.App + "/commits/" + day + "/" }

// Record is the key of what is kept of a commit for ever.
func (n Names) Record(c *Commit) string {
	day, _, _ := strings.Cut(c.Time, "T")
	return n.Records(day) + n.Object(c.Shard, c.Epoch, c.Number, 0, "json")
}

// shardPrefix begins every shard id that Kinesis gives; objects are named without it.
const shardPrefix = "shardId-"
